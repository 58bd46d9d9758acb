"""From a request to a job: every field against what the model can do, before anything is stored.

A pure function of the request, the catalogue and the settings; knows nothing of HTTP or Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from models import catalog, limits
from models.model import CatalogError, Model
from service import ids
from service.api import fields
from service.api.schemas import CreateVideo, EditVideo, Handling, ImageReference, Recipe
from service.errors import InvalidRequest
from service.jobs import Ancestry, ClipRef, Generation, Job
from service.lineage import Heir
from service.settings import Settings


def job_of(order: CreateVideo, tenant: str, settings: Settings, *, with_image: bool = False) -> Job:
    """The job that does what was ordered. Raises `InvalidRequest` naming the field and what is allowed."""
    with refusals():
        model = _composed(order, settings)
        limits.check_image(model, with_image)
        limits.check_clip(model, given=False)
        limits.check_later(model, order.interpolate, order.upscale, settings.checkpoints)
        return _job(_generation(order, model), tenant, order, settings)


def child_of(heir: Heir, parent: Job, order: Handling, settings: Settings) -> Job:
    """The job that makes a video from another. Raises `InvalidRequest` where its model cannot, or is gone."""
    with refusals():
        made = heir.generation
        catalog.find(made.model, catalog.offered(settings.checkpoints))
        model = made.recipe()
        limits.check_frames(model, heir.generation.num_frames, "seconds")
        limits.check_image(model, made.image is not None)
        of = made.clip.frames if made.clip else None
        limits.check_clip(model, given=made.clip is not None, frames=made.num_frames, of=of)
        check_prompts(heir.generation)
        return _job(heir.generation, parent.tenant, order, settings, heir.ancestry)


def edit_of(order: EditVideo, parent: Job, clip: ClipRef, settings: Settings) -> Job:
    """The job that changes a clip as ordered. Raises `InvalidRequest`."""
    with refusals():
        model = catalog.editor(order.model, catalog.offered(settings.checkpoints)).shaped(parent.generation.made.size)
        limits.check_frames(model, clip.frames, "video.id")
        generation = Generation(
            model=model.name,
            prompt=fields.prompt(order.prompt, model, "prompt"),
            negative_prompt=fields.short(order.negative_prompt, model, "negative_prompt"),
            num_frames=clip.frames,
            fps=parent.generation.made.fps,
            size=str(model.size),
            seed=fields.seed(order.seed),
            steps=fields.within("steps", order.steps, 2, model.max_steps, model.default_steps),
            guidance_scale=fields.guidance_scale(order.guidance_scale, model),
            anchor_guidance_scale=fields.second_scale("clip_guidance_scale", order.clip_guidance_scale, model),
            clip=clip,
        )
        return _job(generation, parent.tenant, order, settings, Ancestry(kind="edit", video=parent.id))


def image_url(reference: ImageReference | None) -> str | None:
    """Where the picture is that the video is to begin with; None for a video that begins with none."""
    if reference is None:
        return None
    if reference.file_id is not None:
        how = "send the picture as a file of a form, or as image_url (https://… or data:image/png;base64,…)"
        raise InvalidRequest(f"There is no store of files here; {how}.", "input_reference.file_id", "unknown_file")
    if not reference.image_url:
        raise InvalidRequest("input_reference has no image_url.", "input_reference.image_url", "missing_field")
    return reference.image_url


def check_prompts(generation: Generation) -> None:
    """Raises `InvalidRequest` where a video that follows these prompts cannot be made or told of."""
    with refusals():
        model = catalog.find(generation.model)
        fields.prompt(generation.prompt, model, "prompt")
        for entry in generation.prompts:
            fields.prompt(entry.prompt, model, "prompt")
    fields.check_together(generation.prompt, [entry.prompt for entry in generation.prompts])


def frames_of(seconds: str, generation: Generation) -> int:
    """How many frames of a video of this kind take so long."""
    with refusals():
        return fields.frames_in(seconds, catalog.find(generation.model))


@contextmanager
def refusals() -> Iterator[None]:
    """What the catalogue refuses, as the client is told of it."""
    try:
        yield
    except CatalogError as error:
        raise InvalidRequest(str(error), error.field, error.code) from None


def _job(
    generation: Generation, tenant: str, order: Handling, settings: Settings, ancestry: Ancestry | None = None
) -> Job:
    job = Job(
        id=ids.new("video"),
        tenant=tenant,
        created_at=0,  # the store's clock counts
        generation=generation,
        ancestry=ancestry,
        units_total=0,
        metadata=order.metadata,
        webhook=fields.target(order.webhook, settings) if order.webhook else None,
        priority=order.priority,
        deadline_s=order.deadline_s,
    )
    return job.model_copy(update={"units_total": len(job.work())})


def _generation(order: CreateVideo, model: Model) -> Generation:
    num_frames = fields.num_frames(order, model)
    refine = fields.refinement(order, model)
    recipe = order.recipe or Recipe()
    return Generation(
        model=model.name,
        prompt=fields.prompt(order.prompt, model, "prompt"),
        prompts=fields.schedule(order, model, num_frames),
        negative_prompt=fields.short(order.negative_prompt, model, "negative_prompt"),
        num_frames=num_frames,
        fps=model.fps,
        size=order.size or str(model.refined_size if refine else model.size),
        seed=fields.seed(order.seed),
        steps=fields.steps(order, model),
        guidance_scale=fields.guidance_scale(order.guidance_scale, model),
        anchor_guidance_scale=fields.second_scale("anchor_guidance_scale", order.anchor_guidance_scale, model),
        refine=refine,
        turbo=fields.turbo(order, model),
        first_chunk=recipe.first_chunk,
        streamer=recipe.streamer,
        rate=fields.rate(recipe.rate, model),
        motion=fields.motion(recipe.motion, model),
        interpolate=order.interpolate,
        upscale=order.upscale,
    )


def _composed(order: CreateVideo, settings: Settings) -> Model:
    """The model with the systems of the order's recipe."""
    offered, recipe = catalog.offered(settings.checkpoints), order.recipe or Recipe()
    model = catalog.find(order.model or catalog.DEFAULT_MODEL, offered)
    return catalog.placed(model.composed(recipe.first_chunk, recipe.streamer), settings.checkpoints)
