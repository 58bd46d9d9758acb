"""The bundled VideoCrafters draw what they are told, at the rate and from the picture that they are given."""

import numpy as np
import pytest
import torch

from models.evaluation.following import score_first_chunk
from models.evaluation.picture import held_out_pictures, score_picture
from models.evaluation.rate import score_rates, slow_movers
from models.loading import BUNDLED
from models.shapes.language import read
from models.videocrafter.baseline import chunks
from models.videocrafter.clip import Clip, draw
from models.videocrafter.pipeline import VideoCrafterPipeline

OPTIONS = {"height": 64, "width": 64, "steps": 6, "guidance_scale": 2.0, "eta": 0.0}


@pytest.fixture(scope="module")
def tiny_t2v():
    return VideoCrafterPipeline.from_pretrained(BUNDLED / "tiny-videocrafter", dtype=torch.float32)


@pytest.fixture(scope="module")
def tiny_i2v():
    return VideoCrafterPipeline.from_pretrained(BUNDLED / "tiny-videocrafter-i2v", dtype=torch.float32)


def test_a_clip_shows_what_its_prompt_says(tiny_t2v):
    caption = read("a large yellow circle moving left quickly on a navy background")
    score = score_first_chunk(caption, draw(tiny_t2v, Clip(str(caption), seed=1, **OPTIONS)))
    assert (score.colour, score.shape, score.background, score.direction, score.speed) == (True,) * 5
    assert score.presence == 1


def test_fewer_frames_a_second_are_longer_steps(tiny_t2v):
    def clip(caption, seed, fps):
        return draw(tiny_t2v, Clip(str(caption), seed=seed, fps=fps, **OPTIONS))

    assert score_rates(clip, slow_movers(2)).ratio > 2  # ideal: 4


def test_without_a_word_a_clip_keeps_what_its_picture_shows(tiny_i2v):
    scores = []
    for i, (_, picture) in enumerate(held_out_pictures(2)):
        scores.append(score_picture(picture, draw(tiny_i2v, Clip("", seed=i, image=picture, **OPTIONS))))
    assert sum(score.colour + score.background for score in scores) >= 3


def test_the_baseline_goes_on_in_the_same_colour(tiny_i2v):
    (caption, picture), *_ = held_out_pictures(1)
    clip = Clip(str(caption), seed=0, image=picture, **OPTIONS)
    assert score_picture(picture, np.concatenate(list(chunks(tiny_i2v, clip, 2)))).colour
