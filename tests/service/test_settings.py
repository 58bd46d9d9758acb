"""Settings come from the environment once, and a wrong one stops the start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import STANDARD_SCHEDULE_S, Settings
from workers.settings import WorkerSettings


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAKE_WEBHOOK_RETRY_SCHEDULE_S", "0, 1.5,3")
    monkeypatch.setenv("LONGTAKE_WEBHOOK_ALLOW_PRIVATE", "127.0.0.1:9000,*")
    monkeypatch.setenv("LONGTAKE_IMAGE_ALLOW_PRIVATE", "127.0.0.1:9001")
    settings = Settings()
    assert settings.image_allow_private == ("127.0.0.1:9001",)
    assert settings.webhook_retry_schedule_s == (0.0, 1.5, 3.0)
    assert settings.webhook_allow_private == ("127.0.0.1:9000", "*")


def test_the_retry_schedule_is_the_standards_and_lasts_75_hours() -> None:
    assert sum(STANDARD_SCHEDULE_S) / 3600 == pytest.approx(75.6, abs=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"storage_url": "/tmp/x"},
        {"s3_access_key_id": "only"},
        {"s3_public_url": "http://films.example"},  # of which storage?
        {"lease_ttl_s": 0},
        {"bootstrap_key": "short"},
        {"public_url": "video.example"},
        {"video_ttl_s": -1},
        {"pools": {"tiny-shapes": "Large"}},  # a name of Celery's queues and of Kubernetes' labels
        {"pools": {"tiny-shapes": "default"}},
        {"tenant_frames_per_day": -1},
    ],
)
def test_a_wrong_setting_stops_the_start(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_a_worker_of_a_pool_that_nothing_is_ordered_from_does_not_start() -> None:
    pools = {"streaming-t2v": "large", "tiny-shapes": "small"}
    assert WorkerSettings(pools=pools, pool="large").pool == "large"
    with pytest.raises(ValidationError, match="'larg' is not among LONGTAKE_POOLS \\(large, small\\)"):
        WorkerSettings(pools=pools, pool="larg")


def test_settings_do_not_change_and_do_not_show_secrets() -> None:
    settings = Settings(bootstrap_key="ltk_abc_secretsecret")  # type: ignore[arg-type]
    assert "secretsecret" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_what_the_environment_lacks_is_a_file_of_the_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "longtake_redis_url").write_text("redis://of.a.file/0\n")
    (tmp_path / "longtake_bootstrap_key").write_text("ltk_of_a_file")
    (tmp_path / "another").mkdir()
    monkeypatch.setenv("LONGTAKE_SECRETS_DIR", str(tmp_path))
    assert Settings().redis_url == WorkerSettings().redis_url == "redis://of.a.file/0"
    assert "redis_url" in Settings().model_fields_set
    monkeypatch.setenv("LONGTAKE_REDIS_URL", "redis://of.the.environment/0")
    assert Settings().redis_url == "redis://of.the.environment/0"
    assert Settings(redis_url="redis://of.the.caller/0").redis_url == "redis://of.the.caller/0"
    key = Settings().bootstrap_key
    assert key and key.get_secret_value() == "ltk_of_a_file"
    monkeypatch.setenv("LONGTAKE_SECRETS_DIR", str(tmp_path / "nowhere"))
    assert Settings().bootstrap_key is None
