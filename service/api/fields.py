"""The fields of an order, each against what the model can do. They raise `InvalidRequest` naming field and allowance.

Pure functions of what was asked, the catalogue and the settings; know nothing of HTTP or Redis.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence

from models import limits, systems
from models.model import Model, listed
from models.turbo import Turbo
from service.api.schemas import CreateVideo, RefineOptions, Webhook
from service.errors import DeliveryRefused, InvalidRequest
from service.jobs import PromptAt, Refine, WebhookTarget
from service.outbound import check_url
from service.settings import Settings
from service.webhooks import DEFAULT_EVENTS, EVENTS

DEFAULT_SECONDS = "4"
MAX_PROMPTS_CHARS = 8000  # of all prompts together, so that an event stays small enough to post


def num_frames(order: CreateVideo, model: Model) -> int:
    if order.seconds is not None and order.num_frames is not None:
        raise InvalidRequest("Give seconds or num_frames, not both.", "num_frames", "conflicting_fields")
    if order.num_frames is not None:
        return limits.check_frames(model, order.num_frames)
    return frames_in(DEFAULT_SECONDS if order.seconds is None else order.seconds, model)


def frames_in(asked: str, model: Model) -> int:
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


def refinement(order: CreateVideo, model: Model) -> Refine | None:
    """A video is refined exactly if its size is one of the model's refined sizes."""
    sizes = {str(size): size in model.refined_sizes for size in model.sizes}
    if order.size is not None and order.size not in sizes:
        raise InvalidRequest(f"size is '{order.size}'; {model.name} makes {listed(sizes)}.", "size", "unknown_size")
    by_size = None if order.size is None else sizes[order.size]
    by_refine = None if order.refine is None else order.refine is not False
    if None not in (by_size, by_refine) and by_size != by_refine:
        raise InvalidRequest(
            f"size {order.size} is {'' if by_size else 'not '}refined, and refine says otherwise; "
            f"{listed(dict(model.pairs))} is made without refinement, "
            f"{listed(model.refined_sizes)} with it.",
            "refine",
            "conflicting_fields",
        )
    if by_size is False or by_refine is False or not (by_refine or model.refined_sizes):
        return None
    if not model.refined_sizes:
        raise InvalidRequest(f"{model.name} is not refined; leave refine out.", "refine", "conflicting_fields")
    asked = order.refine if isinstance(order.refine, RefineOptions) else RefineOptions()
    preset = model.turbo if order.turbo is True else None
    default_steps = preset.refine_steps if preset else model.default_refine_steps
    return Refine(
        steps=within("refine.steps", asked.steps, 1, model.max_steps, default_steps),
        strength=_strength(asked.strength, model),
        blending=asked.blending,
        bands=model.refine_bands,
    )


def _strength(value: float | None, model: Model) -> float:
    if value is None:
        return model.default_refine_strength
    if not 0 < value <= 1:
        raise InvalidRequest(f"refine.strength is {value:g}; above 0, to 1.", "refine.strength", "out_of_range")
    return value


def schedule(order: CreateVideo, model: Model, num_frames: int) -> tuple[PromptAt, ...]:
    """Prompts in the order of their times, each within the video."""
    before, length_s = -math.inf, num_frames / model.fps
    for i, entry in enumerate(order.prompts):
        if not max(0.0, before) <= entry.at_seconds < length_s or entry.at_seconds == before:
            allowed = f"times grow from 0 to below {length_s:g}, the length of the video"
            raise InvalidRequest(
                f"at_seconds is {entry.at_seconds:g}; {allowed}.", f"prompts[{i}].at_seconds", "invalid_value"
            )
        prompt(entry.prompt, model, f"prompts[{i}].prompt")
        before = entry.at_seconds
    check_together(order.prompt, [entry.prompt for entry in order.prompts])
    return tuple(PromptAt(at_seconds=entry.at_seconds, prompt=entry.prompt) for entry in order.prompts)


def check_together(first: str, others: Sequence[str]) -> None:
    chars = len(first) + sum(map(len, others))
    if chars > MAX_PROMPTS_CHARS:
        raise InvalidRequest(
            f"The prompts have {chars} characters; together at most {MAX_PROMPTS_CHARS}.", "prompts", "too_long"
        )


def prompt(text: str, model: Model, field: str) -> str:
    """The text as it was written, if the model understands it."""
    if not text.strip():
        raise InvalidRequest(f"{field} is empty.", field, "missing_field")
    limits.caption(model, short(text, model, field), field)
    return text


def short(prompt: str, model: Model, field: str) -> str:
    if len(prompt) > model.max_prompt_chars:
        raise InvalidRequest(
            f"{field} has {len(prompt)} characters; at most {model.max_prompt_chars}.", field, "too_long"
        )
    return prompt


def within(field: str, value: int | None, least: int, most: int, default: int) -> int:
    if value is None:
        return default
    if not least <= value <= most:
        raise InvalidRequest(f"{field} is {value}; {least} to {most} are possible.", field, "out_of_range")
    return value


def seed(asked: int | None) -> int:
    return secrets.randbelow(2**31) if asked is None else asked


def guidance_scale(asked: float | None, model: Model) -> float:
    return _scale("guidance_scale", asked, model.default_guidance_scale, model.max_guidance_scale)


def second_scale(field: str, asked: float | None, model: Model) -> float:
    """How close the video stays to what it has besides the prompt: an anchor frame, or a clip."""
    return _scale(field, asked, model.default_anchor_guidance_scale, model.max_anchor_guidance_scale)


def _scale(field: str, value: float | None, default: float, most: float) -> float:
    if value is None:
        return default
    if not 0 <= value <= most:
        allowed = f"0 to {most:g} are possible"
        raise InvalidRequest(f"{field} is {value:g}; {allowed}.", field, "out_of_range")
    return value


def steps(order: CreateVideo, model: Model) -> int:
    """Of a chunk: as asked, else the preset's where turbo is asked for without saying how, else the model's."""
    preset = model.turbo if order.turbo is True else None
    return within("steps", order.steps, 1, model.max_steps, preset.steps if preset else model.default_steps)


def turbo(order: CreateVideo, model: Model) -> Turbo | None:
    """What is left out of the sampling; None for nothing."""
    if order.turbo is False:
        return None
    if model.turbo is None:
        said = f"turbo is for {systems.STREAMING}, and {model.name} goes on by {model.streamer} here."
        raise InvalidRequest(said, "turbo", "conflicting_fields")
    if order.turbo is True:
        return model.turbo.options
    try:
        return Turbo(**order.turbo.model_dump())
    except ValueError as error:
        raise InvalidRequest(str(error), "turbo", "out_of_range") from None


def rate(asked: float | None, model: Model) -> float | None:
    if asked is None:
        return None
    heard, (least, most) = systems.HEAR_RATE & model.systems, systems.RATES
    if not heard:
        raise InvalidRequest(
            f"recipe.rate is for {listed(sorted(systems.HEAR_RATE))}, and this recipe has none of them.",
            "recipe.rate",
            "unknown_recipe",
        )
    if not least <= asked <= most:
        raise InvalidRequest(
            f"recipe.rate is {asked:g}; {least:g} to {most:g} are possible.", "recipe.rate", "out_of_range"
        )
    return asked


def motion(asked: tuple[float, float] | None, model: Model) -> tuple[float, float] | None:
    if asked is None:
        return None
    if systems.TEXT2VIDEO_ZERO not in model.systems:
        said = f"recipe.motion is for {systems.TEXT2VIDEO_ZERO}, which this recipe does not have."
        raise InvalidRequest(said, "recipe.motion", "unknown_recipe")
    if not all(abs(moved) <= systems.MAX_MOTION for moved in asked):
        said = f"recipe.motion is {list(asked)}; each is -{systems.MAX_MOTION} to {systems.MAX_MOTION}."
        raise InvalidRequest(said, "recipe.motion", "out_of_range")
    return asked


def target(webhook: Webhook, settings: Settings) -> WebhookTarget:
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
