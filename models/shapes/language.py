"""The language of the shapes world: captions as text, and what free English means in them.

Standard library only, so that the API can judge a prompt without loading a tensor library. Owns the words;
knows nothing of pixels (`world`) or of networks.

    a|an [small|large] COLOUR SHAPE MOTION [slowly|quickly] on a BACKGROUND background [and a COLOUR SHAPE MOTION ...]
"""

from __future__ import annotations

import re
from dataclasses import dataclass

COLOURS = ("red", "green", "blue", "yellow", "magenta", "cyan", "orange", "white")
SHAPES = ("circle", "square", "triangle", "star")
BACKGROUNDS = ("black", "grey", "navy", "brown")
SIZES = ("small", "large")
SPEEDS = ("slowly", "quickly")
#: Words of a motion -> unit steps (x to the right, y down).
MOTIONS: dict[str, tuple[int, int]] = {
    "moving left": (-1, 0),
    "moving right": (1, 0),
    "moving up": (0, -1),
    "moving down": (0, 1),
    "moving up and left": (-1, -1),
    "moving up and right": (1, -1),
    "moving down and left": (-1, 1),
    "moving down and right": (1, 1),
    "staying still": (0, 0),
}

# A shade stands for the colour it is a shade of; another basic colour (purple, pink) is refused, not bent.
COLOUR_WORDS = {**{colour: colour for colour in COLOURS}, **{
    "crimson": "red", "scarlet": "red", "ruby": "red", "emerald": "green", "lime": "green", "azure": "blue",
    "sapphire": "blue", "gold": "yellow", "golden": "yellow", "lemon": "yellow", "fuchsia": "magenta",
    "aqua": "cyan", "turquoise": "cyan", "teal": "cyan", "amber": "orange", "tangerine": "orange",
    "ivory": "white", "snow": "white",
}}  # fmt: skip
OTHER_COLOURS = {
    "purple", "violet", "pink", "lavender", "maroon", "olive", "beige", "tan", "silver", "indigo", "chartreuse",
    "mauve", "coral", "salmon", "khaki", "plum", "lilac", "burgundy", "rainbow", "transparent",
}  # fmt: skip
SHAPE_WORDS = {**{shape: shape for shape in SHAPES}, **{f"{shape}s": shape for shape in SHAPES}, **{
    "ball": "circle", "disc": "circle", "disk": "circle", "dot": "circle", "sphere": "circle", "box": "square",
    "block": "square", "cube": "square", "pyramid": "triangle", "asterisk": "star",
}}  # fmt: skip
BACKGROUND_WORDS = {**{name: name for name in BACKGROUNDS}, **{
    "gray": "grey", "dark": "black", "night": "black", "midnight": "navy", "wooden": "brown",
}}  # fmt: skip
SIZE_WORDS = {**{size: size for size in SIZES}, **{
    "little": "small", "tiny": "small", "big": "large", "huge": "large", "giant": "large",
}}  # fmt: skip
_SPEEDS = {
    "slow": "slowly", "gently": "slowly", "gradually": "slowly", "quick": "quickly", "fast": "quickly",
    "rapidly": "quickly", "swiftly": "quickly",
}  # fmt: skip
_DIRECTIONS = {
    "left": (-1, 0), "leftward": (-1, 0), "leftwards": (-1, 0), "right": (1, 0), "rightward": (1, 0),
    "rightwards": (1, 0), "up": (0, -1), "upward": (0, -1), "upwards": (0, -1), "rising": (0, -1),
    "down": (0, 1), "downward": (0, 1), "downwards": (0, 1), "falling": (0, 1), "sinking": (0, 1),
}  # fmt: skip


class NotUnderstood(ValueError):
    """The prompt names nothing that this world can draw; the message says what it can."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One moving shape. `size` and `speed` are None where the caption leaves them open."""

    colour: str
    shape: str
    motion: str
    size: str | None = None
    speed: str | None = None

    def __str__(self) -> str:
        words = [word for word in (self.size, self.colour, self.shape) if word]
        article = "an" if words[0][0] in "aeiou" else "a"
        tail = [self.speed] if self.speed and self.motion != "staying still" else []
        return " ".join([article, *words, self.motion, *tail])


@dataclass(frozen=True, slots=True)
class Caption:
    """One or two actors on a background; `str()` is the caption the model was trained on."""

    actors: tuple[Actor, ...]
    background: str

    def __str__(self) -> str:
        first, *rest = (str(actor) for actor in self.actors)
        return " and ".join([f"{first} on a {self.background} background", *rest])


def read(prompt: str) -> Caption:
    """Read free English as a caption: known words count, shades and synonyms map, the rest is passed over.

    What the prompt leaves open is filled in: red, circle, staying still, black. Raises `NotUnderstood` where
    nothing is known, or where a colour is asked for that the world does not have.
    """
    words = re.findall(r"[a-z]+", prompt.lower())
    words, background = _take_background(words)
    spans = _split_actors(words)
    actors = tuple(actor for actor in map(_read_actor, spans) if actor)[:2]
    if not actors and background is None:
        raise NotUnderstood(f"The prompt names nothing this small model can draw. {CAN_DRAW}")
    return Caption(actors or (Actor("red", "circle", "staying still"),), background or "black")


CAN_DRAW = (
    f"It draws {', '.join(SHAPES[:-1])} and {SHAPES[-1]} in {', '.join(COLOURS)}, moving left, right, up, down, "
    f"diagonally or staying still, slowly or quickly, on a {', '.join(BACKGROUNDS)} background; for example "
    "'a red circle moving right on a black background'."
)


def _take_background(words: list[str]) -> tuple[list[str], str | None]:
    """Split off 'on a X background', 'against X', 'over a X sky'."""
    for i, word in enumerate(words):
        before = words[max(0, i - 3) : i]
        is_ground = (i + 1 < len(words) and words[i + 1] == "background") or bool(
            {"on", "against", "over"} & set(before)
        )
        if not is_ground:
            continue
        if word in BACKGROUND_WORDS:
            end = i + 2 if i + 1 < len(words) and words[i + 1] == "background" else i + 1
            return words[:i] + ["and"] + words[end:], BACKGROUND_WORDS[word]
        if i + 1 < len(words) and words[i + 1] == "background" and word not in {"a", "the"}:
            raise NotUnderstood(f"'{word}' is not a background of this model; it has {', '.join(BACKGROUNDS)}.")
    return words, None


def _split_actors(words: list[str]) -> list[list[str]]:
    """One span of words a shape: a new one begins with the last article or colour before its shape word."""
    at = [i for i, word in enumerate(words) if word in SHAPE_WORDS]
    if len(at) < 2:
        return [words]
    starts = [0]
    for left, right in zip(at, at[1:], strict=False):
        joins = [i for i in range(left + 1, right) if words[i] in {"a", "an", "the"}]
        starts.append(joins[-1] if joins else max(left + 1, right - 2))
    return [words[a:b] for a, b in zip(starts, [*starts[1:], len(words)], strict=True)]


def _read_actor(words: list[str]) -> Actor | None:
    shape = _first(words, SHAPE_WORDS)
    colour = _first(words, COLOUR_WORDS)
    wrong = next((word for word in words if word in OTHER_COLOURS), None)
    if colour is None and wrong is None and shape is not None:
        named = words[words.index(next(w for w in words if SHAPE_WORDS.get(w) == shape)) - 1]
        wrong = named if named in BACKGROUNDS else None
    if colour is None and wrong:
        raise NotUnderstood(f"'{wrong}' is not a colour of this model; it has {', '.join(COLOURS)}.")
    dx = sum(_DIRECTIONS[word][0] for word in words if word in _DIRECTIONS)
    dy = sum(_DIRECTIONS[word][1] for word in words if word in _DIRECTIONS)
    step = ((dx > 0) - (dx < 0), (dy > 0) - (dy < 0))
    if shape is None and colour is None and step == (0, 0):
        return None
    motion = next(name for name, unit in MOTIONS.items() if unit == step)
    size = _first(words, SIZE_WORDS)
    speed = _first(words, {**{s: s for s in SPEEDS}, **_SPEEDS})
    return Actor(colour or "red", shape or "circle", motion, size, speed if step != (0, 0) else None)


def _first(words: list[str], meanings: dict[str, str]) -> str | None:
    return next((meanings[word] for word in words if word in meanings), None)
