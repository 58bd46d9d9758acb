"""A curve over the frames of a video, as a picture: where it drifts, and whether seams and cuts are to blame."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 960, 320
LEFT, TOP, RIGHT, BOTTOM = 56, 40, 16, 34  # margins
SMOOTH = 3  # drawn so many times larger, then shrunk
INK, FAINT, CURVE, CUT = "#333333", "#e4e4e4", "#1f6fb4", "#c23b22"


def plot(curve: np.ndarray, title: str, *, seams: Collection[int] = (), cuts: Collection[int] = ()) -> Image.Image:
    """Values [F], none below 0, over their frames. seams: ticks below the axis; cuts: red lines. 960x320 pixels."""
    sheet = Image.new("RGB", (WIDTH * SMOOTH, HEIGHT * SMOOTH), "white")
    draw = ImageDraw.Draw(sheet)
    top, last = _round_up(float(curve.max(initial=0))), max(len(curve) - 1, 1)

    def at(frame: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * frame / last
        return x * SMOOTH, (HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top) * SMOOTH

    def line(*points: tuple[float, float], colour: str, width: float = 1) -> None:
        draw.line(points, colour, round(width * SMOOTH), joint="curve")

    def write(text: str, place: tuple[float, float], anchor: str, size: int = 12) -> None:
        draw.text(place, text, INK, ImageFont.load_default(size * SMOOTH), anchor)

    write(title, (LEFT * SMOOTH, TOP / 2 * SMOOTH), "lm", 14)
    for value in np.linspace(0, top, 6):
        line(at(0, value), at(last, value), colour=FAINT)
        write(f"{value:.6g}", (at(0, value)[0] - 8 * SMOOTH, at(0, value)[1]), "rm")
    for frame in range(0, last + 1, max(1, int(_round_up(last / 8)))):
        write(str(frame), (at(frame, 0)[0], at(frame, 0)[1] + 10 * SMOOTH), "mt")
    for frame in seams:
        x, y = at(frame, 0)
        line((x, y), (x, y + 6 * SMOOTH), colour=INK)
    for frame in cuts:
        line(at(frame, 0), at(frame, top), colour=CUT)
    line(*(at(frame, value) for frame, value in enumerate(curve)), colour=CURVE, width=2)
    return sheet.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999))
