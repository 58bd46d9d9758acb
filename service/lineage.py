"""Videos made from videos: what an extension, a branch or a remix is, and what of its parent it shares.

A child is a whole video of its own, and would be made the same without its parent; sharing only saves the work. Pure
functions of jobs; knows nothing of HTTP, Redis or tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from models.model import Model
from models.units import Stage, Unit
from service.errors import NotReady
from service.jobs import Ancestry, ClipRef, Generation, Job, PromptAt, SeedAt, UnitDone


@dataclass(frozen=True, slots=True)
class Heir:
    """What a child is to be: its generation, where it comes from, and the units it need not make."""

    generation: Generation
    ancestry: Ancestry
    shared: tuple[UnitDone, ...] = ()


def extension(parent: Job, committed: Sequence[UnitDone], prompt: str, frames: int) -> Heir:
    """The parent, longer by so many frames, of which the new ones follow another prompt. Raises `NotReady`."""
    if not parent.state.is_terminal:
        raise NotReady(f"The video is {parent.state}; it can be extended when it has ended.", "video.id")
    made = frames_made(committed)
    if not made:
        raise NotReady(f"The video is {parent.state} and has no frames to go on from.", "video.id")
    before = parent.generation
    generation = before.model_copy(update={"num_frames": made + frames, "prompts": following(before, made, prompt)})
    return _heir("extension", parent, committed, generation, made)


def branch(
    parent: Job, committed: Sequence[UnitDone], at_seconds: float, prompt: str | None, seed: int | None, frames: int
) -> Heir:
    """The parent up to the chunk boundary at or before `at_seconds`, and then another video. Raises `NotReady`."""
    before = parent.generation
    at = boundary(before.recipe(), round(at_seconds * before.fps))
    if at > frames_made(committed):
        made_s = frames_made(committed) / before.fps
        raise NotReady(f"at_seconds is {at_seconds:g}, and the video is made up to {made_s:g}.", "at_seconds")
    generation = before.model_copy(
        update={
            "num_frames": frames,
            "prompts": before.prompts if prompt is None else following(before, at, prompt),
            "seeds": before.seeds if seed is None else _seeds(before, at, seed),
        }
    )
    return _heir("branch", parent, committed, generation, at)


def remix(parent: Job, prompt: str) -> Heir:
    """The same take of another prompt: all that is the parent's but the words."""
    generation = parent.generation.model_copy(update={"prompt": prompt, "prompts": ()})
    return Heir(generation, Ancestry(kind="remix", video=parent.id))


def edit(parent: Job) -> ClipRef:
    """The finished video that is to be changed. Raises `NotReady`."""
    if "video" not in parent.artefacts:
        raise NotReady(f"The video is {parent.state}; it can be changed when it is completed.", "video.id")
    return ClipRef(key=parent.artefacts["video"], frames=parent.generation.made.frames)


def following(before: Generation, frame: int, prompt: str) -> tuple[PromptAt, ...]:
    """The schedule up to a frame, and from there one prompt."""
    return (*up_to(before, frame), PromptAt(at_seconds=frame / before.fps, prompt=prompt))


def up_to(before: Generation, frame: int) -> tuple[PromptAt, ...]:
    """The part of a schedule that begins before a frame."""
    return tuple(entry for entry in before.prompts if round(entry.at_seconds * before.fps) < frame)


def boundary(model: Model, frame: int) -> int:
    """The last chunk boundary at or before a frame: 0, 16, 24, …"""
    if frame < model.chunk_frames:
        return 0
    return frame - (frame - model.chunk_frames) % model.new_frames


def frames_made(committed: Sequence[UnitDone]) -> int:
    """Frames of the preview, which are there from the first one on without a gap."""
    segments = [done.segment for done in committed if done.segment and done.segment.track == "preview"]
    return max((segment.first_frame + segment.num_frames for segment in segments), default=0)


def _seeds(before: Generation, frame: int, seed: int) -> tuple[SeedAt, ...]:
    return (*(entry for entry in before.seeds if entry.at_frame < frame), SeedAt(at_frame=frame, seed=seed))


def _heir(kind: str, parent: Job, committed: Sequence[UnitDone], generation: Generation, at: int) -> Heir:
    """A child that leaves its parent at frame `at`, with every unit before it that both plans have alike."""
    theirs, ours = ({unit.key: unit for unit in made.plan()} for made in (parent.generation, generation))
    done = {unit.unit: unit for unit in committed}
    alike = [unit for key, unit in ours.items() if key in done and key in theirs and _same(unit, theirs[key])]
    chunks = _prefix([unit for unit in alike if unit.stage.is_chunk and unit.first_frame + unit.num_frames <= at])
    tiles = _made_of(Stage.REFINE, alike, chunks)
    smoother = _made_of(Stage.INTERPOLATE, alike, {*chunks, *tiles})
    larger = _made_of(Stage.UPSCALE, alike, {*chunks, *tiles, *smoother})
    ancestry = Ancestry(
        kind=kind,  # type: ignore[arg-type]
        video=parent.id,
        at_frame=at,
        chunks=len(chunks),
        tiles=len(tiles),
        interpolated=len(smoother),
        upscaled=len(larger),
    )
    shared = (*chunks, *tiles, *smoother, *larger)
    return Heir(generation, ancestry, tuple(done[unit.key] for unit in shared))


def _same(one: Unit, other: Unit) -> bool:
    return (one.first_frame, one.num_frames, one.needs) == (other.first_frame, other.num_frames, other.needs)


def _made_of(stage: Stage, alike: Sequence[Unit], shared: Collection[Unit]) -> list[Unit]:
    """The first units of a stage that are made of nothing but shared ones, and of each other."""
    known, made = {unit.key for unit in shared}, list[Unit]()
    for unit in alike:
        if unit.stage is stage and known.issuperset(unit.needs):
            known.add(unit.key)
            made.append(unit)
    return _prefix(made)


def _prefix(units: list[Unit]) -> list[Unit]:
    """As many as follow one another from the first of their stages on."""
    return [unit for place, unit in enumerate(units) if unit.index == place]
