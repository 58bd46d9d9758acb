"""What can be changed in the shapes world, and what free English wants changed.

Standard library only, like `language`, whose words it reads. Owns which changes there are; knows nothing of pixels
(`changed` draws them) or of networks.

    make it COLOUR | turn it into a SHAPE | make it small|large | make the background COLOUR
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.shapes.language import (
    BACKGROUND_WORDS,
    BACKGROUNDS,
    COLOUR_WORDS,
    COLOURS,
    OTHER_COLOURS,
    SHAPE_WORDS,
    SHAPES,
    SIZE_WORDS,
    SIZES,
    Caption,
    NotUnderstood,
)

#: What can be changed -> into what.
CHANGES: dict[str, tuple[str, ...]] = {"colour": COLOURS, "shape": SHAPES, "background": BACKGROUNDS, "size": SIZES}
_FORMS = {
    "colour": "make it {}",
    "shape": "turn it into a {}",
    "background": "make the background {}",
    "size": "make it {}",
}
CAN_CHANGE = (
    f"It changes one thing at a time: the colour ({', '.join(COLOURS)}), the shape ({', '.join(SHAPES)}), the size "
    f"({' or '.join(SIZES)}) or the background ({', '.join(BACKGROUNDS)}); for example 'make it blue' or "
    "'make the background navy'."
)
_SIZE_WORDS = {
    **SIZE_WORDS, "smaller": "small", "shrink": "small", "littler": "small", "tinier": "small", "larger": "large",
    "bigger": "large", "enlarge": "large", "grow": "large",
}  # fmt: skip
_GROUND = {"background", "backdrop"}
_UPON = {"on", "against", "over", "before"}
_KEEP = {"keep", "keeping", "leave", "leaving", "but", "without"}  # what follows is to stay


@dataclass(frozen=True, slots=True)
class Instruction:
    """One change; `str()` is the instruction that the model was trained on.

    what: a key of `CHANGES`; into: one of its values. Raises ValueError for another.
    """

    what: str
    into: str

    def __post_init__(self) -> None:
        if self.into not in CHANGES.get(self.what, ()):
            raise ValueError(f"There is no change of the {self.what} into {self.into}.")

    def __str__(self) -> str:
        return _FORMS[self.what].format(self.into)


EVERY = tuple(Instruction(what, into) for what, values in CHANGES.items() for into in values)


def read(text: str) -> Instruction:
    """Read free English as an instruction: what is named last is what is wanted.

    What is named before tells only which thing is meant ('make the red circle blue'). Raises `NotUnderstood` where
    nothing is named that can be changed, or two things at once.
    """
    words = _wanted(re.findall(r"[a-z]+", text.lower()))
    named = _named(words, _background_names(words))
    shapes = [i for i, (what, _) in enumerate(named) if what == "shape"]
    told = max((i for i in shapes if i + 1 < len(named)), default=-1)  # 'the red circle' of 'make the red circle blue'
    wanted = dict(named[told + 1 :])
    _refuse_strangers(words, wanted)
    if not wanted:
        raise NotUnderstood(f"The instruction names nothing that can be changed here. {CAN_CHANGE}")
    if len(wanted) > 1:
        both = " and ".join(f"the {what}" for what in wanted)
        raise NotUnderstood(f"The instruction changes {both}. {CAN_CHANGE}")
    return Instruction(*wanted.popitem())


def changed(caption: Caption, instruction: Instruction) -> Caption:
    """The caption of what the instruction makes of it; of several actors all are changed."""
    new: dict[str, Any] = {instruction.what: instruction.into}
    if instruction.what == "background":
        return replace(caption, **new)
    return replace(caption, actors=tuple(replace(actor, **new) for actor in caption.actors))


def _wanted(words: list[str]) -> list[str]:
    """Without what is to stay, and without 'on the black background' where that only says where."""
    stop = next((i for i, word in enumerate(words) if word in _KEEP), len(words))
    words = words[:stop]
    for i in range(len(words) - 2):
        upon, the, ground = words[i : i + 3]
        others = [*words[:i], *words[i + 4 :]]
        if upon in _UPON and the == "the" and ground in BACKGROUND_WORDS and _named(others, {}):
            return others
    return words


def _background_names(words: list[str]) -> Mapping[str, str]:
    """'grey' is a background only where one is spoken of; elsewhere it is a colour that no actor has."""
    return BACKGROUND_WORDS if {*_GROUND, *_UPON} & set(words) else {}


def _named(words: list[str], backgrounds: Mapping[str, str]) -> list[tuple[str, str]]:
    """All that is named, in order, as (what, into)."""
    meanings = {"background": backgrounds, "colour": COLOUR_WORDS, "shape": SHAPE_WORDS, "size": _SIZE_WORDS}
    return [(what, known[word]) for word in words for what, known in meanings.items() if word in known]


def _refuse_strangers(words: list[str], wanted: Mapping[str, str]) -> None:
    """A colour that this world does not have is refused, not passed over."""
    of_ground = bool(_GROUND & set(words))
    if of_ground and "background" not in wanted:
        strangers = [word for word in words if word in COLOUR_WORDS or word in OTHER_COLOURS]
        what = "background"
    elif not wanted:
        strangers = [word for word in words if word in OTHER_COLOURS or word in BACKGROUND_WORDS]
        what = "colour"
    else:
        return
    if strangers:
        raise NotUnderstood(f"'{strangers[-1]}' is not a {what} of this model; it has {', '.join(CHANGES[what])}.")
