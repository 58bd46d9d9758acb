"""/v1/models: what can be asked of each model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from models import catalog, systems, units
from models.model import Model
from models.turbo import Preset
from service.api.deps import ServicesDep, TenantDep
from service.api.refusals import refuses
from service.errors import NotFound

router = APIRouter(prefix="/v1/models", tags=["models"])


class Limits(BaseModel):
    """What a request may ask for, and what it gets where it does not ask."""

    fps: int
    sizes: list[str]
    refined_size: str  # the default one
    refined_sizes: list[str]  # those of `sizes` that are made by refinement
    max_frames: int
    max_seconds: float
    max_steps: int
    default_steps: int
    max_guidance_scale: float
    default_guidance_scale: float
    max_anchor_guidance_scale: float
    default_anchor_guidance_scale: float  # and clip_guidance_scale, of a model that follows a clip
    default_refine_steps: int
    default_refine_strength: float
    max_prompt_chars: int
    chunk_frames: int
    new_frames: int  # that each chunk after the first adds


class RecipeCard(BaseModel):
    """The systems that make a video, and those that a request may name instead, as far as their weights are here."""

    first_chunk: str
    streamer: str
    first_chunks: list[str]
    streamers: list[str]
    interpolate: list[int]  # frames made of one
    upscale: list[int]  # factors of both sides
    inputs: list[str]  # what it makes a video from: text, image


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    owned_by: str = "longtake"
    description: str
    licence: str
    stages: list[str]
    recipe: RecipeCard
    turbo: Preset | None  # what `turbo: true` is; null where there is no turbo
    sound: bool  # whether its videos are heard
    limits: Limits


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]


@router.get("")
def list_models(use: ServicesDep, tenant: TenantDep) -> ModelList:
    """Every model that is offered here, the default one first."""
    models = catalog.offered(use.settings.checkpoints)
    names = sorted(models, key=lambda name: name != catalog.DEFAULT_MODEL)
    return ModelList(data=[card(models[name], use.settings.checkpoints) for name in names])


@router.get("/{model_id:path}")
@refuses(NotFound)
def get_model(model_id: str, use: ServicesDep, tenant: TenantDep) -> ModelCard:
    models = catalog.offered(use.settings.checkpoints)
    if model_id not in models:
        raise NotFound(f"There is no model '{model_id[:100]}'; there is {', '.join(models)}.", "model")
    return card(models[model_id], use.settings.checkpoints)


def card(model: Model, places: Collection[str]) -> ModelCard:
    """What a client is told of a model."""
    same_name = {name: getattr(model, name) for name in Limits.model_fields if hasattr(model, name)}
    recipe = recipe_card(model, places)
    done = dict.fromkeys(units.Stage, True) | {
        units.Stage.REFINE: bool(model.refined_sizes),
        units.Stage.INTERPOLATE: bool(recipe.interpolate),
        units.Stage.UPSCALE: bool(recipe.upscale),
    }
    own = {
        "sizes": [str(size) for size in model.sizes],
        "refined_size": str(model.refined_size),
        "refined_sizes": [str(size) for size in model.refined_sizes],
        "max_seconds": model.max_frames / model.fps,
    }
    return ModelCard(
        id=model.name,
        description=model.description,
        licence=model.licence,
        stages=[str(stage) for stage in units.Stage if done[stage]],
        recipe=recipe,
        turbo=model.turbo,
        sound=bool(model.sound_rate),
        limits=Limits(**(same_name | own)),
    )


def recipe_card(model: Model, places: Collection[str]) -> RecipeCard:
    """What a request may combine here."""
    others = {*model.first_chunks, *model.streamers} - systems.OWNED
    here = {system for system in others if catalog.is_here(model.place(system), places)}
    here |= systems.OWNED
    enlarges = "clip" not in model.inputs and catalog.is_here(model.place(systems.MAKE_A_VIDEO), places)
    return RecipeCard(
        first_chunk=model.first_chunk,
        streamer=model.streamer,
        first_chunks=[system for system in model.first_chunks if system in here],
        streamers=[system for system in model.streamers if system in here],
        interpolate=list(range(2, model.max_interpolate + 1)) if enlarges else [],
        upscale=list(model.upscales) if enlarges else [],
        inputs=list(model.inputs),
    )
