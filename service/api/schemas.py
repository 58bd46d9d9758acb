"""What clients may send: names and types. What of it a model can do is judged in `service.api.orders`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)

Finite = Annotated[float, Field(allow_inf_nan=False)]
Time = Annotated[float, Field(allow_inf_nan=False, ge=0, le=86_400)]  # seconds into a video
MetadataName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Url = Annotated[str, StringConstraints(max_length=2048)]


class Body(BaseModel):
    """Unknown fields are refused, so that a misspelt one is not silently without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptFrom(Body):
    """From `at_seconds` on, the video follows this prompt."""

    at_seconds: Time
    prompt: str


class RefineOptions(Body):
    """How the video is refined; what is left out is the model's own."""

    steps: int | None = None
    strength: Finite | None = None
    blending: Literal["randomized", "paper", "middle"] = "randomized"


class TurboOptions(Body):
    """What is left out of the sampling; what is not named is not (`turbo` of docs/speed.md)."""

    solver: Literal["ddim", "dpm++", "unipc"] = "ddim"
    guide_from: Finite = 0.0
    guide_to: Finite = 1.0
    memory_every: int = 1
    deep_every: int = 1


class Recipe(Body):
    """The systems that make the video, by name; what is left out is the model's own (`recipe` of GET /v1/models)."""

    first_chunk: Annotated[str | None, Field(max_length=64)] = None
    streamer: Annotated[str | None, Field(max_length=64)] = None
    rate: Annotated[
        Finite | None,
        Field(description="Frames a second that motion is drawn for, by systems that hear it: less moves further."),
    ] = None
    motion: Annotated[
        tuple[Finite, Finite] | None,
        Field(description="Text2Video-Zero: what the camera moves right and down a frame, in 1/512 of the frame."),
    ] = None


class Webhook(Body):
    """Where events of this video are posted; the end of it where `events` is left out."""

    url: Url
    events: list[str] | None = None


def _one_at_least(**fields: str) -> dict[str, Any]:
    """What a schema says of fields of which one is needed, each of its type; a route holds the client to it."""
    return {"anyOf": [{"required": [name], "properties": {name: {"type": kind}}} for name, kind in fields.items()]}


def _written(value: Any) -> Any:
    """Seconds are a string in OpenAI's API; a number means the same."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Seconds = Annotated[
    Annotated[str, StringConstraints(max_length=40)],
    BeforeValidator(_written),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]}),
]


def _times(value: Any) -> Any:
    """False is once; true says nothing of how many times."""
    if value is True:
        raise ValueError("give a number of times, or false")
    return 1 if value is False else value


#: How many times as much; once changes nothing.
Times = Annotated[
    int,
    BeforeValidator(_times),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": False}], "default": 1}),
]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Prompts = Annotated[list[PromptFrom], Field(max_length=50)]


def _flag_or_options(value: object) -> str:
    return "<flag>" if isinstance(value, bool) else "<options>"


#: Tags in angle brackets do not appear in the names of fields (see `problems`).
Refinement = Annotated[
    Annotated[bool, Tag("<flag>")] | Annotated[RefineOptions, Tag("<options>")],
    Discriminator(_flag_or_options),
]
TurboField = Annotated[
    Annotated[bool, Tag("<flag>")] | Annotated[TurboOptions, Tag("<options>")],
    Discriminator(_flag_or_options),
]


class Handling(Body):
    """What any order may say of how its job is handled."""

    webhook: Webhook | None = None
    deadline_s: Annotated[float, Field(gt=0, le=30 * 86_400)] | None = None
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    metadata: Annotated[dict[MetadataName, MetadataValue], Field(max_length=16)] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        return text(value)


class ImageReference(Body):
    """The picture that the video begins with."""

    image_url: Annotated[
        str | None, Field(description="https://…, or the picture itself as data:image/png;base64,…: PNG, JPEG or WebP.")
    ] = None
    file_id: Annotated[str | None, Field(description="Not possible here: there is no store of files.")] = None


class CreateVideo(Handling):
    """The body of POST /v1/videos."""

    prompt: str
    model: str | None = None
    seconds: Seconds | None = None
    num_frames: int | None = None
    size: str | None = None
    input_reference: ImageReference | None = None
    seed: Seed | None = None
    negative_prompt: str = ""
    prompts: Prompts = Field(default_factory=list)
    steps: int | None = None
    guidance_scale: Finite | None = None
    anchor_guidance_scale: Finite | None = None
    refine: Refinement | None = None
    recipe: Recipe | None = None
    interpolate: Times = 1
    upscale: Times = 1
    # Left out of an order's fingerprint where it says nothing: older releases knew no turbo.
    turbo: TurboField = Field(default=False, exclude_if=lambda value: value is False)


class Parent(Body):
    """A video of yours."""

    id: str


class ExtendVideo(Handling):
    """The body of POST /v1/videos/extensions."""

    video: Parent
    prompt: str
    seconds: Seconds


class BranchVideo(Handling):
    """The body of POST /v1/videos/{id}/branch: `seconds` is the length of the whole branch, by default the parent's."""

    model_config = ConfigDict(json_schema_extra=_one_at_least(prompt="string", seed="integer"))

    at_seconds: Time
    prompt: str | None = None
    seed: Seed | None = None
    seconds: Seconds | None = None


class RemixVideo(Handling):
    """The body of POST /v1/videos/{id}/remix."""

    prompt: str


class EditVideo(Handling):
    """The body of POST /v1/videos/edits: `prompt` says what is changed, or drawn along the edges."""

    video: Parent
    prompt: str
    model: str | None = None
    seed: Seed | None = None
    negative_prompt: str = ""
    steps: int | None = None
    guidance_scale: Annotated[Finite | None, Field(description="How far the clip goes to the prompt.")] = None
    clip_guidance_scale: Annotated[
        Finite | None, Field(description="How close it stays to what it was, or to its edges.")
    ] = None


class SteerVideo(Body):
    """The body of PATCH /v1/videos/{id}: one prompt from the next chunk on, or a schedule."""

    model_config = ConfigDict(json_schema_extra=_one_at_least(prompt="string", prompts="array"))

    prompt: str | None = None
    prompts: Prompts = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        return text(value)


def text(value: Any) -> Any:
    """The body as it came. JSON can spell half a character, which nothing after us could store."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("There is text that is not Unicode") from None
    return value
