"""What a playlist says, judged as text: append-only, with a target that never moves, and no word of storage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service import playlists
from service.jobs import Job, JobState, Refine, Segment
from service.reels import in_a_row
from tests.service.conftest import make_job


def segment(first: int, count: int, track: str = "preview", init: str = "a") -> Segment:
    return Segment(
        track=track,  # type: ignore[arg-type]
        key=f"tenant_A/video_B/{track}/{first:08d}.f1.m4s",
        init_key=f"tenant_A/video_B/{track}/init.{init}.mp4",
        first_frame=first,
        num_frames=count,
        duration_s=count / 8,
        bytes=1000 * count,
        sha256="0" * 64,
        init_sha256=init * 64,
        codecs="avc1.64000a",
    )


def link(name: str) -> str:
    return f"{name}?token=T"


def refined_job(num_frames: int = 61, **changes: object) -> Job:
    job = make_job(num_frames=num_frames)
    refine = Refine(steps=2, strength=0.5)
    return job.model_copy(
        update={"generation": job.generation.model_copy(update={"refine": refine, "size": "128x128"}), **changes}
    )


SEGMENTS = [segment(0, 16), segment(16, 8), segment(24, 8)]


def test_a_playlist_only_ever_grows_at_its_end() -> None:
    job = make_job(num_frames=40)
    texts = [playlists.media(job, SEGMENTS[:count], link) for count in range(4)]
    for shorter, longer in zip(texts, texts[1:], strict=False):
        assert longer.startswith(shorter)
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in texts[0] and "#EXT-X-START:TIME-OFFSET=0" in texts[0]
    assert "#EXT-X-ENDLIST" not in texts[-1]


@pytest.mark.parametrize("num_frames", [1, 16, 17, 61, 200])
def test_no_segment_of_any_rendition_is_longer_than_the_target(num_frames: int) -> None:
    job = refined_job(num_frames)
    units = [unit for unit in job.generation.plan() if unit.stage != "finish"]
    target = playlists.target_duration_s(job, [])
    assert all(unit.num_frames / 8 <= target for unit in units)
    assert f"#EXT-X-TARGETDURATION:{target}\n" in playlists.media(job, [], link)


def test_a_playlist_ends_with_its_last_frame_or_with_the_job() -> None:
    job = make_job(num_frames=32)
    assert playlists.media(job, SEGMENTS, link).endswith("#EXT-X-ENDLIST\n")
    assert "#EXT-X-ENDLIST" not in playlists.media(job, SEGMENTS[:2], link)
    cancelled = job.model_copy(update={"state": JobState.CANCELLED})
    assert playlists.media(cancelled, SEGMENTS[:2], link).endswith("#EXT-X-ENDLIST\n")


def test_another_init_begins_a_discontinuity_and_the_same_one_does_not() -> None:
    job = make_job(num_frames=40)
    mixed = [*SEGMENTS[:2], segment(24, 8, init="b"), segment(32, 8, init="b")]
    lines = playlists.media(job, mixed, link).splitlines()
    at = lines.index("#EXT-X-DISCONTINUITY")
    assert lines.count("#EXT-X-DISCONTINUITY") == 1
    assert lines[at + 1] == '#EXT-X-MAP:URI="segments/preview/24.mp4?token=T"'
    assert lines[at + 3] == "segments/preview/24.m4s?token=T"
    assert sum(line.startswith("#EXT-X-MAP") for line in lines) == 2


def test_no_playlist_tells_a_name_in_storage() -> None:
    job = refined_job()
    tracks = {"preview": SEGMENTS, "refined": [segment(0, 16, "refined")]}
    for text in (playlists.master(job, tracks, link), playlists.media(job, SEGMENTS, link)):
        assert not any(word in text for word in ("tenant", "video_B", ".f1.", "init.", job.tenant, job.id))


def test_a_master_lists_both_renditions_with_what_a_player_chooses_by() -> None:
    job = refined_job()
    lines = playlists.master(job, {"preview": SEGMENTS, "refined": []}, link).splitlines()
    preview, refined = (line for line in lines if line.startswith("#EXT-X-STREAM-INF"))
    assert "RESOLUTION=64x64" in preview and 'CODECS="avc1.64000a"' in preview and "BANDWIDTH=96000" in preview
    assert "RESOLUTION=128x128" in refined and "CODECS" not in refined
    assert [line for line in lines if not line.startswith("#")] == ["preview.m3u8?token=T", "refined.m3u8?token=T"]
    failed = job.model_copy(update={"state": JobState.FAILED})
    assert "refined" not in playlists.master(failed, {"preview": SEGMENTS, "refined": []}, link)


def test_a_segment_after_a_gap_is_not_told_before_the_gap_is_closed() -> None:
    early = [segment(0, 16), segment(24, 8)]
    assert in_a_row(early) == early[:1]
    assert in_a_row([*early, segment(16, 8)]) == SEGMENTS
    assert in_a_row([segment(16, 8)]) == []


def test_a_model_that_is_no_longer_offered_can_still_be_watched(withdraw: Callable[[str], object]) -> None:
    job = refined_job(8192, state=JobState.FAILED)
    withdraw("tiny-shapes")
    assert "#EXT-X-TARGETDURATION:2\n" in playlists.media(job, SEGMENTS, link)
    assert "128x128" in playlists.master(job, {"preview": SEGMENTS}, link)
