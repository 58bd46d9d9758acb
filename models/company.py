"""Videos in company: what several threads ask of a network at the same time, it is asked once, as one batch.

Each thread makes a chunk of its own, at steps of its own; who comes joins at the next step, who is done is not waited
for (continuous batching). Knows nothing of networks: what can be asked together says who asks (`kind`), and how. Frames
made in company differ in their last bits from those made alone, for a larger batch adds up in another order.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 0.25  # for who is between two steps; longer than that, and the others go on without it

Together = Callable[[Sequence[Any]], Sequence[Any]]  # what is asked -> the answers, in that order


@dataclass(eq=False, slots=True)
class _Question:
    """One that waits for its answer, or for its turn to ask for all."""

    kind: Hashable
    asked: Any
    answer: Any = None
    is_taken: bool = False
    is_answered: bool = False
    error: BaseException | None = None


class Company:
    """The threads that work with the same networks. most: how many are asked for at once; with 1 each is alone."""

    def __init__(self, most: int = 1):
        if most < 1:
            raise ValueError(f"A company of {most} is none; 1 is the least.")
        self.most = most
        self.sizes: Counter[int] = Counter()  # how often so many were asked for at once
        self._answering: Counter[Hashable] = Counter()  # batches of each kind that are being computed
        self._seated: dict[Seat, Hashable] = {}  # and the kind of what each asked last
        self._waiting: list[_Question] = []
        self._changed = threading.Condition()

    @contextmanager
    def seat(self) -> Iterator[Seat]:
        """For the steps of one chunk, by one thread: as long as it lasts, those at the same steps wait for it."""
        seat = Seat(self)
        try:
            yield seat
        finally:
            with self._changed:
                self._seated.pop(seat, None)
                self._changed.notify_all()

    def _ask(self, seat: Seat, kind: Hashable, asked: Any, together: Together) -> Any:
        question = _Question(kind, asked)
        with self._changed:
            self._seated[seat] = kind
            self._waiting.append(question)
            self._changed.notify_all()
            self._gather(question)
            if question.is_taken:
                self._changed.wait_for(lambda: question.is_answered)
                return _told(question)
            all_asked = [question, *(one for one in self._waiting if one.kind == kind and one is not question)]
            all_asked = all_asked[: self.most]
            for one in all_asked:
                one.is_taken = True
                self._waiting.remove(one)
            self.sizes[len(all_asked)] += 1
            self._answering[kind] += 1
            self._changed.notify_all()
        _answer(all_asked, together)
        with self._changed:
            self._answering[kind] -= 1
            for one in all_asked:
                one.is_answered = True
            self._changed.notify_all()
        return _told(question)

    def _gather(self, question: _Question) -> None:
        """Wait until it is taken by another, or all are there, or whoever is missing has been away for too long."""
        away_until = math.inf
        while not question.is_taken and not self._is_whole(question.kind):
            if self._answering[question.kind]:  # who is asked for there comes again
                away_until = math.inf
                self._changed.wait()
                continue
            away_until = min(away_until, time.monotonic() + PATIENCE_S)
            if (left := away_until - time.monotonic()) <= 0:
                return
            self._changed.wait(left)

    def _is_whole(self, kind: Hashable) -> bool:
        """Whether all who are at steps of this kind wait, or as many as can be asked for."""
        waiting = sum(one.kind == kind for one in self._waiting)
        return waiting >= min(self.most, sum(other == kind for other in self._seated.values()))


class Seat:
    """One thread's place in the company."""

    def __init__(self, company: Company):
        self._company = company

    def ask(self, kind: Hashable, asked: Any, together: Together) -> Any:
        """The answer to what is asked, with the others of its kind. What `together` raises passes through."""
        if self._company.most == 1:
            (answer,) = together([asked])
            return answer
        return self._company._ask(self, kind, asked, together)


def _answer(questions: Sequence[_Question], together: Together) -> None:
    """All at once; where that goes wrong one by one, so that one's fault is not another's."""
    groups = [questions]
    if len(questions) > 1:
        groups += [[one] for one in questions]
    for group in groups:
        try:
            answers = together([one.asked for one in group])
        except BaseException as error:
            if len(group) == 1:
                group[0].error = error
            continue
        for one, answer in zip(group, answers, strict=True):
            one.answer = answer
        if group is questions:
            return


def _told(question: _Question) -> Any:
    if question.error is not None:
        raise question.error
    return question.answer
