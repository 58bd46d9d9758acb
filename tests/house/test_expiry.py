"""A video that stays for two seconds, in a service of its own with real processes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis

from tests.support.house import House, until

pytestmark = pytest.mark.processes


def test_a_video_is_gone_with_its_files_and_its_keys_when_its_time_is_over(tmp_path: Path) -> None:
    house = House(tmp_path, LONGTAKE_VIDEO_TTL_S="2")
    try:
        house.worker("render")
        video = house.submit(num_frames=16, refine=False)
        ended = house.finished(video).video
        assert ended["completed_at"] and 1 <= ended["expires_at"] - ended["completed_at"] <= 3
        files = [path for path in (tmp_path / "data" / "objects").rglob("*") if path.is_file() and video in path.parts]
        assert files
        until(lambda: house.http.get(f"/v1/videos/{video}").status_code == 404, "the end of the video's time")
        assert time.time() >= ended["expires_at"]
        until(lambda: not any(path.exists() for path in files), "the end of its files")
        with redis.Redis(port=house.valkey.port, decode_responses=True) as client:
            assert not [name for name in client.scan_iter("*") if video in name]
        assert house.http.get("/v1/videos").json()["data"] == []
    finally:
        house.close()
