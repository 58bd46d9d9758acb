"""A scene as an instruction wants it: everything else of it stays, above all where everything is.

Owns what 'the rest stays' means for paths; knows nothing of networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.shapes.instruction import Instruction
from models.shapes.instruction import changed as changed_caption
from models.shapes.world import Body, Scene


@dataclass(frozen=True, slots=True)
class _Along(Body):
    """A body on another one's path: of its own size it would turn back at the borders earlier or later."""

    path: Body

    def centre(self, frame: float) -> tuple[float, float]:
        return self.path.centre(frame)


def changed(scene: Scene, instruction: Instruction) -> Scene:
    """The scene after the change, frame by frame in the same places; what grows beyond a border is cut off there."""
    caption = changed_caption(scene.caption, instruction)
    bodies = [_Along(actor, b.start, b.step, b) for actor, b in zip(caption.actors, scene.bodies, strict=True)]
    return replace(scene, caption=caption, bodies=tuple(bodies))
