"""Tiny checkpoints of Helios with a pyramid: `HeliosPyramidPipeline`, distilled or not, as diffusers saves them."""

from __future__ import annotations

from pathlib import Path

from diffusers import HeliosDMDScheduler, HeliosPipeline, HeliosPyramidPipeline, HeliosScheduler

from models.model import Size
from tests.support.tiny import helios

SIZE = Size(64, 64)
OPTIONS = helios.OPTIONS


def build(folder: Path, is_distilled: bool = True) -> Path:
    """Write it to `folder`; the same weights every time, and those of tiny Helios.

    gamma is 1/3 in the releases, of which diffusers takes a root in single precision that not every CPU finds.
    """
    parts = dict(HeliosPipeline.from_pretrained(helios.build(folder)).components)
    shifted = {"use_dynamic_shifting": True, "time_shift_type": "linear", "gamma": 0.3}
    parts["scheduler"] = HeliosDMDScheduler(**shifted) if is_distilled else HeliosScheduler(**shifted)
    pyramid = HeliosPyramidPipeline(**parts, is_distilled=is_distilled, is_cfg_zero_star=not is_distilled)
    pyramid.save_pretrained(folder)
    return folder
