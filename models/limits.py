"""What of a request a model can do: each of these says so in a sentence, naming the field.

Standard library only, like the catalogue, whose entries it reads. Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Collection

from models.catalog import is_here
from models.model import CatalogError, Model, listed
from models.shapes import language
from models.systems import MAKE_A_VIDEO


def caption(model: Model, prompt: str, field: str = "prompt") -> str:
    """What the text encoder is given for a prompt. Raises `CatalogError('prompt_not_understood')`."""
    try:
        return model.read_prompt(prompt)
    except language.NotUnderstood as error:
        raise CatalogError("prompt_not_understood", field, str(error)) from None


def check_frames(model: Model, num_frames: int, field: str = "num_frames") -> int:
    """`num_frames` where the model can make that many; raises `CatalogError` 'too_short' or 'too_long' else."""
    longest = f"{model.max_frames} ({model.max_frames / model.fps / 60:g} minutes at {model.fps} fps)"
    if num_frames < 1:
        raise CatalogError("too_short", field, f"{field} is {num_frames}; {model.name} makes 1 to {longest}.")
    if num_frames > model.max_frames:
        raise CatalogError("too_long", field, f"{field} is {num_frames}; {model.name} makes at most {longest}.")
    return num_frames


def check_image(model: Model, given: bool, field: str = "input_reference") -> None:
    """Raises `CatalogError` where the model begins with a picture and none is given, or the other way round."""
    if model.needs_image and not given:
        raise CatalogError("image_needed", field, f"{model.name} goes on from a picture, and none is given.")
    if given and "image" not in model.inputs:
        raise CatalogError("conflicting_fields", field, f"{model.name} makes nothing of a picture.")


def check_clip(model: Model, *, given: bool, frames: int = 0, of: int | None = None) -> None:
    """Raises `CatalogError` where the model changes a clip and none is given, or one with less than `frames`."""
    if "clip" in model.inputs and not given:
        raise CatalogError("clip_needed", "model", f"{model.name} changes a finished video: POST /v1/videos/edits.")
    if of is not None and frames > of:
        raise CatalogError("too_long", "seconds", f"{frames} frames are more than the {of} of the changed clip.")


def check_later(model: Model, interpolate: int, upscale: int, places: Collection[str]) -> None:
    """Raises `CatalogError` where a video of this model cannot be made smoother or larger by so much, or not here."""
    if not 1 <= interpolate <= model.max_interpolate:
        allowed = f"{model.name} makes 2 to {model.max_interpolate} frames of one, 1 leaves them"
        raise CatalogError("out_of_range", "interpolate", f"interpolate is {interpolate}; {allowed}.")
    if upscale != 1 and upscale not in model.upscales:
        allowed = f"{model.name} enlarges by {listed(model.upscales)}, 1 leaves it"
        raise CatalogError("out_of_range", "upscale", f"upscale is {upscale}; {allowed}.")
    if (interpolate, upscale) != (1, 1) and not is_here(model.place(MAKE_A_VIDEO), places):
        field = "interpolate" if interpolate > 1 else "upscale"
        raise CatalogError("not_offered", field, f"The weights that {field} videos of {model.name} are not here.")
