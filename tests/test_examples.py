"""The experiments with the tiny budget: digits only, no data folder."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

FOLDER = Path(__file__).parents[1] / "examples"
DOCS = FOLDER.parent / "docs"
SCRIPTS = (
    "block_grid",
    "count_law",
    "criticality",
    "elm_images",
    "ensembles",
    "filter_fractions",
    "fixed_heads",
    "freezeout",
    "frozen_distributions",
    "groups",
    "intrinsic_dimension",
    "last_layers",
    "lenet_layers",
    "lottery",
    "magnitudes",
    "random_features",
    "sample_sizes",
    "search",
    "side_by_side",
    "slicing_dimensions",
    "subsets_contest",
    "tasks",
    "text_and_series",
    "transfer",
)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let the scripts import what they share, as they do when run from a shell."""
    monkeypatch.syspath_prepend(str(FOLDER))
    forget()  # scripts of other folders have names of these
    yield
    forget()


def forget():
    ours = (*SCRIPTS, "mobilenet", "report", "lab")
    for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
        del sys.modules[name]


def script(name: str):
    if name in ("search", "report"):
        pytest.importorskip("optuna")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_tiny_run_writes_records_and_a_picture(name, tmp_path):
    experiment = script(name).EXPERIMENT
    lab = importlib.import_module("lab")
    results = lab.main(experiment, ["--out", str(tmp_path), "--verbose", "0"])
    records = (tmp_path / f"{name}.jsonl").read_text().splitlines()
    arms = experiment.arms(experiment.settings["tiny"])
    assert len(records) == len(results.rows) == len(arms)
    assert str(tmp_path) not in "".join(records)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    again = lab.main(experiment, ["--out", str(tmp_path), "--redraw"])
    assert again.rows == results.rows


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_claims_of_every_budget_are_about_its_arms(name):
    experiment = script(name).EXPERIMENT
    assert experiment.name == name
    for budget, settings in experiment.settings.items():
        if budget == "tiny":  # has a few arms only
            continue
        arms = experiment.arms(settings)
        claims = list(experiment.claims(settings))
        assert len({json.dumps(arm) for arm in arms}) == len(arms)
        assert len({claim.text for claim in claims}) == len(claims)
        for claim in claims:
            for side in (claim.first, claim.second):
                found = [arm for arm in arms if arm.items() >= side.items()]
                assert len(found) == 1, claim.text
    assert experiment.seeds >= 5


def test_distances_after_a_wide_random_layer_are_those_of_theory():
    X = np.random.default_rng(0).normal(size=(30, 8))
    (layer,) = script("random_features").after_layers(X, np.arange(30) % 2, 20_000, 1, 0)
    assert layer["error"] < 0.01


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    experiment = script("lenet_layers").EXPERIMENT
    importlib.import_module("lab").main(experiment, ["--verbose", "0"])
    assert list(tmp_path.iterdir()) == []
    assert re.search(r"\| conv2 \|.*\| 18,970 \| 1 \|", capsys.readouterr().out)


def test_mobilenet_prints_a_row_for_each_arm(capsys):
    (row,) = script("mobilenet").main([])
    assert f"| head, last block | {row['accuracy']:.3f} |" in capsys.readouterr().out


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_page_is_made_from_the_records(name):
    report = script("report")
    measured = report.recorded(report.declared(name))
    made = report.pages.page(measured)
    assert report.page_path(name).read_text("utf-8") == made, "run python examples/report.py"
    for results, records in measured:
        picture = report.pages.figure_name(name, results.budget)
        for ending in (".png", ".svg") if records else ():
            assert (DOCS / "results" / f"{picture}{ending}").stat().st_size < 1_000_000


def test_the_contents_have_every_experiment_with_its_state():
    report = script("report")
    measured = {name: report.recorded(report.declared(name)) for name in report.SCRIPTS}
    states = {name: report.state(each) for name, each in measured.items()}
    sentence = report.summary(list(measured.values()))
    assert sentence in (DOCS.parent / "README.md").read_text("utf-8"), (
        "run python examples/report.py"
    )
    text = (DOCS / "experiments" / "README.md").read_text("utf-8")
    assert report.contents(states) in text, "run python examples/report.py"
    assert set(SCRIPTS) == set(report.SCRIPTS)
    assert [entry.number for entry in report.ENTRIES] == list(range(1, 21))
