"""Shells complete the words of `longtake`, also those of commands that are not loaded yet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LONGTAKE = Path(sys.executable).with_name("longtake")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("longtake do", ["doctor"]),
        ("longtake submit --ref", ["--refine"]),
        ("longtake generate --model tiny-sh", ["tiny-shapes", "tiny-shapes-turbo", "tiny-shapes-dit"]),
    ],
)
def test_a_word_that_is_begun_is_completed(line: str, offered: list[str]) -> None:
    asked = {"_LONGTAKE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    told = subprocess.run([LONGTAKE], env=asked, capture_output=True, text=True, check=True, timeout=60)
    assert [row.split(",", 1)[1] for row in told.stdout.splitlines()] == offered


def test_bash_takes_what_makes_it_complete() -> None:
    script = subprocess.run(
        [LONGTAKE], env={"_LONGTAKE_COMPLETE": "bash_source", "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    subprocess.run(["bash", "-n"], input=script.stdout, check=True)
    assert b"_LONGTAKE_COMPLETE=bash_complete" in script.stdout
