"""The stages of Text2Video-Zero's tiny weights learn what they are there to learn, and nothing besides."""

from __future__ import annotations

import random
import shutil

import pytest
import torch

from longtake.training.folder import load
from longtake.training.text2video_zero.control import ControlStage
from longtake.training.text2video_zero.edit import EditStage, dropped
from longtake.training.text2video_zero.edit import edit as edit_pair
from longtake.training.text2video_zero.text_to_image import TextToImageStage
from models.loading import BUNDLED
from models.streaming_t2v.unet import StreamingUNet3D


@pytest.fixture
def folder(tmp_path):
    for part in ("tokenizer", "text_encoder", "vae"):
        shutil.copytree(BUNDLED / "tiny-shapes" / part, tmp_path / part)
    torch.set_num_threads(1)
    torch.manual_seed(0)  # of the weights
    return tmp_path


def learned(stage, steps):
    """So many steps on one batch; the losses with one noise, before and after."""
    rng = random.Random(0)
    batch = stage.draw(rng, 0.0)
    optimizer = torch.optim.AdamW([p for p in stage.learner.parameters() if p.requires_grad], 1e-3)
    losses = []
    for _ in range(steps):
        torch.manual_seed(1)
        loss = stage.loss(batch, random.Random(1), 0.0)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in stage.learner.parameters())
        assert all(p.grad is None for part in stage.frozen for p in part.parameters())
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.long
@pytest.mark.timeout(300)
def test_each_stage_goes_on_from_the_pictures_and_learns(folder):
    losses = learned(pictures := TextToImageStage(folder), 6)
    assert losses[-1] < 0.9 * losses[0], losses
    pictures.finish(pictures.learner)

    edits = EditStage(folder)
    weight = edits.learner.conv_in.weight
    assert torch.equal(weight[:, :4], pictures.learner.conv_in.weight)
    assert not weight[:, 4:].any()  # it begins as the model of pictures that it is
    losses = learned(edits, 5)
    assert losses[-1] < losses[0], losses
    edits.finish(edits.learner)
    kept = EditStage(folder).learner.conv_in.weight
    assert torch.equal(kept, weight) and kept[:, 4:].any()  # a later sitting goes on from it

    control = ControlStage(folder)
    losses = learned(control, 5)
    assert losses[-1] < losses[0], losses
    before = {name: weight.clone() for name, weight in pictures.learner.state_dict().items()}
    assert all(torch.equal(before[name], weight) for name, weight in control.unet.state_dict().items())
    control.finish(control.learner)
    assert (folder / "controlnet" / "config.json").is_file()


def test_the_pictures_begin_with_what_the_refiner_does_within_a_frame(folder):
    shutil.copytree(BUNDLED / "tiny-shapes" / "refiner", folder / "refiner")
    began = TextToImageStage(folder).learner.state_dict()
    video = load(StreamingUNet3D, folder / "refiner").state_dict()
    assert torch.equal(began["conv_in.weight"], video["conv_in.weight"][:, :4])
    others = set(began) - {"conv_in.weight"}
    assert all(torch.equal(began[name].flatten(), video[name].flatten()) for name in others)
    assert {name.split(".")[0] for name in set(video) - set(began)} >= {"transformer_in"}


def test_a_pair_shows_one_change(folder):
    rng = random.Random(3)
    for _ in range(8):
        before, after, said = edit_pair(rng)
        differ = (before != after).any(1).float().mean()
        assert differ < 0.2 or "background" in said


def test_every_branch_of_guidance_is_learned():
    text, picture = dropped(random.Random(0), 20_000)
    either = list(zip(text, picture, strict=True))
    for which in ((True, False), (False, True), (True, True)):
        assert either.count(which) / len(either) == pytest.approx(0.05, abs=0.01)
