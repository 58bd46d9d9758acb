"""`longtake evaluate` on files: the figures of the file, those of the tools it names, and words where it cannot."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from longtake.command import main
from models.evaluation.cuts import scene_cuts
from models.evaluation.mawe import WarpError
from tests.models.evaluation.conftest import pan, scene
from tests.support import checkpoint
from workers import media

COLOURS = (160, 40, 40), (20, 60, 160), (40, 160, 60), (200, 40, 60), (200, 60, 40)


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def write(frames: np.ndarray, target: Path, fps: int = 8) -> Path:
    made = media.encode(frames, fps=fps, first_frame=0)
    media.join(made.init, [made.segment], target)
    return target


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A take that moves by 2 pixels of its 120 a frame."""
    return write(pan(1, 12, 120, (2, 0)), tmp_path_factory.mktemp("take") / "take.mp4")


@pytest.mark.parametrize(
    ("lengths", "side", "fps", "options"),
    [
        ((30, 34), 128, 25, []),  # 0.6 s, the shortest scene of the command line, are 15 frames
        ((30, 34), 128, 8, ["-m", "15"]),
        ((20, 9, 16, 30, 20), 320, 24, ["-m", "15"]),  # a scene too short, and pictures that are shrunk
        ((48,), 128, 25, []),
    ],
)
def test_scene_cuts_are_those_of_the_scenedetect_command(
    tmp_path: Path, lengths: tuple[int, ...], side: int, fps: int, options: list[str]
) -> None:
    scenes = [scene(colour, length, side) for colour, length in zip(COLOURS, lengths, strict=False)]
    video = write(np.concatenate(scenes), tmp_path / "video.mp4", fps)
    command = [Path(sys.executable).with_name("scenedetect"), "-q", "-i", video, "-o", tmp_path, "detect-adaptive"]
    subprocess.run([*command, *options, "list-scenes", "-s"], check=True, capture_output=True)
    with (tmp_path / "video-Scenes.csv").open() as table:
        starts = [int(row["Start Frame"]) - 1 for row in csv.DictReader(table)]
    assert scene_cuts(media.frames(video)) == starts[1:]
    assert len(starts) > 1 or len(lengths) == 1


def test_a_file_has_its_figures_and_its_pictures(take: Path, tmp_path: Path) -> None:
    done = evaluate(take, "--seams", "4:4", "--json", tmp_path / "f.json", "--pictures", tmp_path / "pictures")
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "f.json").read_text())[str(take)]
    assert (figures["frames"], figures["scene_cuts"]) == (12, 0)
    assert figures["ofs_dis"] == pytest.approx(12**2, rel=0.05)  # 2 pixels of 120 are 12 of 720
    assert figures["seam_ratio"] == pytest.approx(1, abs=0.1)
    assert "mawe_dis" in figures and "mawe" not in figures
    assert "take.mp4" in done.output and f"{figures['mawe_dis']:.3f}" in done.output
    with Image.open(tmp_path / "pictures" / "take.mp4.xt.png") as xt:
        assert xt.size == (720, 12 * 6)
    with Image.open(tmp_path / "pictures" / "take.mp4.drift.png") as drift:
        assert len(set(drift.convert("RGB").get_flattened_data())) > 10


def test_several_files_have_a_mean_too(take: Path, tmp_path: Path) -> None:
    still = write(np.full((5, 64, 64, 3), 90, np.uint8), tmp_path / "still.mp4")
    assert evaluate(take, still, "--json", tmp_path / "f.json").exit_code == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["mean"]["frames"] == (12 + 5) / 2
    assert figures[str(still)]["mawe_dis"] is None
    assert figures["mean"]["mawe_dis"] == figures[str(take)]["mawe_dis"]


def test_a_long_file_is_never_whole_in_memory(take: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most = 0, 0

    class Watched(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def many(video: Path, **options: object):  # type: ignore[no-untyped-def]
        nonlocal alive, most
        for _ in range(200):
            alive += 1
            most = max(most, alive)
            yield np.zeros((8, 8, 3), np.uint8).view(Watched)

    monkeypatch.setattr(WarpError, "see", lambda self, frame: None)  # slow, and keeps pairs like the others
    monkeypatch.setattr(media, "frames", many)
    assert evaluate(take).exit_code == 0
    assert most < 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{folder}/none.mp4"], "There is no file"),
        (["{folder}/text.mp4"], "text.mp4 is no video that can be read"),
        (["{take}", "{folder}/text.mp4"], "text.mp4 is no video that can be read"),
        (["{take}", "{take}", "--pictures", "{folder}"], "have the same name"),
        (["{take}", "--seams", "16"], "not two numbers above 0"),
        (["{take}", "--seams", "16:0"], "not two numbers above 0"),
        (["{take}", "--prompt", "a star"], "--prompt needs --clip"),
        (["{take}", "--clip", "{folder}"], "no CLIP pair"),
        (["{take}", "--captions", "3"], "--captions is for measuring a model"),
        (["{take}", "--suite"], "--suite is for measuring a model"),
        (["--seams", "16:8"], "--seams is for measuring video files"),
        (["{take}", "--json", "{folder}/no/such/f.json"], "There is no folder"),
        (["--edits", "1", "--model", "tiny-shapes"], "tiny-shapes changes no videos; there is tiny-instruct-pix2pix"),
        (["--edits", "1", "--roll-outs", "2"], "--roll-outs is for measuring a model that draws"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    take: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    done = evaluate(*(argument.format(folder=tmp_path, take=take) for argument in arguments))
    assert done.exit_code != 0
    assert words in done.output.splitlines()[-1]


def test_the_suite_measures_a_model_as_before(tmp_path: Path) -> None:
    checkpoint.make(tmp_path / "random")
    sizes = ["--captions", 1, "--roll-outs", 1, "--frames", 24]
    done = evaluate("--checkpoint", tmp_path / "random", *sizes, "--json", tmp_path / "f.json")
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "f.json").read_text())
    assert list(figures) == ["first chunk", "full", "without CAM", "without APM"]
    assert {"colour", "direction", "caption gap"} <= set(figures["first chunk"])
    assert {"kept_colour", "kept_shape", "seam_ratio", "drift"} <= set(figures["full"])


@pytest.mark.parametrize(("model", "kind"), [("tiny-instruct-pix2pix", "colour"), ("tiny-controlnet-canny", "colour")])
def test_a_model_that_changes_clips_is_measured_by_what_it_changed(model: str, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = evaluate("--edits", 1, "--model", model, "--json", file)
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text())
    assert set(figures) == {kind, "all"} and figures["all"] == figures[kind]
    assert figures["all"]["changed"] == 1 and figures["all"]["presence"] == 1
