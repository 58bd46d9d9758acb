"""Free English becomes a change of the shapes world, or a sentence that says what can be changed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from models.shapes import language
from models.shapes.instruction import CAN_CHANGE, EVERY, Instruction, changed, read
from models.shapes.language import NotUnderstood


@pytest.mark.parametrize("instruction", EVERY, ids=str)
def test_an_instruction_in_its_own_words_is_itself(instruction):
    assert read(str(instruction)) == instruction


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("make the red circle blue", "make it blue"),
        ("change the colour from red to azure", "make it blue"),
        ("Paint it golden, please!", "make it yellow"),
        ("turn the small yellow ball into a star", "turn it into a star"),
        ("it should be a box", "turn it into a square"),
        ("make it bigger", "make it large"),
        ("make the large star tiny", "make it small"),
        ("give it a brown background", "make the background brown"),
        ("change the background from black to gray", "make the background grey"),
        ("put the circle on a navy background", "make the background navy"),
        ("make the circle on the black background green", "make it green"),
        ("make it white but keep the navy background", "make it white"),
    ],
)
def test_free_english_is_read_by_what_it_names_last(said, meant):
    assert str(read(said)) == meant


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ("make it purple", "'purple' is not a colour"),
        ("make it grey", "'grey' is not a colour"),
        ("make the background red", "'red' is not a background"),
        ("make the background pink", "'pink' is not a background"),
        ("turn it into a blue star", "changes the colour and the shape"),
        ("make it jump", "nothing that can be changed"),
        ("", CAN_CHANGE),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(said, because):
    with pytest.raises(NotUnderstood, match=re.escape(because)):
        read(said)


def test_a_change_leaves_the_rest_of_a_caption():
    caption = language.read("a small red circle moving left slowly on a grey background and a blue star moving up")
    made = [str(changed(caption, Instruction(*change))) for change in (("colour", "green"), ("background", "navy"))]
    assert made == [
        "a small green circle moving left slowly on a grey background and a green star moving up",
        "a small red circle moving left slowly on a navy background and a blue star moving up",
    ]
    assert changed(caption, Instruction("size", "large")).actors[1].size == "large"
    with pytest.raises(ValueError, match="no change of the motion"):
        Instruction("motion", "moving left")


def test_the_api_can_read_instructions_without_a_tensor_library():
    code = "import sys, models.shapes.instruction; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
