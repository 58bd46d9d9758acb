"""The front door of the model rooms: one video, unit by unit, from a request to frames.

first chunk x streamer x refiner x interpolation x enlargement. Owns what each stage reads of those before it; knows
nothing of Redis, HTTP, files or ffmpeg. The same request gives the same frames, whoever makes its units and whenever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch

from models import limits, state, systems, units
from models.first_chunk.source import Source
from models.make_a_video.between import Between
from models.make_a_video.upscaling import TWICE, Upscaler
from models.model import CatalogError, CheckpointError, Model
from models.refinement.betas import BetaSchedule, levels_of
from models.refinement.refiner import Refiner, RefinerSettings, Text
from models.request import Brief, VideoRequest
from models.sound import Sound, begins, span
from models.streamers.family import FamilyPipeline
from models.streamers.streamer import State
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.sampler import OnStep, ignore
from models.streaming_t2v.text import EncodedText, encode
from models.units import Stage, Unit

FRAMES = "frames"  # of a state: what the unit has made, uint8 [F, H, W, 3], where a later stage reads it
SOUND = "sound"  # of a state: that of its frames, int16 [S, C]; a streamer puts it there, and it stays where it is read


@dataclass(frozen=True, slots=True)
class UnitResult:
    """frames: uint8 [F, H, W, 3], exactly the unit's; state: what the units that need it read (`models.state`).

    sound: exactly that of the frames (`models.sound.begins`); None where the model makes none.
    """

    frames: np.ndarray
    state: bytes
    sound: Sound | None = None


class Recipe:
    """How one video is made. Cheap to build, and stateless: what passes from unit to unit is in their states.

    sources: the systems that draw besides the checkpoint's own networks, by name: those in `model.systems`, and
    Make-A-Video where the video is to be interpolated or enlarged. ablation: fields of `StreamerSettings` that differ
    from what model and request say, to measure what a part is worth. Raises `CatalogError` for what the model cannot
    make, `CheckpointError` for weights that are not there.
    """

    def __init__(
        self,
        pipeline: StreamingPipeline | FamilyPipeline,
        model: Model,
        request: VideoRequest,
        sources: Mapping[str, Source] | None = None,
        **ablation: Any,
    ):
        limits.check_image(model, request.image is not None)
        if request.refine and pipeline.refiner is None:
            message = f"This checkpoint of {model.name} has no refiner; ask for the video without it."
            raise CatalogError("no_refiner", "refine", message)
        self.pipeline, self.model, self.request = pipeline, model, request
        self._brief, self._sources = Brief(model, request), sources or {}
        self.plan = units.plan(
            model,
            request.num_frames,
            request.refine.steps if request.refine else None,
            request.interpolate,
            request.upscale,
            request.refine.bands if request.refine else 1,
        )
        self._streamer = pipeline.streamer(self._brief, self._sources, ablation)
        self._later = cache(self._load_later)
        self._text = cache(self._encode)
        #: Units whose frames are read again, as frames, by a stage after theirs.
        self._read_on = {
            key for unit in self.plan for key in unit.needs if unit.stage in (Stage.INTERPOLATE, Stage.UPSCALE)
        }

    @property
    def is_shared(self) -> bool:
        """Whether its networks may be used for several videos at the same time, by threads."""
        return self.pipeline.is_shared and not self._sources

    def run(self, unit: Unit, states: Mapping[str, bytes], on_step: OnStep = ignore) -> UnitResult:
        """Make one unit from the states of the units that it needs. What `on_step` raises passes through."""
        loaded = {key: state.loads(states[key]) for key in unit.needs}
        frames, left = self._made(unit, loaded, on_step)
        frames = frames[: unit.num_frames]
        sound = self._sound(unit, loaded, left)
        left = {name: tensor for name, tensor in left.items() if name != SOUND}
        if unit.key in self._read_on:
            left = {FRAMES: torch.from_numpy(frames), **left}
            left |= {} if sound is None else {SOUND: torch.from_numpy(sound.samples)}
        return UnitResult(frames, state.dumps(left), sound)

    def generate(self, on_step: OnStep = ignore) -> Iterator[tuple[Unit, UnitResult]]:
        """The whole video without a service, unit by unit. A state is kept until the last unit has read it."""
        states: dict[str, bytes] = {}
        last_read = {key: unit.position for unit in self.plan for key in unit.needs}
        for unit in self.plan[:-1]:  # the last one is the finishing, which is no work for a model
            result = self.run(unit, states, on_step)
            states[unit.key] = result.state
            for key in [key for key in states if last_read.get(key, 0) <= unit.position]:
                del states[key]
            yield unit, result

    def _made(self, unit: Unit, loaded: Mapping[str, State], on_step: OnStep) -> tuple[np.ndarray, State]:
        """At least the unit's frames, and the state it leaves."""
        match unit.stage:
            case Stage.INITIALIZE:
                return self._streamer.begin(on_step)
            case Stage.STREAM:
                (before,) = loaded.values()
                return self._streamer.go_on(unit, before, on_step)
            case Stage.REFINE:
                return self._refine(unit, loaded, on_step)
            case Stage.INTERPOLATE:
                return self._interpolate(unit, loaded, on_step), {}
            case Stage.UPSCALE:
                return self._upscale(unit, loaded, on_step), {}
            case _:
                raise ValueError(f"{unit.key} is no work for a model.")

    def _interpolate(self, unit: Unit, loaded: Mapping[str, State], on_step: OnStep) -> np.ndarray:
        """From the last frame of the piece before it to the last one of its own."""
        *before, piece = (self._frames(key, left) for key, left in loaded.items())
        first = self._unit(unit.needs[-1]).first_frame
        given = np.concatenate([*(frames[-1:] for frames in before), piece])
        parts, factor, seed = self._later(), self.request.interpolate, self.request.seed_at(first)
        if parts.interpolator is None:
            raise CheckpointError(f"The {systems.MAKE_A_VIDEO} of {self.model.name} has no interpolator.")
        between = Between(parts.interpolator, parts.vae, parts.scheduler, factor, seed=seed, fps=self.model.fps)
        return between.run(given, first=max(0, first - 1), on_step=on_step)

    def _upscale(self, unit: Unit, loaded: Mapping[str, State], on_step: OnStep) -> np.ndarray:
        """Frame by frame, all with one noise, that of the request's own seed."""
        ((key, left),) = loaded.items()
        parts = self._later()
        if parts.sharpener is None or parts.config.sharpener_factor != self.request.upscale:
            factor = 1 if parts.sharpener is None else parts.config.sharpener_factor
            said = f"The {systems.MAKE_A_VIDEO} of {self.model.name} enlarges by {factor}."
            raise CheckpointError(said)
        how = replace(TWICE, factor=self.request.upscale)
        upscaler = Upscaler(parts.sharpener, parts.scheduler, how, seed=self.request.seed)
        return upscaler.run(self._frames(key, left), on_step=on_step)

    def _sound(self, unit: Unit, loaded: Mapping[str, State], left: State) -> Sound | None:
        """That of a unit's frames: a chunk's from what its streamer has made, a later one's from the units it needs.

        Raises ValueError where there is less of it than of the frames.
        """
        rate, source, parts = self.model.sound_rate, unit, [left[SOUND]] if SOUND in left else []
        if not rate or unit.stage is Stage.REFINE:
            return None
        if not unit.stage.is_chunk:
            source, parts = self._unit(next(iter(loaded))), [made[SOUND] for made in loaded.values()]
        fps, made_at = self._fps(unit.stage), self._fps(source.stage)
        first = begins(unit.first_frame, fps=fps, rate=rate) - begins(source.first_frame, fps=made_at, rate=rate)
        due = span(unit.first_frame, unit.num_frames, fps=fps, rate=rate)
        samples = np.concatenate([part.numpy() for part in parts] or [np.empty((0, 1), np.int16)])[first : first + due]
        if len(samples) < due:
            raise ValueError(f"{self.model.name} made {len(samples)} samples of sound for {unit.key}; {due} are due.")
        return Sound(samples, rate)

    def _fps(self, stage: Stage) -> int:
        """Of the frames that a stage emits."""
        return self.model.fps * (self.request.interpolate if stage in (Stage.INTERPOLATE, Stage.UPSCALE) else 1)

    def _load_later(self) -> Any:
        """The parts of Make-A-Video, which work on any system's frames."""
        if systems.MAKE_A_VIDEO not in self._sources:
            raise CheckpointError(f"{self.model.name} is made smoother and larger by weights that are not loaded.")
        return self._sources[systems.MAKE_A_VIDEO].pipeline

    def _frames(self, key: str, left: State) -> np.ndarray:
        """The frames of a unit that was done before."""
        frames: np.ndarray = left[FRAMES][: self._unit(key).num_frames].numpy()
        return frames

    def _unit(self, key: str) -> Unit:
        return next(unit for unit in self.plan if unit.key == key)

    def _refine(self, unit: Unit, loaded: Mapping[str, State], on_step: OnStep) -> tuple[np.ndarray, State]:
        """One tile of refinement; `loaded` holds the one before it, what feeds it, and the chunks it takes in."""
        refiner = self.refiner()
        tile = refiner.tiling.tiles[unit.index]
        feeds = [left for key, left in loaded.items() if units.stage_of(key) is Stage.REFINE]
        before = feeds.pop(0) if refiner.tiling.before(tile) else None
        first, stop = refiner.enters(tile)
        entering = np.empty((0, self.model.size.height, self.model.size.width, 3), np.uint8)
        if chunks := {key: left for key, left in loaded.items() if units.stage_of(key).is_chunk}:
            from_frame = self._unit(next(iter(chunks))).first_frame
            whole = np.concatenate([left[FRAMES].numpy() for left in chunks.values()])
            entering = whole[first - from_frame : stop - from_frame]
        return refiner.run(tile, entering, before, feeds, on_step)

    def refiner(self, **piece: Any) -> Refiner:
        """What refines the video; `piece`: num_frames, first_frame and seed where it is only a piece of one."""
        options, model, parts = self.request.refine, self.model, self.pipeline
        if options is None or isinstance(parts, FamilyPipeline):
            raise ValueError("This video is not refined.")
        encoder = "text_encoder" if parts.refiner_text_encoder is None else "refiner_text_encoder"
        null = self._text(parts, self.request.negative_prompt or model.refine_negative_prompt, encoder)
        starts = {0, *(frame for frame, _ in self.request.prompts)}
        prompts = {frame: self._brief.caption(frame) + model.refine_prompt_suffix for frame in starts}
        texts = [
            self._refiner_text(self._text(parts, prompt, encoder), null, frame) for frame, prompt in prompts.items()
        ]
        schedule = levels_of(parts.refiner_schedule)
        settings = RefinerSettings(
            strength=options.strength,
            steps=options.steps,
            guidance_scale=model.refine_guidance_scale,
            guidance_rescale=model.refine_guidance_rescale,
            window_frames=model.window_frames,
            window_overlap=model.window_overlap,
            blending=options.blending,
            bands=options.bands,
            turbo=self.request.turbo,
            # The published start is a quirk of the code around MS-Vid2Vid-XL, which no other network knows.
            start="consistent" if isinstance(schedule, BetaSchedule) else model.refine_start,
        )
        return Refiner(
            parts.refiner,
            parts.refiner_vae or parts.vae,
            schedule,
            texts,
            height=model.refined_size.height,
            width=model.refined_size.width,
            settings=settings,
            **{"num_frames": self.request.num_frames, "seed": self.request.seed_at, **piece},
        )

    @staticmethod
    def _refiner_text(text: EncodedText, null: EncodedText, frame: int) -> Text:
        return Text(text.tokens[0], null.tokens[0], text.pooled[0], null.pooled[0], from_frame=frame)

    @staticmethod
    @torch.no_grad()
    def _encode(parts: StreamingPipeline, prompt: str, encoder: str) -> EncodedText:
        return encode(parts.tokenizer, getattr(parts, encoder), [prompt], parts.unet.config.num_text_tokens)
