"""The experiments with the tiny budget: digits only, no data folder."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("matplotlib")

FOLDER = Path(__file__).parents[1] / "examples"
PAGES = sorted((FOLDER.parent / "docs" / "experiments").glob("*.md"))
SCRIPTS = (
    "ensemble",
    "filter_fractions",
    "freezeout",
    "frozen_distributions",
    "groups",
    "lenet_layers",
    "mobilenet",
    "search",
    "side_by_side",
    "tasks",
    "transfer",
)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let the scripts import their common module, as they do when run from a shell."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in (*SCRIPTS, "common", "pages"):
        sys.modules.pop(name, None)


def script(name: str):
    if name == "search":
        pytest.importorskip("optuna")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_tiny_run_writes_figures_and_a_picture(name, tmp_path):
    table = script(name).main(["--out", str(tmp_path), "--verbose", "0"])
    results = json.loads((tmp_path / f"{name}.json").read_text())
    assert results["summary"] == json.loads(json.dumps(table))
    assert results["seeds"] == 1 and len(results["runs"]) == len(table)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    again = script(name).main(["--out", str(tmp_path), "--redraw"])
    assert json.loads(json.dumps(again)) == results["summary"]
    assert json.loads((tmp_path / f"{name}.json").read_text()) == results


def test_the_file_names_no_folder(tmp_path):
    script("lenet_layers").main(["--out", str(tmp_path), "--verbose", "0"])
    text = (tmp_path / "lenet_layers.json").read_text()
    assert str(tmp_path) not in text
    command = "python examples/lenet_layers.py --budget tiny --seeds 1 --out FOLDER"
    assert json.loads(text)["command"] == command


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script("lenet_layers").main(["--verbose", "0"])
    assert list(tmp_path.iterdir()) == []
    assert "| conv2 | 18970 |" in capsys.readouterr().out


def test_seeds_are_summarized_by_mean_and_spread():
    rows = [{"arm": "a", "x": 1.0, "y": [0, 2]}, {"arm": "a", "x": 3.0, "y": [2, 2]}]
    (row,) = script("common").over_seeds(rows, ("arm",), ("x", "y"))
    spread = 2**0.5
    assert row.pop("x sd") == pytest.approx(spread, abs=1e-5)
    assert row.pop("y sd") == pytest.approx([spread, 0], abs=1e-5)
    assert row == {"arm": "a", "x": 2.0, "y": [1, 2]}


def test_images_are_shrunk_by_averaging_squares():
    image = np.arange(16.0).reshape(1, 4, 4, 1)
    small = script("common").shrunk(image, 2)
    assert small[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "search"])
def test_the_results_in_the_documents_are_those_of_a_script(name):
    path = FOLDER.parent / "docs" / "results" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no results of {name}")
    command = json.loads(path.read_text())["command"]
    assert command.startswith(f"python examples/{name}.py --budget cpu")
    assert path.with_suffix(".png").stat().st_size < 150_000


def test_the_spread_is_that_of_a_sample():
    rows = [{"arm": "a", "x": 1.0}, {"arm": "a", "x": 2.0}]
    (row,) = script("common").over_seeds(rows, ("arm",), ("x",))
    assert row["x sd"] == pytest.approx(0.5**0.5, abs=1e-5)
    (row,) = script("common").over_seeds(rows[:1], ("arm",), ("x",))
    assert row["x sd"] == 0


def test_differences_are_paired_by_seed():
    rows = [{"arm": "a", "seed": s, "x": x} for s, x in enumerate((1.0, 2.0, 4.0))]
    rows += [{"arm": "b", "seed": s, "x": x} for s, x in ((2, 3.0), (1, 2.0), (0, 0.5))]
    gap = script("common").difference(rows, "x", {"arm": "a"}, {"arm": "b"})
    expected = stats.ttest_rel([1, 2, 4], [0.5, 2, 3]).confidence_interval()
    assert gap == pytest.approx((0.5, expected.low, expected.high, 3))


@pytest.mark.parametrize(
    ("low", "high", "claim", "verdict"),
    [
        (0.1, 0.3, "larger", "reproduced"),
        (0.1, 0.3, "smaller", "contradicted"),
        (-0.1, 0.3, "larger", "undetermined"),
        (-0.004, 0.002, "larger", "equal"),
        (0.001, 0.002, "larger", "reproduced"),
        (-0.004, 0.002, "equal", "reproduced"),
        (-0.004, 0.02, "equal", "undetermined"),
        (0.02, 0.03, "equal", "contradicted"),
        (-0.004, 0.5, "not smaller", "reproduced"),
        (-0.02, 0.5, "not smaller", "undetermined"),
        (-0.5, -0.02, "not smaller", "contradicted"),
    ],
)
def test_verdicts_follow_a_fixed_rule(low, high, claim, verdict):
    gap = script("common").Difference((low + high) / 2, low, high, 5)
    assert gap.verdict(claim) == verdict


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_tables_of_a_page_are_those_of_the_results(page):
    text = page.read_text("utf-8")
    assert script("pages").filled(text) == text, "run python examples/pages.py"
