"""What is imported so is not searched for garbage; what comes after it is, as before."""

from __future__ import annotations

import gc
import weakref

import pytest

from models import imports


class Loop:
    """Garbage that only a search finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thaw():
    yield
    gc.unfreeze()


def test_nobody_looks_for_garbage_meanwhile_and_everybody_does_afterwards():
    with imports.that_stay():
        assert not gc.isenabled()
    assert gc.isenabled()
    lost = weakref.ref(Loop())
    gc.collect()
    assert lost() is None


def test_what_is_there_is_searched_no_more():
    kept = weakref.ref(Loop())
    assert kept() is not None
    with imports.that_stay():
        pass
    gc.collect()
    assert kept() is not None


def test_one_in_another_and_one_that_fails_leave_it_as_it_was():
    with imports.that_stay():
        with imports.that_stay():
            pass
        assert not gc.isenabled()
    with pytest.raises(ImportError), imports.that_stay():
        raise ImportError
    assert gc.isenabled()
