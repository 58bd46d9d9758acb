"""The made-up family that docs/families.md shows: its file as it stands there, and a checkpoint of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from models.model import Size

OPTIONS = {"pixels_a_frame": 3}
SIZE = Size(64, 64)
_PAGE = Path(__file__).parents[3] / "docs/families.md"


def write_family(folder: Path) -> Path:
    """The one file that the family is, in a folder for `LONGTAKE_FAMILIES_DIR`."""
    (shown,) = re.findall(r"^```python\n(.*?)^```", _PAGE.read_text(), re.DOTALL | re.MULTILINE)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "drift.py").write_text(shown)
    return folder


def build(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DriftPipeline"}))
    return folder
