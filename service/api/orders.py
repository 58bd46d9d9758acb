"""From a request to a job: every field against what the model can do, before anything is stored.

A pure function of the request, the catalogue and the settings; knows nothing of HTTP or Redis.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from models import catalog, limits, systems
from models.catalog import CatalogError, Model
from service import ids
from service.api.schemas import CreateVideo, EditVideo, Handling, ImageReference, Recipe, RefineOptions, Webhook
from service.errors import DeliveryRefused, InvalidRequest
from service.jobs import Ancestry, ClipRef, Generation, Job, PromptAt, Refine, WebhookTarget
from service.lineage import Heir
from service.outbound import check_url
from service.settings import Settings
from service.webhooks import DEFAULT_EVENTS, EVENTS

DEFAULT_SECONDS = "4"
MAX_PROMPTS_CHARS = 8000  # of all prompts together, so that an event stays small enough to post


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
            prompt=_prompt(order.prompt, model, "prompt"),
            negative_prompt=_short(order.negative_prompt, model, "negative_prompt"),
            num_frames=clip.frames,
            fps=parent.generation.made.fps,
            size=str(model.size),
            seed=_seed(order.seed),
            steps=_within("steps", order.steps, 2, model.max_steps, model.default_steps),
            guidance_scale=_scale("guidance_scale", order.guidance_scale, model, model.default_guidance_scale),
            anchor_guidance_scale=_scale(
                "clip_guidance_scale", order.clip_guidance_scale, model, model.default_anchor_guidance_scale
            ),
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
        _prompt(generation.prompt, model, "prompt")
        for entry in generation.prompts:
            _prompt(entry.prompt, model, "prompt")
    _together(generation.prompt, [entry.prompt for entry in generation.prompts])


def frames_of(seconds: str, generation: Generation) -> int:
    """How many frames of a video of this kind take so long."""
    with refusals():
        return _frames_in(seconds, catalog.find(generation.model))


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
        webhook=_target(order.webhook, settings) if order.webhook else None,
        priority=order.priority,
        deadline_s=order.deadline_s,
    )
    return job.model_copy(update={"units_total": len(job.work())})


def _generation(order: CreateVideo, model: Model) -> Generation:
    num_frames = _num_frames(order, model)
    refine = _refine(order, model)
    recipe = order.recipe or Recipe()
    return Generation(
        model=model.name,
        prompt=_prompt(order.prompt, model, "prompt"),
        prompts=_schedule(order, model, num_frames),
        negative_prompt=_short(order.negative_prompt, model, "negative_prompt"),
        num_frames=num_frames,
        fps=model.fps,
        size=order.size or str(model.refined_size if refine else model.size),
        seed=_seed(order.seed),
        steps=_within("steps", order.steps, 1, model.max_steps, model.default_steps),
        guidance_scale=_scale("guidance_scale", order.guidance_scale, model, model.default_guidance_scale),
        anchor_guidance_scale=_scale(
            "anchor_guidance_scale", order.anchor_guidance_scale, model, model.default_anchor_guidance_scale
        ),
        refine=refine,
        first_chunk=recipe.first_chunk,
        streamer=recipe.streamer,
        rate=_rate(recipe.rate, model),
        motion=_motion(recipe.motion, model),
        interpolate=order.interpolate,
        upscale=order.upscale,
    )


def _composed(order: CreateVideo, settings: Settings) -> Model:
    """The model with the systems of the order's recipe."""
    offered, recipe = catalog.offered(settings.checkpoints), order.recipe or Recipe()
    model = catalog.find(order.model or catalog.DEFAULT_MODEL, offered)
    return catalog.placed(model.composed(recipe.first_chunk, recipe.streamer), settings.checkpoints)


def _rate(rate: float | None, model: Model) -> float | None:
    if rate is None:
        return None
    heard, (least, most) = systems.HEAR_RATE & model.systems, systems.RATES
    if not heard:
        raise InvalidRequest(
            f"recipe.rate is for {catalog.listed(sorted(systems.HEAR_RATE))}, and this recipe has none of them.",
            "recipe.rate",
            "unknown_recipe",
        )
    if not least <= rate <= most:
        raise InvalidRequest(
            f"recipe.rate is {rate:g}; {least:g} to {most:g} are possible.", "recipe.rate", "out_of_range"
        )
    return rate


def _motion(motion: tuple[float, float] | None, model: Model) -> tuple[float, float] | None:
    if motion is None:
        return None
    if systems.TEXT2VIDEO_ZERO not in model.systems:
        said = f"recipe.motion is for {systems.TEXT2VIDEO_ZERO}, which this recipe does not have."
        raise InvalidRequest(said, "recipe.motion", "unknown_recipe")
    if not all(abs(moved) <= systems.MAX_MOTION for moved in motion):
        said = f"recipe.motion is {list(motion)}; each is -{systems.MAX_MOTION} to {systems.MAX_MOTION}."
        raise InvalidRequest(said, "recipe.motion", "out_of_range")
    return motion


def _num_frames(order: CreateVideo, model: Model) -> int:
    if order.seconds is not None and order.num_frames is not None:
        raise InvalidRequest("Give seconds or num_frames, not both.", "num_frames", "conflicting_fields")
    if order.num_frames is not None:
        return limits.check_frames(model, order.num_frames)
    return _frames_in(DEFAULT_SECONDS if order.seconds is None else order.seconds, model)


def _frames_in(asked: str, model: Model) -> int:
    try:
        seconds = float(asked)
    except ValueError:
        seconds = math.nan
    longest = model.max_frames / model.fps
    if not 0.5 / model.fps < seconds <= longest:
        code = "too_long" if seconds > longest else "too_short" if seconds == seconds else "invalid_value"
        allowed = f"{model.name} makes {1 / model.fps:g} to {longest:g} seconds"
        raise InvalidRequest(f"seconds is {asked}; {allowed}.", "seconds", code)
    return limits.check_frames(model, round(seconds * model.fps), "seconds")


def _refine(order: CreateVideo, model: Model) -> Refine | None:
    """A video is refined exactly if its size is one of the model's refined sizes."""
    sizes = {str(size): size in model.refined_sizes for size in model.sizes}
    if order.size is not None and order.size not in sizes:
        raise InvalidRequest(
            f"size is '{order.size}'; {model.name} makes {catalog.listed(sizes)}.", "size", "unknown_size"
        )
    by_size = None if order.size is None else sizes[order.size]
    by_refine = None if order.refine is None else order.refine is not False
    if None not in (by_size, by_refine) and by_size != by_refine:
        raise InvalidRequest(
            f"size {order.size} is {'' if by_size else 'not '}refined, and refine says otherwise; "
            f"{catalog.listed(dict(model.pairs))} is made without refinement, "
            f"{catalog.listed(model.refined_sizes)} with it.",
            "refine",
            "conflicting_fields",
        )
    if by_size is False or by_refine is False:
        return None
    asked = order.refine if isinstance(order.refine, RefineOptions) else RefineOptions()
    return Refine(
        steps=_within("refine.steps", asked.steps, 1, model.max_steps, model.default_refine_steps),
        strength=_strength(asked.strength, model),
        blending=asked.blending,
    )


def _schedule(order: CreateVideo, model: Model, num_frames: int) -> tuple[PromptAt, ...]:
    """Prompts in the order of their times, each within the video."""
    before, length_s = -math.inf, num_frames / model.fps
    for i, entry in enumerate(order.prompts):
        if not max(0.0, before) <= entry.at_seconds < length_s or entry.at_seconds == before:
            allowed = f"times grow from 0 to below {length_s:g}, the length of the video"
            raise InvalidRequest(
                f"at_seconds is {entry.at_seconds:g}; {allowed}.", f"prompts[{i}].at_seconds", "invalid_value"
            )
        _prompt(entry.prompt, model, f"prompts[{i}].prompt")
        before = entry.at_seconds
    _together(order.prompt, [entry.prompt for entry in order.prompts])
    return tuple(PromptAt(at_seconds=entry.at_seconds, prompt=entry.prompt) for entry in order.prompts)


def _together(first: str, others: Sequence[str]) -> None:
    chars = len(first) + sum(map(len, others))
    if chars > MAX_PROMPTS_CHARS:
        raise InvalidRequest(
            f"The prompts have {chars} characters; together at most {MAX_PROMPTS_CHARS}.", "prompts", "too_long"
        )


def _prompt(prompt: str, model: Model, field: str) -> str:
    """The prompt as it was written, if the model understands it."""
    if not prompt.strip():
        raise InvalidRequest(f"{field} is empty.", field, "missing_field")
    limits.caption(model, _short(prompt, model, field), field)
    return prompt


def _short(prompt: str, model: Model, field: str) -> str:
    if len(prompt) > model.max_prompt_chars:
        raise InvalidRequest(
            f"{field} has {len(prompt)} characters; at most {model.max_prompt_chars}.", field, "too_long"
        )
    return prompt


def _within(field: str, value: int | None, least: int, most: int, default: int) -> int:
    if value is None:
        return default
    if not least <= value <= most:
        raise InvalidRequest(f"{field} is {value}; {least} to {most} are possible.", field, "out_of_range")
    return value


def _seed(asked: int | None) -> int:
    return secrets.randbelow(2**31) if asked is None else asked


def _scale(field: str, value: float | None, model: Model, default: float) -> float:
    if value is None:
        return default
    if not 0 <= value <= model.max_guidance_scale:
        allowed = f"0 to {model.max_guidance_scale:g} are possible"
        raise InvalidRequest(f"{field} is {value:g}; {allowed}.", field, "out_of_range")
    return value


def _strength(value: float | None, model: Model) -> float:
    if value is None:
        return model.default_refine_strength
    if not 0 < value <= 1:
        raise InvalidRequest(f"refine.strength is {value:g}; above 0, to 1.", "refine.strength", "out_of_range")
    return value


def _target(webhook: Webhook, settings: Settings) -> WebhookTarget:
    events = DEFAULT_EVENTS if webhook.events is None else webhook.events
    unknown = [event for event in events if event not in EVENTS]
    if unknown or not events:
        said = f"There is no event '{unknown[0]}'" if unknown else "events is empty"
        raise InvalidRequest(f"{said}; there are {', '.join(EVENTS)}.", "webhook.events", "unknown_event")
    try:
        check_url(webhook.url, settings.webhook_allow_private)
    except DeliveryRefused as error:
        raise InvalidRequest(error.message, "webhook.url", "url_not_allowed") from None
    return WebhookTarget(url=webhook.url, events=tuple(dict.fromkeys(events)))
