"""Footage is read as it is: the right frames, the right caption, and a clear word where something is missing."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from longtake.checkpoints.inventory import problems
from longtake.train import train
from longtake.training.folder import load
from longtake.training.videos import FootageError, VideoSource
from models.loading import BUNDLED
from models.shapes import world
from models.streaming_t2v.cam import ConditionalAttentionModule
from workers import media

FPS = 8


def film(folder: Path, name: str, seed: int, num_frames: int = 40) -> torch.Tensor:
    """Write a drawn scene as a video with its caption; its frames [F, 3, H, W] in [-1, 1]."""
    rng = random.Random(seed)
    scene = world.scene(world.sample_caption(rng), rng)
    frames = world.draw(scene, range(num_frames), 64)
    pixels = ((frames + 1) * 127.5).round().byte().movedim(1, -1).numpy()
    made = media.encode(pixels, fps=FPS, first_frame=0)
    folder.mkdir(parents=True, exist_ok=True)
    media.join(made.init, [made.segment], folder / f"{name}.mp4")
    (folder / f"{name}.txt").write_text(f"{scene.caption}\n")
    return frames


def shard(folder: Path, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(into, "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)


@pytest.mark.parametrize("form", ["folder", "shard"])
def test_a_clip_is_a_run_of_frames_of_one_video_with_its_caption(tmp_path: Path, form: str) -> None:
    films = {(tmp_path / "loose" / f"{name}.txt"): film(tmp_path / "loose", name, i) for i, name in enumerate("abc")}
    by_caption = {path.read_text().strip(): frames for path, frames in films.items()}
    if form == "shard":
        shard(tmp_path / "loose", tmp_path / "shards" / "00.tar")
    source = VideoSource(tmp_path / ("loose" if form == "folder" else "shards"), size=64, fps=FPS)
    seen = set()
    for seed in range(12):
        drawn = source.clip(random.Random(seed), range(16))
        errors = [(drawn.pixels - by_caption[drawn.caption][at : at + 16]).abs().mean() for at in range(25)]
        assert min(errors) < 0.03
        seen.add((drawn.caption, int(torch.stack(errors).argmin())))
    assert len({caption for caption, _ in seen}) == 3
    assert len(seen) > 6  # from anywhere in them


def test_the_same_chance_gives_the_same_clip(tmp_path: Path) -> None:
    film(tmp_path, "a", 1)
    film(tmp_path, "b", 2)
    first, again = (VideoSource(tmp_path, size=64, fps=FPS).clip(random.Random(3), [0, 2, 9]) for _ in range(2))
    assert torch.equal(first.pixels, again.pixels) and first.caption == again.caption
    assert first.pixels.shape == (3, 3, 64, 64)


def test_short_videos_are_passed_over(tmp_path: Path) -> None:
    film(tmp_path, "short", 1, num_frames=9)
    film(tmp_path, "long", 2)
    source = VideoSource(tmp_path, size=64, fps=FPS)
    assert {source.clip(random.Random(i), range(32)).caption for i in range(4)} == {
        (tmp_path / "long.txt").read_text().strip()
    }
    with pytest.raises(FootageError, match="no video of 12.5 s or more"):
        source.clip(random.Random(0), range(100))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FootageError, match="holds no video"):
        VideoSource(tmp_path, size=64, fps=FPS)
    film(tmp_path, "a", 1)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(FootageError, match=r"a\.mp4 has no caption; put it into .*a\.txt"):
        VideoSource(tmp_path, size=64, fps=FPS)
    (tmp_path / "a.txt").write_text("a caption")
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(FootageError, match="no video that ffmpeg reads"):
        VideoSource(tmp_path, size=64, fps=FPS).clip(random.Random(0), range(16))
    (tmp_path / "cut.tar").write_bytes(b"\0" * 100 + b"no shard")
    with pytest.raises(FootageError, match="no whole tar file"):
        VideoSource(tmp_path, size=64, fps=FPS)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_cam_and_apm_train_on_a_folder_of_videos(tmp_path: Path) -> None:
    for seed in range(3):
        film(tmp_path / "footage", f"take{seed}", seed)
    torch.set_num_threads(1)
    runs = ["--runs", str(tmp_path / "runs"), "--processes", "1", "--checkpoint", "tiny-shapes"]
    footage = ["--videos", str(tmp_path / "footage"), "--fps", str(FPS), "--steps", "2"]
    runner = CliRunner()
    result = runner.invoke(train, ["cam", "apm", *runs, *footage], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "cam done after 2 steps" in result.output and "apm done after 2 steps" in result.output
    trained = tmp_path / "runs" / "tiny-shapes"
    before, after = (load(ConditionalAttentionModule, folder / "cam") for folder in (BUNDLED / "tiny-shapes", trained))
    assert any(not torch.equal(*pair) for pair in zip(before.parameters(), after.parameters(), strict=True))
    assert not list(problems(trained, lambda file: None))

    refused = runner.invoke(train, ["first_chunk", *runs, *footage])
    assert refused.exit_code == 2 and "Videos are for the stages cam and apm" in refused.output
