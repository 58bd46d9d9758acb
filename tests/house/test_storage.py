"""A house whose objects are in a real S3 server."""

from __future__ import annotations

import pytest

from tests.support.house import House
from tests.support.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server, is_installed

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not is_installed(), reason="no S3 server here; `make s3-server` installs one"),
]


def test_a_video_is_made_through_s3_and_fetched_from_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    storage = S3Server(tmp_path_factory.mktemp("s3")).start()
    storage.client().create_bucket(Bucket="videos")
    house = House(
        tmp_path_factory.mktemp("s3-house"),
        LONGTAKE_STORAGE_URL="s3://videos/made",
        LONGTAKE_S3_ENDPOINT_URL=storage.endpoint,
        LONGTAKE_S3_REGION=REGION,
        LONGTAKE_S3_ACCESS_KEY_ID=ACCESS_KEY,
        LONGTAKE_S3_SECRET_ACCESS_KEY=SECRET_KEY,
    )
    try:
        house.worker("render")
        video = house.submit(num_frames=40)
        assert len(house.finished(video).frame_hashes) == 40
        assert not (house.folder / "data" / "objects").exists()
        assert house.http.get(f"/v1/videos/{video}/content").status_code == 307
    finally:
        house.close()
        storage.kill()
