"""Every setting of the service, read once from the environment (prefix LONGTAKE_) and passed down.

Nobody else reads the environment, and nothing is read when this module is imported. Lists are written with
commas. What the environment lacks may be a file of `secrets_dir` by the same name, as longtake_redis_url.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

MINUTE_S, HOUR_S = 60.0, 3600.0
DEFAULT_POOL = "default"  # what figures call the pool without a name

#: Standard Webhooks 1.0.0: the waits before each attempt, 75 hours in all.
STANDARD_SCHEDULE_S = (
    0.0, 5.0, 5 * MINUTE_S, 30 * MINUTE_S,
    2 * HOUR_S, 5 * HOUR_S, 10 * HOUR_S, 14 * HOUR_S, 20 * HOUR_S, 24 * HOUR_S,
)  # fmt: skip


class Settings(BaseSettings):
    """One frozen object, built by whoever starts a process."""

    model_config = SettingsConfigDict(env_prefix="LONGTAKE_", frozen=True, extra="ignore")

    # Where things are
    secrets_dir: Path = Path("/run/secrets")
    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_timeout_s: float = Field(default=3.0, gt=0)
    data_dir: Path = Path("data")
    storage_url: str = ""  # file:///folder or s3://bucket/prefix; empty means data_dir/objects
    s3_endpoint_url: str | None = None
    s3_public_url: str = ""  # what clients call the same storage, where that is another address than ours
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    presign_ttl_s: int = Field(default=900, ge=1)

    checkpoints: dict[str, str] = {}  # model -> folder or Hub id of its weights; a model that has none is not offered
    models_file: Path | None = None  # what `longtake models add` has written; None means models.json in data_dir
    families_dir: Path | None = (
        None  # modules that each are a family of models besides Longtake's own: docs/families.md
    )

    # Model -> pool of the workers that make its videos (their LONGTAKE_POOL); the others are made by those without one.
    pools: dict[str, Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]] = {}

    # The API
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: str = ""  # what clients call us; empty means the address of each request
    bootstrap_key: SecretStr | None = Field(default=None, min_length=8)  # a key that exists from the start
    body_limit_bytes: int = Field(default=1_000_000, ge=1)
    queue_limit: int = Field(default=10_000, ge=0)  # videos of all tenants that may wait; 0 is no limit, here and below
    # What each tenant may take; `longtake tenants limit` sets it for one: docs/tenants.md
    tenant_live_jobs: int = Field(default=1000, ge=0)  # videos that are queued or running
    tenant_queued_jobs: int = Field(default=0, ge=0)  # videos that no worker has begun
    tenant_units_at_once: int = Field(default=0, ge=0)  # units in work at one moment
    tenant_frames_per_day: int = Field(default=0, ge=0)  # ordered in a day of UTC
    tenant_requests_per_minute: int = Field(default=6000, ge=0)
    video_ttl_s: float = Field(default=0, ge=0)  # a video is deleted so long after its end; 0 is never
    idempotency_ttl_s: int = Field(default=86_400, ge=1)
    poll_after_ms: int = Field(default=1000, ge=1)  # what clients are told where no pace is measured yet
    stream_url_ttl_s: int = Field(default=86_400, ge=1)  # a `stream_url` opens its video for at least so long
    # The first request for a playlist waits so long for the first segment. A player that is answered with an empty one
    # tries again a few times (hls.js) or gives up (ffmpeg); after a 404 none tries again. hls.js waits for 20 s.
    playlist_hold_s: float = Field(default=15.0, ge=0, lt=20)

    # The work
    lease_ttl_s: float = Field(default=30.0, gt=0)
    sweep_interval_s: float = Field(default=5.0, gt=0)
    stale_upload_s: float = Field(default=3600.0, gt=0)  # an upload that is not complete by then is erased
    unit_attempts: int = Field(default=3, ge=1)
    torch_threads: int = Field(default=0, ge=0)  # 0 leaves the choice to torch
    device: str = "auto"
    memory: Literal["auto", "small", "medium", "large"] = "auto"  # which weights stay on a GPU: docs/checkpoints.md

    # What may be made: docs/policy.md
    policy_words: str = ""  # a file in the format of policy_words.txt, or off; empty means that list
    policy: str = ""  # module:callable that is asked about every request (service.policy.RequestClassifier)
    policy_failure: Literal["closed", "open"] = "closed"  # what an error or time-out of a classifier means
    policy_timeout_s: float = Field(default=5.0, gt=0)

    # Pictures that videos begin with: docs/pictures.md
    image_limit_bytes: int = Field(default=20_000_000, ge=1, le=20_000_000)  # of a body that may hold one, and of one
    image_timeout_s: float = Field(default=10.0, gt=0)  # to fetch one from its URL
    image_allow_private: Annotated[tuple[str, ...], NoDecode] = ()  # "host:port", or "*" for all

    # Webhooks
    webhook_retry_schedule_s: Annotated[tuple[float, ...], NoDecode] = STANDARD_SCHEDULE_S
    webhook_timeout_s: float = Field(default=15.0, gt=0)
    webhook_allow_private: Annotated[tuple[str, ...], NoDecode] = ()  # "host:port", or "*" for all

    # What is told
    metrics_port: int = Field(default=0, ge=0, le=65535)  # a worker's /metrics; 0 is off
    otlp_endpoint: str = ""  # where traces are sent (OTLP over HTTP), http://collector:4318; empty is nowhere
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"
    log_prompts: bool = False

    @field_validator("webhook_retry_schedule_s", "webhook_allow_private", "image_allow_private", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        given = {"secrets_dir": cls.model_fields["secrets_dir"].default} | env_settings() | init_settings()
        folder = Path(given["secrets_dir"])
        files = SecretsSettingsSource(settings_cls, folder if folder.is_dir() else None)
        return init_settings, env_settings, files

    @field_validator("public_url", "s3_public_url", "otlp_endpoint")
    @classmethod
    def _an_address(cls, value: str, info: ValidationInfo) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(f"{info.field_name} must begin with http:// or https://")
        return value.rstrip("/")

    @field_validator("storage_url")
    @classmethod
    def _known_storage(cls, value: str) -> str:
        if value and not value.startswith(("file://", "s3://")):
            raise ValueError("storage_url must begin with file:// or s3://")
        return value

    @model_validator(mode="after")
    def _whole_s3(self) -> Settings:
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("set both s3_access_key_id and s3_secret_access_key, or neither")
        if self.s3_public_url and not self.s3_endpoint_url:
            raise ValueError("s3_public_url is another address of s3_endpoint_url, which is not set")
        return self

    @field_validator("pools")
    @classmethod
    def _no_default(cls, value: dict[str, str]) -> dict[str, str]:
        if DEFAULT_POOL in value.values():
            raise ValueError(f"pools: '{DEFAULT_POOL}' is where every model is that is not named; leave it out")
        return value

    def pool_of(self, model: str) -> str:
        """Whose workers make the videos of a model; '' for those without a name."""
        return self.pools.get(model, "")

    @property
    def objects_url(self) -> str:
        """Where the objects are: `storage_url`, else the folder `objects` of the data folder."""
        return self.storage_url or (self.data_dir.absolute() / "objects").as_uri()

    @property
    def added_models(self) -> Path:
        """Where the models are kept that were added to those of the catalogue."""
        return self.models_file or self.data_dir / "models.json"
