"""A video that begins with a picture, by a real worker with the real recipe, on both kinds of storage."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image
from prometheus_client import CollectorRegistry

from models import catalog, pictures, state
from models.model import CatalogError
from models.recipe import Recipe
from models.request import default_request
from service import ids, images
from service.jobs import Job, JobState, PromptAt
from service.objects import open_objects
from service.store import Store
from service.telemetry import WorkerMetrics
from tests.support import checkpoint, s3
from tests.workers.conftest import make_job
from workers.render import render_next
from workers.settings import WorkerSettings
from workers.workshop import Workshop

PIXELS = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
OTHER = "a blue star moving up on a navy background"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / checkpoint.NAME
    checkpoint.make(folder)
    return folder


@pytest.fixture(params=["local", "s3"])
def shop(request: pytest.FixtureRequest, settings: WorkerSettings, weights: Path, client: redis.Redis) -> Workshop:
    changes: dict[str, object] = {"checkpoints": {checkpoint.NAME: str(weights)}, "lease_ttl_s": 30.0}
    if request.param == "s3":
        changes |= s3.settings(request.getfixturevalue("s3_server").endpoint)
    settings = WorkerSettings.model_validate(settings.model_dump() | changes)
    metrics = WorkerMetrics(CollectorRegistry())
    return Workshop(ids.new("worker"), settings, Store(client, settings), open_objects(settings), metrics)


def pictured(shop: Workshop, pixels: np.ndarray = PIXELS, num_frames: int = 24) -> Job:
    """A job with a picture, as the API takes it in."""
    job = make_job(num_frames)
    png = pictures.png(Image.fromarray(pixels))
    image = images.keep(shop.objects, job.tenant, job.id, png)
    return job.model_copy(update={"generation": job.generation.model_copy(update={"image": image})})


def frames_of(shop: Workshop, job: Job, unit: str) -> np.ndarray:
    (done,) = (done for done in shop.store.committed(job.id) if done.unit == unit)
    assert done.state_key
    return state.loads(shop.objects.get(done.state_key))["frames"].numpy()


def test_the_first_frame_is_the_picture(shop: Workshop) -> None:
    job, _ = shop.store.submit(pictured(shop))
    render_next(shop)
    frames = frames_of(shop, job, "initialize-00000")
    assert np.array_equal(frames[0], PIXELS) and not np.array_equal(frames[1], PIXELS)


def test_a_worker_makes_the_frames_that_the_command_makes(shop: Workshop) -> None:
    """`longtake generate --image` decodes the file that the API re-encodes."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).resize((96, 80)).save(file, "WEBP", quality=60)
    sent = pictures.decode(file.getvalue())
    job, _ = shop.store.submit(pictured(shop, np.asarray(sent), num_frames=16))
    render_next(shop)
    recipe = shop.recipe(job)
    assert recipe.request.image is not None and np.array_equal(recipe.request.image, np.asarray(sent))
    request = recipe.request
    alone = Recipe(recipe.pipeline, recipe.model, request).run(recipe.plan[0], {})
    assert np.array_equal(frames_of(shop, job, "initialize-00000"), alone.frames)


@pytest.mark.parametrize("what", ["gone", "another"])
def test_a_picture_that_is_not_what_it_was_fails_the_job_at_once(shop: Workshop, what: str) -> None:
    job = pictured(shop)
    shop.objects.delete_prefix(f"{job.tenant}/{job.id}/")
    if what == "another":
        images.keep(shop.objects, job.tenant, job.id, pictures.png(Image.new("RGB", (64, 64))))
    shop.store.submit(job)
    failed = render_next(shop)
    assert failed and failed.state == JobState.FAILED and failed.error
    assert failed.error.code == "image_lost" and failed.fence == 1
    assert job.tenant not in failed.error.message


def test_a_steered_job_has_another_recipe_and_an_unchanged_one_the_same(shop: Workshop) -> None:
    job = pictured(shop)
    assert shop.recipe(job) is shop.recipe(job.model_copy(update={"units_done": 1}))
    prompts = (PromptAt(at_seconds=2.0, prompt=OTHER),)
    steered = job.model_copy(update={"generation": job.generation.model_copy(update={"prompts": prompts})})
    assert shop.recipe(steered).request.prompt_at(16) == OTHER
    assert shop.recipe(job).request.prompt_at(16) != OTHER


def test_a_model_that_goes_on_from_a_picture_is_not_begun_without_one(shop: Workshop) -> None:
    model = catalog.find("streaming-t2v-svd")
    request = default_request(model, "anything", num_frames=16, seed=1, refine=False)
    with pytest.raises(CatalogError) as refused:
        Recipe(shop._pipeline(catalog.find("tiny-shapes")), model, request)
    assert refused.value.code == "image_needed"
