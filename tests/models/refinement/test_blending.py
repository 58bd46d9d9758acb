"""Promises of randomized blending: every walk gives the same bits, from wherever it is continued."""

import random

import pytest
import torch
from safetensors.torch import load, save

from models import noise, units
from models.refinement import blending
from models.refinement.blending import Blend, Node
from models.refinement.schedule import LogSNRCosineSchedule
from models.refinement.solver import advance, solver_steps

# frames, window, overlap: exact fit, shorter last window, one window, shorter than one, half overlap, none
SHAPES = [(56, 24, 8), (61, 24, 8), (24, 24, 8), (5, 24, 8), (25, 24, 8), (37, 8, 4), (30, 8, 0), (33, 6, 1)]
STEPS = [1, 2, 7]
SEED = 3


class Film:
    """A video to refine: its noised latents, a denoiser that mixes the frames of a window, and its walker."""

    def __init__(self, frames: int, window: int, overlap: int, steps: int):
        self.spans, self.steps = units.windows(frames, window, overlap), steps
        self.x = self.noise((0, frames), -1)
        self._overlap = overlap
        self._solver = solver_steps(LogSNRCosineSchedule(), noise_levels=600, steps=steps)
        self.nodes_seen: list[Node] = []

    def noise(self, span, step):  # [C, F, H, W]
        return noise.per_frame((2, 3, 3), seed=SEED, stage="test", frames=range(*span), step=step)

    def denoise(self, x, node):
        self.nodes_seen.append(node)
        return torch.tanh(x + 0.5 * x.mean(dim=1, keepdim=True) + 0.1 * node.window - 0.05 * node.step)

    def advance(self, step, span, x, x0, history):
        z = self.noise(span, step) if self._solver[step].spread else None
        return advance(self._solver[step], x, x0, history, z)

    def blend(self, state=None):
        return Blend(
            self.spans,
            range(self.steps),
            denoise=self.denoise,
            advance=self.advance,
            threshold=lambda boundary, step: blending.threshold(SEED, boundary, step, self._overlap),
            state=state,
        )

    def enters(self, j):
        """The frames of window j that no window before it has."""
        if j >= len(self.spans):
            return self.x[:, :0]
        return self.x[:, (self.spans[j - 1][1] if j else 0) : self.spans[j][1]]

    def in_order(self, nodes):
        blend = self.blend()
        blend.admit(self.x)
        blend.walk(nodes)
        return blend.release().x

    def in_lockstep(self):
        return self.in_order(blending.lockstep(len(self.spans), self.steps))


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.fixture(params=STEPS, ids=lambda steps: f"{steps} steps")
def film(shape, request):
    return Film(*shape, steps=request.param)


def diagonal_by_diagonal(film, hand_over):
    """Admit, walk, release as the service does; `hand_over` makes the next process's walker of this one's."""
    blend, done = film.blend(), []
    for j in range(len(film.spans) + film.steps - 1):
        blend = hand_over(blend)
        if film.enters(j).shape[1]:
            blend.admit(film.enters(j))
        blend.walk(blending.diagonal(j, len(film.spans), range(film.steps)))
        done.append(blend.release().x)
    return done


def test_both_walks_visit_every_node_once_and_never_before_what_it_needs():
    for windows, steps in ((1, 1), (1, 5), (5, 1), (4, 3), (3, 30)):
        everything = {Node(i, s) for i in range(windows) for s in range(steps)}
        for walk in (blending.lockstep, blending.wavefront):
            seen: set[Node] = set()
            for node in walk(windows, steps):
                assert node not in seen and seen.issuperset(blending.needs(node, windows))
                seen.add(node)
            assert seen == everything


def test_lockstep_and_wavefront_give_the_same_bits(film):
    lockstep = film.in_lockstep()
    assert lockstep.shape == film.x.shape  # no frame trimmed
    assert torch.equal(lockstep, film.in_order(blending.wavefront(len(film.spans), film.steps)))


def test_any_order_that_respects_needs_gives_the_same_bits(film):
    windows, done, order = len(film.spans), set(), []
    todo = {Node(i, s) for i in range(windows) for s in range(film.steps)}
    shuffle = random.Random(5)
    while todo:
        ready = sorted(node for node in todo if done.issuperset(blending.needs(node, windows)))
        order.append(shuffle.choice(ready))
        done.add(order[-1])
        todo.discard(order[-1])
    assert torch.equal(film.in_order(order), film.in_lockstep())


def test_another_process_may_go_on_after_every_diagonal(film):
    handed_over = diagonal_by_diagonal(film, lambda blend: film.blend(load(save(blend.state))))
    assert torch.equal(torch.cat(handed_over, dim=1), film.in_lockstep())


def test_a_state_is_not_changed_by_going_on_from_it(film):
    blend = film.blend()
    blend.admit(film.enters(0))
    state = blend.state
    before = save(state)
    film.blend(state).visit(Node(0, 0))
    blend.visit(Node(0, 0))
    assert save(state) == before


def test_frames_leave_as_soon_as_their_window_is_final(film):
    released = diagonal_by_diagonal(film, lambda blend: blend)
    starts = [start for start, _ in film.spans] + [film.x.shape[1]]
    expected = [0] * (film.steps - 1) + [stop - start for start, stop in zip(starts, starts[1:], strict=False)]
    assert [done.shape[1] for done in released] == expected


def test_memory_does_not_grow_with_the_video():
    def most_in_flight(frames):
        sizes = []

        def weigh(blend):
            sizes.append(sum(tensor.numel() for tensor in blend.state.values()))
            return blend

        diagonal_by_diagonal(Film(frames, 8, 2, steps=4), weigh)
        return max(sizes)

    assert most_in_flight(400) == most_in_flight(80)


@pytest.mark.parametrize("shape", [(56, 24, 8), (56, 24, 12)], ids=str)
def test_a_node_visited_out_of_turn_is_refused(shape):
    film = Film(*shape, steps=3)
    blend = film.blend()
    blend.admit(film.x)
    blend.walk([Node(0, 0), Node(1, 0)])
    with pytest.raises(ValueError, match="before a node it needs"):
        blend.visit(Node(1, 1))  # Node(2, 0) is missing
    with pytest.raises(ValueError, match="visited twice"):
        blend.visit(Node(0, 0))


def test_overlap_frames_come_from_the_left_before_the_threshold_and_from_the_right_after_it():
    blend = Blend(
        [(0, 6), (2, 8)],
        range(1),
        denoise=lambda x, node: torch.full_like(x, node.window),
        advance=lambda step, span, x, x0, history: x0,
        threshold=lambda boundary, step: 3,
    )
    blend.admit(torch.zeros(1, 8, 1, 1))
    blend.walk(blending.lockstep(2, 1))
    assert blend.release().x.flatten().tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


def test_three_windows_may_not_share_a_frame():
    with pytest.raises(ValueError, match="half a window"):
        Film(40, 8, 5, steps=1).blend()


@pytest.mark.parametrize("kind, highest", [("randomized", 7), ("paper", 8)])
def test_thresholds_reach_every_frame_of_the_overlap(kind, highest):
    drawn = [blending.threshold(SEED, b, s, 8, kind) for b in range(20) for s in range(30)]
    assert set(drawn) == set(range(highest + 1))
    assert drawn == [blending.threshold(SEED, b, s, 8, kind) for b in range(20) for s in range(30)]


def test_thresholds_differ_by_seed_and_the_middle_never_moves():
    draw = lambda seed, kind: [blending.threshold(seed, b, 0, 8, kind) for b in range(30)]  # noqa: E731
    assert draw(1, "randomized") != draw(2, "randomized")
    assert set(draw(1, "middle")) == {4}
    with pytest.raises(ValueError, match="randomized, paper, middle"):
        draw(1, "average")
