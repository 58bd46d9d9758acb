"""The ablation tables: every row is really made, what is measured is kept, and other weights are measured anew."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from longtake.ablate import ablate
from longtake.ablation import networks, series, tables
from longtake.evaluation.contact_sheet import ROW_CAPTION


def run(tmp_path, *arguments):
    torch.set_num_threads(1)
    result = CliRunner().invoke(
        ablate, ["--sampling-steps", "2", "--runs", str(tmp_path), "--processes", "1", "--videos", "1", *arguments]
    )
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_three_conditionings_are_trained_and_measured(tmp_path):
    figures = tmp_path / "figures.json"
    shown = run(tmp_path, "conditioning", "--frames", "17", "--steps", "1", "--json", str(figures))
    assert all(name in shown for name in ("CAM", "Add-Cond", "Conc-Cond"))
    rows = json.loads(figures.read_text())["conditioning"]
    ratios = [rows[name]["seam_ratio"][0] for name in ("CAM", "Add-Cond", "Conc-Cond")]
    assert min(ratios) > 0
    plain, added, shown_planes = (networks.pipeline(tmp_path, stage) for stage in ("cam", "add_cond", "conc_cond"))
    assert plain.unet.config.injection == "attention"
    assert added.unet.config.injection == "addition"
    assert shown_planes.unet.config.known_planes and shown_planes.cam is None


@pytest.mark.long
def test_the_choice_of_the_anchor_and_apm_take_effect(tmp_path):
    figures = tmp_path / "figures.json"
    run(tmp_path, "appearance", "--frames", "25", "--json", str(figures))
    rows = json.loads(figures.read_text())["appearance"]
    assert len({row["clip_anchor_distance"][0] for row in rows.values()}) == len(rows) == 4


@pytest.fixture
def short(monkeypatch):
    """Refinements of two steps, of which one is taken."""
    table = tables.TABLES["blending"]
    variants = tuple(replace(variant, refine_steps=2) for variant in table.variants)
    monkeypatch.setitem(tables.TABLES, "blending", replace(table, variants=variants))


@pytest.mark.long
@pytest.mark.usefixtures("short")
def test_the_three_ways_to_join_windows_make_three_videos(tmp_path):
    figures = tmp_path / "figures.json"
    run(tmp_path, "blending", "--frames", "25", "--json", str(figures))
    rows = json.loads(figures.read_text())["blending"]
    assert len({row["flow_std_dis"][0] for row in rows.values()}) == len(rows) == 3


@pytest.mark.long
def test_every_system_makes_its_row_of_the_comparison(tmp_path):
    figures = tmp_path / "figures.json"
    run(tmp_path, "systems", "--frames", "17", "--json", str(figures))
    rows = json.loads(figures.read_text())["systems"]
    assert len(rows) == 7 and len({row["mawe_dis"][0] for row in rows.values()}) == 7
    assert all(row["cpu_seconds_per_frame"][0] > 0 for row in rows.values())


@pytest.mark.long
def test_all_that_turbo_can_leave_out_is_left_out_in_its_row(tmp_path):
    figures = tmp_path / "figures.json"
    run(tmp_path, "turbo", "--frames", "17", "--sampling-steps", "3", "--json", str(figures))
    rows = json.loads(figures.read_text())["turbo"]
    assert len({row["seam_ratio"][0] for row in rows.values()}) == len(rows) == 10


@pytest.mark.long
def test_all_that_turbo_can_leave_out_of_a_refinement_is_left_out_in_its_row(tmp_path):
    figures = tmp_path / "figures.json"
    run(tmp_path, "turbo-refinement", "--frames", "17", "--row", "exact", "--row", "4 steps", "--json", str(figures))
    refined = json.loads(figures.read_text())["turbo-refinement"]
    assert len({row["flicker"][0] for row in refined.values()}) == len(refined) == 3
    assert all(row["cpu_seconds_per_refined_frame"][0] > 0 for row in refined.values())


@pytest.mark.long
def test_a_sheet_shows_every_row_and_its_slice(tmp_path):
    target = tmp_path / "systems.png"
    said = run(tmp_path, "systems", "--frames", "17", "--sheet", str(target))
    assert "moving left" in said or "moving right" in said
    picture = np.asarray(Image.open(target).convert("RGB")).astype(int)
    row, frames = ROW_CAPTION + 128, 6 * (128 + 4)
    assert picture.shape == (7 * row, frames + 128 + 4, 3)
    slices = [picture[i * row + ROW_CAPTION :][:34, frames : frames + 128] for i in range(7)]
    assert np.ptp(slices[0], axis=(0, 1)).max() > 50  # StreamingT2V's actor is on it, after two steps already
    assert len({one.tobytes() for one in slices}) == 7
    usage = CliRunner().invoke(ablate, ["systems", "blending", "--sheet", str(target)])
    assert usage.exit_code == 2 and "--sheet is for one TABLE." in usage.output


def test_what_is_measured_is_not_made_again_unless_the_weights_are_others(tmp_path):
    made = tmp_path / "made"
    kept = tmp_path / "kept.jsonl"

    def collect(weights, videos, *variants):
        return series.collect(kept, weights, videos, variants, Marking(made), 1, lambda: None)

    assert collect("a", 2, "x") == collect("a", 2, "x")
    assert made.read_text().split() == ["0x", "1x"]
    collect("a", 3, "x")
    assert made.read_text().split() == ["0x", "1x", "2x"]
    collect("b", 1, "x")
    assert made.read_text().split() == ["0x", "1x", "2x", "0x"]
    assert [set(rows) for rows in collect("a", 2, "x", "y")] == [{"x", "y"}] * 2
    assert made.read_text().split() == ["0x", "1x", "2x", "0x", "0y", "1y"]


class Marking:
    """Makes a row, and leaves a mark in a file: it is called in another process."""

    def __init__(self, file):
        self.file = file

    def __call__(self, number, variants):
        with self.file.open("a") as marks:
            marks.write(f"{number}{''.join(variants)}\n")
        return {variant: {"figure": number / 2} for variant in variants}


def test_the_mean_has_its_error_and_leaves_out_what_no_video_has():
    rows = [{"x": {"a": 1.0, "b": None}}, {"x": {"a": 3.0, "b": None}}]
    assert series.means(rows) == {"x": {"a": (2.0, pytest.approx(1.0)), "b": None}}


def test_every_figure_of_a_table_is_one_that_is_measured():
    names = {figure for table in tables.TABLES.values() for figure in table.figures}
    assert names <= {
        *("scene_cuts", "seam_ratio", "flicker", "presence", "kept_colour", "kept_shape", "drift"),
        *("clip_anchor_distance", "flow_std_dis", "direction", "motion", "mawe_dis"),
        *("cpu_seconds_per_frame", "cpu_seconds_per_refined_frame"),
    }
