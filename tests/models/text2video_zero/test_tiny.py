"""The bundled tiny weights do what their pages say: draw along a camera, and edit a clip.

Held-out captions throughout; few of them, so thresholds are below the figures of the pages.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.evaluation.editing import evaluate_edits
from models.evaluation.following import held_out_captions
from models.evaluation.panning import share_of_asked
from models.loading import BUNDLED
from models.shapes import tracker
from models.text2video_zero import control, parts
from models.text2video_zero.control import ControlOptions
from models.text2video_zero.edges import edges
from models.text2video_zero.edit import EditOptions, edit
from models.text2video_zero.options import Options
from models.text2video_zero.pipeline import Text2VideoZero

FRAMES = 8
ZERO, EDITOR = BUNDLED / "tiny-text2video-zero", BUNDLED / "tiny-instruct-pix2pix"
CONTROLLED = BUNDLED / "tiny-controlnet-canny"


@pytest.fixture(scope="module")
def tiny():
    return parts.load(str(ZERO), dtype=torch.float32)


@pytest.fixture(scope="module")
def editor():
    return parts.load(str(EDITOR), shown=True, dtype=torch.float32)


def read(frames):
    return tracker.track(torch.from_numpy(frames))


def test_a_picture_becomes_a_video_of_one_whole_object_that_moves_as_asked(tiny):
    motion = (-10.0, 6.0)
    options = Options(steps=20, guidance_scale=3.0, motion=motion, t_prime=301, t_start=401, chunk_frames=8)
    right, shares = 0, []
    captions = held_out_captions(4, seed=21)
    for i, caption in enumerate(captions):
        shot = Text2VideoZero(tiny, options, height=128, width=128, seed=i)
        frames = np.concatenate(list(shot.generate(str(caption), num_frames=FRAMES)))
        seen, (actor,) = read(frames), caption.actors
        assert seen.presence == 1
        assert seen.background == caption.background
        right += (seen.colour == actor.colour) + (seen.shape == actor.shape)
        shares.append(share_of_asked(frames, motion))
    assert right >= 6  # of 8
    assert np.mean(shares) == pytest.approx(1, abs=0.25)


def test_an_instruction_changes_what_it_names_and_keeps_the_motion(editor):
    options = EditOptions(steps=10, guidance_scale=3.0, image_guidance_scale=2.0)

    def edited(case):
        return np.concatenate(list(edit(editor, case.frames, str(case.instruction), seed=0, options=options)))

    figures = evaluate_edits(edited, 4, frames=FRAMES)["all"]
    assert figures["changed"] >= 0.75
    assert figures["kept"] >= 0.8
    assert figures["presence"] == 1
    assert figures["trajectory_error"] < 4


def test_a_prompt_is_drawn_along_the_edges_of_a_clip():
    parts_of_it = parts.load(str(CONTROLLED), controlled=True, dtype=torch.float32)
    options = ControlOptions(steps=20, guidance_scale=3.0)

    def drawn(case):
        return np.concatenate(
            list(control.draw(parts_of_it, edges(case.frames), case.caption, seed=0, options=options))
        )

    figures = evaluate_edits(drawn, 4, frames=FRAMES, changes=("colour", "background"))["all"]
    assert figures["changed"] >= 0.75
    assert figures["kept"] >= 0.75
    assert figures["presence"] == 1
    assert figures["trajectory_error"] < 4
