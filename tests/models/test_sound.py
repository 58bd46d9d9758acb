"""Which samples belong to which frames, and how one sound is faded into another."""

from __future__ import annotations

import numpy as np
import pytest

from models.sound import begins, faded, span


@pytest.mark.parametrize(("fps", "rate"), [(24, 24000), (25, 48000), (24, 44100), (7, 24000), (60, 16000)])
def test_pieces_of_a_video_join_without_a_gap(fps, rate):
    lengths = [25, 1, 16, 96, 3]
    starts = np.cumsum([0, *lengths])
    assert sum(span(int(at), n, fps=fps, rate=rate) for at, n in zip(starts, lengths, strict=False)) == begins(
        sum(lengths), fps=fps, rate=rate
    )
    for frame in range(200):
        assert abs(begins(frame, fps=fps, rate=rate) - frame * rate / fps) <= 0.5
    assert begins(10 * 60 * 60 * fps, fps=fps, rate=rate) == 10 * 60 * 60 * rate


def test_a_fade_begins_with_the_one_and_ends_with_the_other_at_one_power():
    rng = np.random.default_rng(0)
    before, after = (rng.normal(0, 3000, (n, 2)).round().astype(np.int16) for n in (40000, 60000))
    made = faded(before, after)
    assert made.dtype == np.int16 and np.array_equal(made[0], before[0])
    assert np.array_equal(made[40000:], after[40000:]) and np.abs(made[39990:40000] - after[39990:40000]).max() <= 10
    powers = [made[at : at + 10000].std() for at in range(0, 40000, 10000)]
    assert max(powers) / min(powers) < 1.05


def test_a_fade_is_no_longer_than_what_it_fades_into_and_no_louder_than_sound_can_be():
    loud = np.full((8, 1), 32767, np.int16)
    assert len(faded(loud, loud[:3])) == 3 and np.array_equal(faded(loud[:0], loud), loud)
    assert faded(loud, loud).max() == 32767 and faded(-loud, -loud).min() == -32768
