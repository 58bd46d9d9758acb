"""One unit of a video: claim it, make it, store it, commit it. Then it is done, whatever happens next.

A unit begins with the states that earlier units have left and ends with its segment and its state in object
storage; only then the store hears of it. So a worker killed at any moment costs one unit, and whoever makes
that unit again makes the same frames. Knows neither Celery nor HTTP.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from typing import Any

import torch

from models.model import CatalogError, CheckpointError
from models.units import Stage, Unit
from service import tracing
from service.errors import PolicyRefused, ServiceError, StaleFence, StoreUnavailable, UnreadableRecord
from service.jobs import Claim, Job, Segment, UnitDone
from service.objects import key
from workers import media
from workers.finish import finish
from workers.lease import Cancelled, Draining, Lease, LeaseLost
from workers.workshop import Workshop

log = logging.getLogger(__name__)

COMMIT_AGAIN_S = 0.5
LOOK_AGAIN_S = 0.25  # for a unit to be made beside those in work
OUT_OF_MEMORY = "out_of_memory"


def render_some(shop: Workshop) -> Iterator[Job]:
    """Claim one unit, do it, commit it: the job as it then is; nothing when there is nothing to do.

    Where the worker makes several at once, others beside it, and in their places others again until none is in work.
    After a unit that went wrong it rests first.
    """
    shop.rest()
    if shop.settings.units_at_once == 1:
        if not shop.draining.is_set() and (job := render_next(shop)):
            yield job
        return
    errors = list[BaseException]()
    with ThreadPoolExecutor(shop.settings.units_at_once, thread_name_prefix="unit") as pool:
        at_work = set[Future[Job]]()
        while not errors:
            while len(at_work) < shop.settings.units_at_once and shop.takes_units and (claim := taken(shop)):
                at_work.add(pool.submit(render_claimed, shop, claim))
            if not at_work:
                return
            is_full = len(at_work) == shop.settings.units_at_once
            done, at_work = wait(at_work, None if is_full else LOOK_AGAIN_S, FIRST_COMPLETED)
            errors = [error for unit in done if (error := unit.exception())]
            yield from (unit.result() for unit in done if unit.exception() is None)
        for unit in as_completed(at_work):
            if unit.exception() is None:
                yield unit.result()
    raise errors[0]


def render_next(shop: Workshop) -> Job | None:
    """One unit in this thread."""
    claim = taken(shop)
    return None if claim is None else render_claimed(shop, claim)


def taken(shop: Workshop) -> Claim | None:
    """A claim on the next unit."""
    claim = shop.store.claim_next(shop.worker_id, shop.settings.pool)
    if claim is not None:
        shop.metrics.claimed(claim)
    return claim


def render_claimed(shop: Workshop, claim: Claim) -> Job:
    with tracing.unit(claim), shop.fitness.at_work():
        return render(shop, claim)


def render(shop: Workshop, claim: Claim) -> Job:
    """Do a claimed unit and tell the store what became of it: the job as it then is."""
    about = {"job": claim.job.id, "position": claim.position, "attempt": claim.attempt, "fence": claim.fence}
    try:
        unit = claim.job.work()[claim.position]
        with shop.lease(claim) as lease:
            job = commit(shop, claim, make(shop, claim, unit, lease), lease)
        shop.fitness.succeeded()
        return job
    except (Cancelled, Draining) as reason:
        log.info("unit given back: %s", type(reason).__name__.lower(), extra=about)
        return shop.store.release(claim) or claim.job
    except UnreadableRecord:
        shop.store.release(claim)  # units of it were made by a newer release, which can go on with it
        raise
    except (LeaseLost, StaleFence):
        log.warning("unit lost to another worker, dropped", extra=about)
        shop.metrics.failed(StaleFence.code)
        shop.forget()  # the state that counts is the other's
        shop.store.lost(claim)  # what is stored of it may be stored later than anybody looked
    except Exception as error:
        code, message, retryable = blame(error)
        log.warning("unit went wrong", extra={**about, "code": code}, exc_info=error)
        shop.metrics.failed(code)
        tracing.went_wrong(error)
        if code in (OUT_OF_MEMORY, PolicyRefused.code):
            shop.forget()
        if retryable:
            shop.doubt(claim, is_own=not isinstance(error, ServiceError))
        try:
            return shop.store.fail(claim, code, message, retryable)
        except StaleFence:
            shop.store.lost(claim)
    return claim.job


def make(shop: Workshop, claim: Claim, unit: Unit, lease: Lease) -> UnitDone:
    """Make a unit and put what it leaves into object storage, under names that carry the fence."""
    began = time.monotonic()
    done = UnitDone(position=claim.position, unit=unit.key, fence=claim.fence, worker_id=claim.worker_id, seconds=0)
    left = finish(shop, claim) if unit.stage is Stage.FINISH else draw(shop, claim, unit, lease)
    return done.model_copy(update={**left, "seconds": time.monotonic() - began})


def draw(shop: Workshop, claim: Claim, unit: Unit, lease: Lease) -> dict[str, object]:
    """A unit of tensors: its segment, where it shows frames, and the state that later units need."""
    job = claim.job

    def step(done: int, total: int) -> None:
        shop.fitness.moved()
        lease.step(done, total)

    with tracing.step("generate"):
        recipe = shop.recipe(job)
        with shop.turn(recipe):
            made = recipe.run(unit, shop.states_for(job, unit), on_step=step)
    segment = None
    if len(made.frames):
        shop.frame_policy.check_frames(job, unit, made.frames)
        with tracing.step("encode"):
            fps = job.generation.fps_of(unit.stage)
            encoded = media.encode(made.frames, fps=fps, first_frame=unit.first_frame, sound=made.sound)
        segment = put_segment(shop, claim, unit, encoded)
    state_key = key(job.tenant, job.id, "states", f"{unit.key}.f{claim.fence}.safetensors")
    shop.put(state_key, made.state)
    shop.states.put((job.id, unit.key), made.state)
    return {"segment": segment, "state_key": state_key}


def put_segment(shop: Workshop, claim: Claim, unit: Unit, encoded: media.Encoded) -> Segment:
    """Store a segment, and before it the init that every segment of its track shares."""
    job = claim.job
    track: Any = unit.stage.track
    init_sha256 = hashlib.sha256(encoded.init).hexdigest()
    init_key = key(job.tenant, job.id, track, f"init.{init_sha256[:16]}.mp4")  # a worker of another make has another
    segment_key = key(job.tenant, job.id, track, f"{unit.first_frame:08d}.f{claim.fence}.m4s")
    if not shop.objects.exists(init_key):
        shop.put(init_key, encoded.init, "video/mp4")
    shop.put(segment_key, encoded.segment, "video/iso.segment")
    return Segment(
        track=track,
        key=segment_key,
        init_key=init_key,
        first_frame=unit.first_frame,
        num_frames=unit.num_frames,
        duration_s=unit.num_frames / job.generation.fps_of(unit.stage),
        bytes=len(encoded.segment),
        sha256=hashlib.sha256(encoded.segment).hexdigest(),
        init_sha256=init_sha256,
        codecs=media.codecs(encoded.init),
    )


def commit(shop: Workshop, claim: Claim, done: UnitDone, lease: Lease) -> Job:
    """Tell the store; again while the lease holds, so that a short outage does not cost what is made."""
    while True:
        try:
            job = shop.store.commit(claim, done)
            shop.metrics.committed(job, done)
            log.info("unit done", extra={"job": job.id, "unit": done.unit, "seconds": round(done.seconds, 3)})
            return job
        except StoreUnavailable:
            log.warning("commit not answered, trying again", extra={"job": claim.job.id, "unit": done.unit})
            time.sleep(COMMIT_AGAIN_S)
            if lease.is_lost:
                raise LeaseLost from None


def blame(error: Exception) -> tuple[str, str, bool]:
    """What the store is told of an error: a stable code, a sentence for the user, whether to try again."""
    if isinstance(error, ServiceError):
        return error.code, error.message, error.retryable
    if isinstance(error, CatalogError):
        return error.code, str(error), False
    if isinstance(error, CheckpointError):
        return "model_unavailable", "The worker cannot load this model.", True
    if isinstance(error, ValueError):
        return "generation_failed", f"The model cannot make this video: {error}", False
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return OUT_OF_MEMORY, "The worker had too little memory for this video.", True
    if isinstance(error, media.MediaError):
        return "encoding_failed", "The frames could not be encoded.", True
    return "internal_error", "The worker failed while it made this video.", True
