"""What a player hears."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe


def heard_of(place: Path | str) -> np.ndarray:
    """The sound of a file, or of a playlist from its first segment on, as ffmpeg decodes it: int16 [S, 2]."""
    first = ["-live_start_index", "0"] if str(place).partition("?")[0].endswith(".m3u8") else []
    asked = [get_ffmpeg_exe(), "-v", "error", *first, "-i", str(place), "-map", "0:a", "-f", "s16le", "-"]
    return np.frombuffer(subprocess.run(asked, capture_output=True, check=True).stdout, "<i2").reshape(-1, 2)
