"""Randomized blending (StreamingT2V, arXiv 2403.14773, section 4.3) as a graph of small pieces of work.

A long video is refined in overlapping windows. Node (window, step) is one look of the denoiser at one
window. Where two windows overlap by O frames, the clean video seen at step s is the left one's up to a
random frame f_thr and the right one's from there, so that no seam stays in one place. That is the paper's
Eq. 8, read so that the lengths add up (its index on x_R fits f_thr = O / 2 only):

    x_LR = concat(x_L[: F - O + f_thr], x_R[f_thr :])

A node needs its own window and its neighbours one step earlier and nothing else, so every order that
respects `needs` gives the same bits. Owns the graph, its walks and the frames in flight; knows nothing of
networks, solvers or pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch

from models import noise

THRESHOLDS = ("randomized", "paper", "middle")


class Node(NamedTuple):
    """One look of the denoiser at one window."""

    window: int
    step: int


def needs(node: Node, windows: int) -> list[Node]:
    """Window i at step s reads its neighbours' overlap at s - 1, and nothing else."""
    i, s = node
    return [] if s == 0 else [Node(j, s - 1) for j in (i - 1, i, i + 1) if 0 <= j < windows]


def lockstep(windows: int, steps: int) -> Iterator[Node]:
    """The paper's order: all windows, then the next step."""
    return (Node(i, s) for s in range(steps) for i in range(windows))


def wavefront(windows: int, steps: int) -> Iterator[Node]:
    """Diagonal by diagonal: window 0 is finished while window n is not begun."""
    return (node for j in range(windows + steps - 1) for node in diagonal(j, windows, range(steps)))


def diagonal(j: int, windows: int, steps: range) -> list[Node]:
    """Nodes (j - s, s), s ascending: of all steps, or of a band of them."""
    return [Node(j - s, s) for s in steps if 0 <= j - s < windows]


def threshold(seed: int, boundary: int, step: int, overlap: int, kind: str = "randomized") -> int:
    """f_thr: frames before it come from the left window, the rest from the right one.

    Boundary i lies between windows i and i + 1. 'randomized' is the published code, uniform over
    0..overlap-1: the last frame of the overlap is always the right window's. 'paper' is the text, uniform
    over 0..overlap. 'middle' never moves: the fixed seam that blending is there to avoid, to compare with.
    """
    if kind not in THRESHOLDS:
        raise ValueError(f"blending is '{kind}'; it can be {', '.join(THRESHOLDS)}.")
    if kind == "middle" or overlap == 0:
        return overlap // 2
    most = overlap - 1 if kind == "randomized" else overlap
    return noise.integer(0, most, seed=seed, stage="refine-blend", index=boundary, step=step)


class Half(NamedTuple):
    """One window's view of the overlap of windows `boundary` and `boundary` + 1."""

    boundary: int
    window: int


class Released(NamedTuple):
    """Frames that have all steps of a `Blend` behind them: x, and x0 as seen at the last of these."""

    x: torch.Tensor  # [C, F, H, W]
    history: torch.Tensor  # [C, F, H, W]


Span = tuple[int, int]  # frames [start, stop) of the video
State = dict[str, torch.Tensor]
Denoise = Callable[[torch.Tensor, Node], torch.Tensor]  # x_t -> x0 of one window, [C, F, H, W]
Threshold = Callable[[int, int], int]  # boundary, step -> f_thr
# step, frames, x, x0, history -> x of the next step, [C, F, H, W]
Advance = Callable[[int, Span, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Blend:
    """The frames in flight: admitted, not yet released. Visit nodes in any order that respects `needs`.

    Each frame has its latent x at its own step, and x0 as seen the step before (the solver's history). The
    x0 of an overlap that only one of its two windows has seen waits as a half. So memory is that of the
    windows in flight, as many as there are steps in the wavefront, however long the video. `state` is all
    there is of it, and may be taken after any node. steps: those that it takes frames through; where they
    are a part of all, it admits what another one released.
    """

    def __init__(
        self,
        spans: Sequence[Span],
        steps: range,
        *,
        denoise: Denoise,
        advance: Advance,
        threshold: Threshold,
        state: State | None = None,
        device: torch.device | str = "cpu",
    ):
        _check(spans)
        self.spans, self.steps = list(spans), steps
        self._denoise, self._advance, self._threshold = denoise, advance, threshold
        self._x = self._history = torch.empty(0, device=device)  # [C, F, H, W]
        self._first = 0  # the frame that x[:, 0] is
        self._level: list[int] = []  # [F]: steps that each frame has behind it
        self._halves: dict[Half, torch.Tensor] = {}  # x0 [C, O, H, W]
        if state is not None:
            self._restore(state, device)

    def admit(self, x: torch.Tensor, history: torch.Tensor | None = None) -> None:  # [C, F, H, W]
        """Take in the next frames of the video: noised, or as another one released them."""
        held, known = (self._x, self._history) if self._level else (x[:, :0], x[:, :0])
        self._x = torch.cat([held, x], dim=1)
        self._history = torch.cat([known, torch.zeros_like(x) if history is None else history], dim=1)
        self._level += [self.steps.start] * x.shape[1]

    def walk(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self.visit(node)

    def visit(self, node: Node) -> None:
        """Denoise one window once, and move on every frame whose clean value is thereby decided."""
        (i, s), (start, stop) = node, self.spans[node.window]
        at = self._local(start, stop)
        if self._level[at] != [s] * (stop - start) or any(half.window == i for half in self._halves):
            raise ValueError(f"{node} is visited twice, before a node it needs, or with a frame not admitted.")
        x0 = self._denoise(self._x[:, at].contiguous(), node)  # [C, F, H, W]
        inner = start + self._overlap(i - 1), stop - self._overlap(i)
        left, right = x0[:, : inner[0] - start], x0[:, inner[1] - start :]
        decided = [(inner, x0[:, inner[0] - start : inner[1] - start])]
        decided += [((start, inner[0]), x) for x in self._join(i - 1, node, left)]
        decided += [((inner[1], stop), x) for x in self._join(i, node, right)]
        for span, x in decided:
            if x.shape[1]:
                self._move(s, span, x)

    def release(self) -> Released:
        """Hand out the finished frames at the front, F >= 0 of them, and forget them."""
        ready = next((f for f, level in enumerate(self._level) if level < self.steps.stop), len(self._level))
        done = Released(self._x[:, :ready].clone(), self._history[:, :ready].clone())
        self._x, self._history = self._x[:, ready:].clone(), self._history[:, ready:].clone()
        self._level, self._first = self._level[ready:], self._first + ready
        return done

    @property
    def state(self) -> State:
        """Everything that another process needs to go on, bit for bit: CPU tensors that share no memory."""
        kept = {"x": self._x, "history": self._history, "first_frame": torch.tensor(self._first)}
        kept["level"] = torch.tensor(self._level, dtype=torch.int64)
        kept |= {f"half.{half.boundary}.{half.window}": x0 for half, x0 in self._halves.items()}
        return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in kept.items()}

    def _restore(self, state: State, device: torch.device | str) -> None:
        self._x, self._history = (state[name].to(device, copy=True) for name in ("x", "history"))
        self._first, self._level = int(state["first_frame"]), state["level"].tolist()
        for name in state:
            if name.startswith("half."):
                boundary, window = map(int, name.split(".")[1:])
                self._halves[Half(boundary, window)] = state[name].to(device, copy=True)

    def _join(self, boundary: int, node: Node, x0: torch.Tensor) -> list[torch.Tensor]:
        """The blended overlap, if the boundary's other window has seen it too; else nothing yet."""
        if not self._overlap(boundary):
            return []
        from_left = node.window == boundary
        waiting = self._halves.pop(Half(boundary, boundary + 1 if from_left else boundary), None)
        if waiting is None:
            self._halves[Half(boundary, node.window)] = x0.clone()
            return []
        left, right = (x0, waiting) if from_left else (waiting, x0)
        f_thr = self._threshold(boundary, node.step)
        return [torch.cat([left[:, :f_thr], right[:, f_thr:]], dim=1)]

    def _move(self, step: int, span: Span, x0: torch.Tensor) -> None:
        at = self._local(*span)
        self._x[:, at] = self._advance(step, span, self._x[:, at], x0, self._history[:, at])
        self._history[:, at] = x0
        self._level[at] = [step + 1] * (span[1] - span[0])

    def _overlap(self, boundary: int) -> int:
        """Frames that windows `boundary` and `boundary` + 1 share; 0 beyond the two ends of the video."""
        if not 0 <= boundary < len(self.spans) - 1:
            return 0
        return self.spans[boundary][1] - self.spans[boundary + 1][0]

    def _local(self, start: int, stop: int) -> slice:
        return slice(start - self._first, stop - self._first)


def _check(spans: Sequence[Span]) -> None:
    if any(start < stop for (_, stop), (start, _) in zip(spans, spans[2:], strict=False)):
        raise ValueError(f"Some frame is in three windows; the overlap can be half a window at most: {spans[:3]}")
