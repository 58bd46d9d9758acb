"""The tables: what is compared, on what videos, by which figures.

Source of the ablations: StreamingT2V (arXiv 2403.14773), section 5.3; `systems` is its comparison with others, with the
systems of this house. Data only; what the figures mean is `models.evaluation`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from models.catalog import TINY_SHAPES
from models.systems import (
    MAKE_A_VIDEO,
    STREAMING,
    TEXT2VIDEO_ZERO,
    VIDEOCRAFTER,
    VIDEOCRAFTER_I2V,
)
from models.turbo import Turbo


class Refinement(Enum):
    """How the windows of the refinement meet."""

    APART = "B"
    SHARED_NOISE = "B+S"
    BLENDED = "randomized blending"


@dataclass(frozen=True, slots=True)
class Variant:
    """One row. model: of the catalogue. stage: the training stage whose network it takes (none: the model's own).

    options: what differs in `StreamerSettings`. refinement: how its preview is refined (none: not at all), in so many
    steps (the model's), with so much left out. recipe: who draws the first chunk, and who goes on from it, where it is
    not StreamingT2V.
    """

    name: str
    model: str = TINY_SHAPES.name
    stage: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    refinement: Refinement | None = None
    recipe: tuple[str, str] | None = None
    refine_steps: int = TINY_SHAPES.default_refine_steps
    refine_turbo: Turbo = Turbo()


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its rows, the figures it shows, how long its videos are, and the steps of their chunks."""

    title: str
    frames: int
    variants: tuple[Variant, ...]
    figures: tuple[str, ...]
    steps: int = 12  # half of the model's own, for time

    @property
    def stages(self) -> list[str]:
        """The training stages that it needs."""
        return [variant.stage for variant in self.variants if variant.stage]

    @property
    def checkpoints(self) -> list[str]:
        """The names of all weights that it needs."""
        systems = {system for variant in self.variants for system in variant.recipe or ()} - {STREAMING}
        return sorted({*(variant.model for variant in self.variants), *map(TINY_SHAPES.place, systems)})

    def of(self, rows: Collection[str]) -> Table:
        """The same of these rows only, by parts of their names; of none: the same. Raises `ValueError`."""
        if unknown := [row for row in rows if not any(row in variant.name for variant in self.variants)]:
            raise ValueError(f"There is no row '{unknown[0]}'; there is {', '.join(v.name for v in self.variants)}.")
        wanted = [v for v in self.variants if not rows or any(row in v.name for row in rows)]
        return replace(self, variants=tuple(wanted))


#: As published, known frames are made again and not held, so that the conditioning alone joins two chunks; and these
#: networks have not learned APM yet.
CONDITIONING_ALONE = {"hold_known_frames": False, "use_apm": False}

_SYSTEMS = {
    "Text2Video-Zero": (TEXT2VIDEO_ZERO, TEXT2VIDEO_ZERO),
    "VideoCrafter": (VIDEOCRAFTER, VIDEOCRAFTER_I2V),
    "Make-A-Video": (MAKE_A_VIDEO, MAKE_A_VIDEO),
}

_SOLVERS = {"ddim": "DDIM", "dpm++": "DPM-Solver++", "unipc": "UniPC"}
_FEW = 6

TABLES = {
    "conditioning": Table(
        "How a chunk is given the one before it",
        240,
        (
            Variant("CAM", stage="cam", options=CONDITIONING_ALONE),
            Variant("Add-Cond", stage="add_cond", options=CONDITIONING_ALONE),
            Variant("Conc-Cond", stage="conc_cond", options=CONDITIONING_ALONE),
            Variant("CAM as bundled, trained on", options=CONDITIONING_ALONE),
        ),
        ("scene_cuts", "seam_ratio", "flicker", "presence", "kept_colour", "kept_shape", "drift"),
    ),
    "appearance": Table(
        "What the anchor is worth, and which frame it should be",
        80,
        (
            Variant("APM, first frame"),
            Variant("APM, random frame of the first chunk", options={"anchor": "random"}),
            Variant("APM, last chunk", options={"anchor": "last_chunk"}),
            Variant("without APM", options={"use_apm": False}),
        ),
        ("kept_colour", "kept_shape", "clip_anchor_distance", "drift", "seam_ratio"),
    ),
    "blending": Table(
        "How the windows of the refinement meet",
        80,
        (
            Variant("B: windows apart", refinement=Refinement.APART),
            Variant("B+S: apart, with shared noise", refinement=Refinement.SHARED_NOISE),
            Variant("randomized blending", refinement=Refinement.BLENDED),
        ),
        ("flow_std_dis", "seam_ratio", "flicker", "kept_colour", "kept_shape"),
    ),
    "systems": Table(
        "Every system alone, and as the first chunk of StreamingT2V",
        80,
        (
            Variant("StreamingT2V"),
            *(Variant(f"{name}, alone", recipe=recipe) for name, recipe in _SYSTEMS.items()),
            *(Variant(f"StreamingT2V from {name}", recipe=(first, STREAMING)) for name, (first, _) in _SYSTEMS.items()),
        ),
        (
            *("direction", "presence", "kept_colour", "kept_shape", "motion", "scene_cuts", "mawe_dis", "seam_ratio"),
            *("drift", "cpu_seconds_per_frame"),
        ),
    ),
    "turbo": Table(
        "What is left out of the sampling",
        80,
        (
            Variant("exact: DDIM, 25 steps"),
            Variant("guidance in the first half", options={"turbo": Turbo(guide_to=0.5)}),
            Variant("CAM every second step", options={"turbo": Turbo(memory_every=2)}),
            Variant("deep levels every second step", options={"turbo": Turbo(deep_every=2)}),
            *(
                Variant(f"{name}, {_FEW} steps", options={"steps": _FEW, "turbo": Turbo(solver)})
                for solver, name in _SOLVERS.items()
            ),
            *(
                Variant(
                    f"DPM-Solver++, {_FEW} steps, CAM and deep levels every {times} step",
                    options={"steps": _FEW, "turbo": Turbo("dpm++", memory_every=every, deep_every=every)},
                )
                for every, times in ((2, "second"), (3, "third"))
            ),
            Variant("distilled: DDIM, 4 steps, no guidance", "tiny-shapes-turbo", options={"steps": 4}),
        ),
        (
            *("direction", "presence", "kept_colour", "kept_shape", "motion", "scene_cuts", "seam_ratio", "drift"),
            "cpu_seconds_per_frame",
        ),
        steps=25,
    ),
    "turbo-refinement": Table(
        "What is left out of the refinement",
        80,
        (
            Variant("exact: 8 steps", refinement=Refinement.BLENDED),
            Variant("guidance in the first half", refinement=Refinement.BLENDED, refine_turbo=Turbo(guide_to=0.5)),
            Variant("4 steps", refinement=Refinement.BLENDED, refine_steps=4),
            Variant(
                "4 steps, guidance in the first half",
                refinement=Refinement.BLENDED,
                refine_steps=4,
                refine_turbo=Turbo(guide_to=0.5),
            ),
        ),
        (
            "presence",
            "kept_colour",
            "kept_shape",
            "scene_cuts",
            "seam_ratio",
            "flicker",
            "cpu_seconds_per_refined_frame",
        ),
    ),
}
