"""The experiments at their smallest: digits alone, no data folder."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

FOLDER = Path(__file__).parents[1] / "examples"
SCRIPTS = (
    "ensemble",
    "filter_fractions",
    "freezeout",
    "frozen_distributions",
    "groups",
    "lenet_layers",
    "search",
    "side_by_side",
    "tasks",
    "transfer",
)


@pytest.fixture(autouse=True)
def found_by_name(monkeypatch):
    """Let the scripts import what they share, as they do when run from a shell."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in (*SCRIPTS, "common"):
        sys.modules.pop(name, None)


def script(name: str):
    if name == "search":
        pytest.importorskip("optuna")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_tiny_run_writes_figures_and_a_picture(name, tmp_path):
    table = script(name).main(["--out", str(tmp_path), "--verbose", "0"])
    told = json.loads((tmp_path / f"{name}.json").read_text())
    assert told["summary"] == json.loads(json.dumps(table))
    assert told["seeds"] == 1 and len(told["runs"]) == len(table)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_file_names_no_folder(tmp_path):
    script("lenet_layers").main(["--out", str(tmp_path), "--verbose", "0"])
    text = (tmp_path / "lenet_layers.json").read_text()
    assert str(tmp_path) not in text
    command = "python examples/lenet_layers.py --budget tiny --seeds 1 --out FOLDER"
    assert json.loads(text)["command"] == command


def test_nothing_is_written_where_no_folder_was_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script("lenet_layers").main(["--verbose", "0"])
    assert list(tmp_path.iterdir()) == []
    assert "| conv2 | 18970 |" in capsys.readouterr().out


def test_seeds_are_summed_up_by_mean_and_spread():
    rows = [{"arm": "a", "x": 1.0, "y": [0, 2]}, {"arm": "a", "x": 3.0, "y": [2, 2]}]
    (row,) = script("common").over_seeds(rows, ("arm",), ("x", "y"))
    assert row == {"arm": "a", "x": 2.0, "x sd": 1.0, "y": [1, 2], "y sd": [1, 0]}


def test_images_are_shrunk_by_averaging_squares():
    image = np.arange(16.0).reshape(1, 4, 4, 1)
    small = script("common").shrunk(image, 2)
    assert small[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "search"])
def test_the_results_in_the_documents_are_those_of_a_script(name):
    path = FOLDER.parent / "docs" / "results" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no results of {name}")
    told = json.loads(path.read_text())
    assert told["command"].startswith(f"python examples/{name}.py --budget cpu")
    assert path.with_suffix(".png").stat().st_size < 150_000
