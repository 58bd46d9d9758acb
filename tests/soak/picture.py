"""The samples of a soak as a picture: a panel a measure, a line a process, a grey bar where a fault held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from models.evaluation.plot import _round_up as round_up
from tests.soak.gauges import Sample

WIDTH, HEIGHT, COLUMNS = 560, 190, 2  # of a panel
LEFT, TOP, RIGHT, BOTTOM = 52, 30, 14, 24  # its margins
SMOOTH = 2  # drawn so many times larger, then shrunk
INK, FAINT, HARM = "#333333", "#e4e4e4", "#f3e3da"
COLOURS = {"api": "#1f6fb4", "worker": "#c23b22", "courier": "#3a8f4c", "store": "#7a4fa3", "bucket": "#8a6d1d"}
PANELS = {
    "rss_mb": "memory of a process, MB",
    "fds": "open files",
    "threads": "threads",
    "keys": "keys in the store",
    "memory_mb": "memory of the store, MB",
    "clients": "clients of the store",
    "objects": "objects in the bucket",
}


def draw(samples: Sequence[Sample], harmed: Sequence[tuple[float, float]], file: Path) -> None:
    """harmed: begin and end of every fault, in seconds."""
    rows = -(-len(PANELS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * WIDTH * SMOOTH, rows * HEIGHT * SMOOTH), "white")
    for number, (what, title) in enumerate(PANELS.items()):
        own = [sample for sample in samples if sample.what == what]
        corner = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
        _Panel(sheet, corner, own).draw(title, harmed)
    small = sheet.resize((COLUMNS * WIDTH, rows * HEIGHT), Image.Resampling.LANCZOS)
    small.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


class _Panel:
    def __init__(self, sheet: Image.Image, corner: tuple[int, int], samples: Sequence[Sample]):
        self._draw, self._corner, self._samples = ImageDraw.Draw(sheet), corner, samples
        self._end = max((sample.at_s for sample in samples), default=0.0) or 1.0
        self._top = round_up(max((sample.value for sample in samples), default=0.0))

    def draw(self, title: str, harmed: Sequence[tuple[float, float]]) -> None:
        for began, ended in harmed:
            self._draw.rectangle([*self._at(began, self._top), *self._at(max(ended, began + 1), 0)], fill=HARM)
        for part in range(3):
            value = self._top * part / 2
            self._line([(0, value), (self._end, value)], FAINT, 1)
            self._write(f"{value:g}", self._at(0, value), "rm", (-6, 0))
        for minute in range(0, int(self._end // 60) + 1, max(1, round(self._end / 60 / 6))):
            self._write(f"{minute} min" if minute else "0", self._at(60 * minute, 0), "mt", (0, 6))
        lines = dict[tuple[str, str], list[tuple[float, float]]]()
        for sample in self._samples:
            lines.setdefault((sample.role, sample.who), []).append((sample.at_s, sample.value))
        for (role, _), points in lines.items():
            self._line(points, COLOURS[role], 1.5)
        self._write(title, (self._x(LEFT), self._y(TOP / 2)), "lm", (0, 0), 12)
        for place, role in enumerate(sorted({role for role, _ in lines})):
            where = self._x(WIDTH - RIGHT - 60 * place), self._y(TOP / 2)
            self._write(role, where, "rm", (0, 0), colour=COLOURS[role])

    def _at(self, seconds: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * min(seconds, self._end) / self._end
        return self._x(x), self._y(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self._top)

    def _x(self, x: float) -> float:
        return (self._corner[0] + x) * SMOOTH

    def _y(self, y: float) -> float:
        return (self._corner[1] + y) * SMOOTH

    def _line(self, points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
        self._draw.line([self._at(*point) for point in points], colour, round(width * SMOOTH), joint="curve")

    def _write(
        self,
        text: str,
        where: tuple[float, float],
        anchor: str,
        off: tuple[int, int],
        size: int = 10,
        colour: str = INK,
    ) -> None:
        place = where[0] + off[0] * SMOOTH, where[1] + off[1] * SMOOTH
        self._draw.text(place, text, colour, ImageFont.load_default(size * SMOOTH), anchor)
