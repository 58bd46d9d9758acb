"""Ids are unique, sort by time, and nothing else passes for one."""

import time

import pytest

from service import ids


def test_ids_sort_by_the_time_they_were_made() -> None:
    first = ids.new("video")
    time.sleep(0.002)
    second = ids.new("video")
    assert first < second
    assert ids.is_id(first, "video") and not ids.is_id(first, "evt")


def test_ids_are_unique() -> None:
    assert len({ids.new("evt") for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    "text", ["", "video_", "video_../../etc/passwd", "video_" + "U" * 26, "VIDEO_" + "0" * 26, "0" * 26]
)
def test_what_is_not_an_id_is_refused(text: str) -> None:
    assert not ids.is_id(text)
