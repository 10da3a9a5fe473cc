"""What the experiments share: statistics with known answers, records, choices and pages."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let `import lab` work, as it does for a script that is run from a shell."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("lab", "report")]:
        del sys.modules[name]


def module(name: str):
    return importlib.import_module(f"lab.{name}")


def test_the_spread_is_that_of_a_sample():
    spread = module("statistics").spread([1.0, 2.0, 4.0])
    assert spread == pytest.approx((7 / 3, np.std([1, 2, 4], ddof=1), 3))
    assert np.isnan(module("statistics").spread([1.0]).sd)


def test_differences_are_paired_by_seed():
    first, second = {0: 1.0, 1: 2.0, 2: 4.0, 7: 9.0}, {2: 3.0, 1: 2.0, 0: 0.5}
    gap = module("statistics").paired(first, second)
    expected = stats.ttest_rel([1, 2, 4], [0.5, 2, 3]).confidence_interval()
    assert gap == pytest.approx((0.5, expected.low, expected.high, 3))


@pytest.mark.parametrize("seeds", [0, 1], ids=("none", "one"))
def test_without_two_common_seeds_nothing_is_determined(seeds):
    lab = module("statistics")
    gap = lab.paired({0: 0.9}, {0: 0.1} if seeds else {})
    assert gap.n == seeds
    assert lab.verdict(gap, "larger") == lab.verdict(gap, "equal") == "undetermined"


@pytest.mark.parametrize(
    ("low", "high", "relation", "expected"),
    [
        (0.1, 0.3, "larger", "reproduced"),
        (0.001, 0.002, "larger", "reproduced"),
        (0.1, 0.3, "smaller", "contradicted"),
        (0.001, 0.002, "smaller", "contradicted"),
        (-0.1, 0.3, "larger", "undetermined"),
        (-0.004, 0.002, "larger", "equal"),
        (-0.02, 0.002, "smaller", "undetermined"),
        (-0.004, 0.002, "equal", "reproduced"),
        (0.002, 0.004, "equal", "reproduced"),
        (-0.004, 0.02, "equal", "undetermined"),
        (0.02, 0.03, "equal", "contradicted"),
        (-0.03, -0.02, "equal", "contradicted"),
        (-0.004, 0.5, "not smaller", "reproduced"),
        (-0.02, 0.5, "not smaller", "undetermined"),
        (-0.5, -0.02, "not smaller", "contradicted"),
    ],
)
def test_verdicts_follow_one_rule(low, high, relation, expected):
    lab = module("statistics")
    assert lab.verdict(lab.Difference((low + high) / 2, low, high, 5), relation) == expected


def test_a_margin_of_a_claim_is_respected_and_relations_are_checked():
    lab = module("statistics")
    gap = lab.Difference(0.0, -0.03, 0.03, 5)
    assert lab.verdict(gap, "equal", margin=0.05) == "reproduced"
    with pytest.raises(ValueError, match="'greater'"):
        lab.verdict(gap, "greater")


def test_the_rule_is_wrong_in_one_null_comparison_of_twenty():
    lab = module("statistics")
    rng = np.random.default_rng(0)
    judged = []
    for _ in range(2000):
        first, second = rng.normal(size=(2, 5))
        gap = lab.paired(dict(enumerate(first)), dict(enumerate(second)))
        judged.append(lab.verdict(gap, "larger"))
    wrong = np.mean([verdict in ("reproduced", "contradicted") for verdict in judged])
    assert 0.03 < wrong < 0.07


def test_the_noise_of_a_test_part_is_binomial():
    assert module("statistics").binomial_error(0.9, 1000) == pytest.approx(
        stats.binom(1000, 0.9).std() / 1000
    )


def test_images_are_shrunk_by_averaging_squares():
    image = np.arange(16.0).reshape(1, 4, 4, 1)
    small = module("data").shrunk(image, 2)
    assert small[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_a_training_sample_is_drawn_by_the_seed_and_the_test_part_is_not():
    images = module("data").images
    first, again, other = (images("digits", seed, 300, 50) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.X, again.X)
    assert not np.array_equal(first.y, other.y)
    np.testing.assert_array_equal(first.X_test, other.X_test)
    assert np.bincount(first.y).tolist() == np.bincount(other.y).tolist()  # stratified


def test_a_table_without_a_split_keeps_its_test_part(tmp_path):
    X, y = np.arange(120.0).reshape(60, 2), np.arange(60) % 3
    np.savez(tmp_path / "some.npz", X=X, y=y)
    first, other = (module("data").table("some", seed, 0.5, tmp_path) for seed in (0, 1))
    np.testing.assert_array_equal(first.X_test, other.X_test)
    assert len(first.X) == 20 and not np.array_equal(first.X, other.X)
    assert not set(first.X[:, 0]) & set(first.X_test[:, 0])
    with pytest.raises(ValueError, match="--tabular"):
        module("data").table("some", 0, 0.5, None)


@pytest.fixture
def experiment():
    """Return a small experiment: its arms are numbers, and "train" counts the calls."""
    lab = importlib.import_module("lab")
    calls = []

    def run(arm, seed, run):
        calls.append((arm["arm"], seed))
        return {"accuracy": arm["value"] + 0.002 * seed, "n_test": 100, "loss": 1.0}

    made = lab.Experiment(
        name="small",
        title="Small?",
        claim="b is larger than a.",
        source="Nobody.",
        setting="None.",
        settings={"tiny": {"train": 1}, "cpu": {"train": 7, "rates": (1, 2)}},
        arms=lambda settings: [{"arm": "a", "value": 0.5}, {"arm": "b", "value": 0.75}],
        run=run,
        claims=lambda settings: [lab.Claim("b − a", {"arm": "b"}, {"arm": "a"}, "larger")],
        table=lab.Table(("arm",)),
        figure=lambda results: module("figures").dots(results, lines="arm", chance=0.1),
        published_setting={"train": "700"},
        published=[lab.Published({"arm": "a"}, 0.55)],
    )
    return made, calls


def main(experiment, out, *options):
    given = ["--budget", "cpu", "--seeds", "2", "--verbose", "0", "--out", str(out), *options]
    return importlib.import_module("lab").main(experiment, given)


def test_arms_take_turns_and_every_run_has_a_record(experiment, tmp_path):
    made, calls = experiment
    main(made, tmp_path)
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    lines = (tmp_path / "small.jsonl").read_text().splitlines()
    record = json.loads(lines[-1])
    assert len(lines) == 4
    assert record["arm"] == {"arm": "b", "value": 0.75} and record["seed"] == 1
    assert record["settings"] == {"train": 7, "rates": [1, 2]}
    assert {"commit", "cpu", "os", "versions", "threads", "command"} <= record.keys()
    assert "TF_NUM_INTRAOP_THREADS" in record["threads"]
    assert str(tmp_path) not in "".join(lines)
    assert (tmp_path / "small.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "small.svg").read_text()


def test_an_interrupted_experiment_continues(experiment, tmp_path):
    made, calls = experiment
    main(made, tmp_path, "--only", "b")
    path = tmp_path / "small.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"budget":"cpu","arm":{"arm"')  # killed while it wrote
    calls.clear()
    main(made, tmp_path)
    assert calls == [("a", 0), ("a", 1)]
    assert path.read_bytes().startswith(whole)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 4
    calls.clear()
    main(made, tmp_path, "--first-seed", "2")
    assert sorted(calls) == [("a", 2), ("a", 3), ("b", 2), ("b", 3)]
    calls.clear()
    assert len(main(made, tmp_path, "--redraw").rows) == 8 and not calls


def test_a_page_begins_with_the_budget_that_measured_most(experiment, tmp_path, monkeypatch):
    report = importlib.import_module("report")
    monkeypatch.setattr(report, "DOCS", tmp_path)
    made, _ = experiment
    settings = made.settings | {"long": {"train": 700, "rates": (1, 2)}}
    made = dataclasses.replace(made, settings=settings)
    out = tmp_path / "results"

    def order():
        return [results.budget for results, _ in report.recorded(made)]

    main(made, out)
    main(made, out, "--budget", "long", "--only", "b")
    assert order() == ["cpu", "long"]
    main(made, out, "--budget", "long")
    assert order() == ["long", "cpu"]


def test_a_budget_may_have_fewer_seeds(experiment):
    made, _ = experiment
    seeds = module("runner")._seeds
    assert seeds(made, "tiny") == 1 and seeds(made, "cpu") == 5
    fewer = dataclasses.replace(made, settings={"cpu": {"seeds": 3}})
    assert seeds(fewer, "cpu") == 3


def test_records_of_other_settings_are_refused(experiment, tmp_path):
    made, _ = experiment
    main(made, tmp_path)
    made.settings["cpu"]["train"] = 8
    with pytest.raises(ValueError, match="other settings"):
        main(made, tmp_path)


def test_a_page_has_what_was_declared_and_measured(experiment, tmp_path):
    made, _ = experiment
    results = main(made, tmp_path)
    records = [json.loads(line) for line in (tmp_path / "small.jsonl").read_text().splitlines()]
    text = module("pages").page([(results, records)])
    assert "| b − a | larger | +25.00 [25.00, 25.00] | 2 | reproduced |" in text
    assert "| a | 50.1 ± 0.1 | 1 | 2 |" in text
    assert "| train | 7 | 700 |" in text
    assert "| a | accuracy | 55.00 | 50.1 ± 0.1 |" in text
    assert "at most 5.0 points" in text
    assert "## Budget" not in text
    both = module("pages").page([(results, records), (results, records)])
    assert both.startswith(text.rstrip()) and "## Budget `cpu`\n\n1 comparison: 1 " in both
    empty = module("experiment").Results(made, "cpu", [])
    assert "Not yet measured" in module("pages").page([(empty, [])])


class Model:
    """A classifier whose accuracy is known: it finds the class where its rate is right."""

    def __init__(self, rate):
        self.rate = rate

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        wrong = (X[:, 0] if self.rate == 2 else 1 - X[:, 0])[:, None]
        return np.where([[True, False]], wrong, 1 - wrong)

    def score(self, X, y):
        return float((self.classes_[self.predict_proba(X).argmax(1)] == y).mean())


def test_a_rate_is_chosen_on_a_validation_part_once_for_each_arm(experiment):
    run = module("runner").Run({"rates": (1, 2, 3)}, None, [])
    y = np.arange(40) % 2
    X = np.where(y, 0.2, 0.8)[:, None]
    fitted = []

    def make(rate):
        fitted.append(rate)
        return Model(rate)

    values = run.choose({"arm": "a"}, make, X, y)
    assert values == {"rate": 2, "validation": {"1": 0.0, "2": 1.0, "3": 0.0}}
    assert run.choose({"arm": "a"}, make, X, y) == values and fitted == [1, 2, 3]
    # An experiment that continues takes the choice from its records.
    record = {"arm": {"arm": "a"}, "values": values}
    again = module("runner").Run({"rates": (1, 2, 3)}, None, [record])
    assert again.choose({"arm": "a"}, make, X, y) == values and fitted == [1, 2, 3]


def test_names_at_line_ends_do_not_overlap():
    figures = module("figures")
    figure, (axes,) = figures.new(1, 4, 3)
    axes.set_ylim(0, 100)
    figures.end_labels(axes, [(50.0, "a", "k"), (50.5, "b", "k"), (99.0, "c", "k"), (99, "d", "k")])
    heights = sorted(text.xy[1] for text in axes.texts)
    assert min(np.diff(heights)) > 5 and heights[-1] <= 100


def test_a_published_value_is_an_open_marker(experiment, tmp_path):
    made, _ = experiment
    results = main(made, tmp_path)
    figure = made.figure(results)
    open_ = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert [line.get_xdata()[0] for line in open_] == pytest.approx([55])
    assert "n = 2 seeds" in figure.legends[0].get_title().get_text()
