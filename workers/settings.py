"""The service's settings, and what only a worker has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from service.settings import Settings


class WorkerSettings(Settings):
    """Read from the same environment; built once a process."""

    # On a CPU the number of threads decides how sums are split, and so the last bits of a frame. One, the same
    # for every worker, keeps a video the same wherever its units are made; more workers use more cores.
    torch_threads: int = Field(default=1, ge=1)
    # Chunks of several videos are one batch where model and size are the same, and while one unit is stored another is
    # computed. Frames then depend in their last bits on what was made beside them.
    units_at_once: int = Field(default=1, ge=1, le=16)
    pool: str = ""  # whose units it takes: one of `pools`, or those of the models that no pool is named for
    heartbeat_file: Path | None = None  # renewed every second while the worker lives: a liveness probe
    storage_patience_s: float = Field(default=60.0, ge=0)  # how long a unit waits for storage that is away
    stall_s: float = Field(default=1800.0, gt=0)  # without a step of any unit: then its process is given up
    rest_s: float = Field(default=5.0, ge=0)  # once a unit went wrong; or as long as one takes (workers.fitness)
    compile: bool = False  # the networks' blocks, at the start, on a GPU that holds them all (models.compiling)
    preload: str = ""  # a model to load before the first video asks for it
    # module:callable that is asked about frames before they are stored (workers.policy.FrameClassifier)
    frame_policy: str = ""
    frame_policy_samples: int = Field(default=3, ge=0)  # frames of a chunk that it sees; 0 is all of them
    frame_policy_timeout_s: float = Field(default=30.0, gt=0)
    # Who signs what is finished: PEM files, the chain with the leaf first, the key as PKCS #8. None: it is not signed.
    c2pa_certificate: Path | None = None
    c2pa_key: Path | None = None
    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    provenance_failure: Literal["closed", "open"] = "closed"  # a video that cannot be signed: none, or an unsigned one
    metrics_host: str = "127.0.0.1"  # where `metrics_port` listens

    @model_validator(mode="after")
    def _a_pool_of_those(self) -> WorkerSettings:
        if self.pool and self.pool not in self.pools.values():
            known = ", ".join(sorted({*self.pools.values()})) or "none"
            raise ValueError(f"pool: '{self.pool}' is not among LONGTAKE_POOLS ({known}), so nothing would ever come")
        return self

    @model_validator(mode="after")
    def _both_c2pa_files(self) -> WorkerSettings:
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise ValueError("set both c2pa_certificate and c2pa_key, or neither")
        return self
