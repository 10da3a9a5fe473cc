"""Plots: the drawn data, labels and scales."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from frozenfit import plots

pytest.importorskip("matplotlib")

ROWS = [
    {
        "trainable": n,
        "fraction": n / 1000,
        "score": 0.9 + 0.1 * np.log10(n / 1000),
        "pareto_optimal": n != 30,
        "feasible": n < 900,
        "params": {"kind": "random" if n > 50 else "filters"},
    }
    for n in (10, 30, 100, 1000)
]
ROWS[-1] = {**ROWS[-1], "pareto_optimal": False}


def lines(ax):
    return {line.get_label(): line.get_xydata() for line in ax.get_lines()}


def test_the_line_is_fitted_by_least_squares():
    assert plots.fit_log_fraction(ROWS) == pytest.approx((0.1, 0.9, 1.0))


def test_the_fit_reports_r2():
    noisy = [{**row, "score": s} for row, s in zip(ROWS, (0.5, 0.9, 0.4, 0.8), strict=True)]
    assert 0 <= plots.fit_log_fraction(noisy).r2 < 0.5


@pytest.mark.parametrize("rows", [[], ROWS[:1], [ROWS[0], ROWS[0]]])
def test_a_line_needs_two_fractions(rows):
    with pytest.raises(ValueError, match="at least 2 different fractions"):
        plots.fit_log_fraction(rows)


def test_the_pareto_front_is_drawn_in_order():
    drawn = lines(plots.pareto_front(ROWS[::-1]))
    assert drawn["Pareto front"][:, 0].tolist() == [10, 100]
    assert drawn["trial"][:, 0].tolist() == [30]
    assert drawn["infeasible"][:, 0].tolist() == [1000]


def test_counts_are_on_a_logarithmic_axis_and_scores_are_not():
    ax = plots.pareto_front(ROWS)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")


def test_the_line_is_drawn_with_its_equation():
    drawn = lines(plots.score_against_fraction(ROWS))
    equation = next(label for label in drawn if "log10" in label)
    assert equation == "0.900 +0.100 log10(fraction), R² 1.00"
    np.testing.assert_allclose(drawn[equation][:, 1], [0.7, 0.9])


def test_each_kind_has_its_color():
    drawn = lines(plots.score_against_fraction(ROWS, by="kind"))
    assert len(drawn["filters"]) == len(drawn["random"]) == 2


def test_one_fraction_gets_no_line():
    assert len(plots.score_against_fraction(ROWS[:1]).get_lines()) == 1


def test_the_largest_share_is_on_top():
    ax = plots.importances({"frozen": 0.2, "fraction": 0.8})
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["frozen", "fraction"]
    assert [bar.get_width() for bar in ax.patches] == [0.2, 0.8]


def test_a_given_axes_is_drawn_on():
    ax = plots.importances({"a": 1.0})
    assert plots.importances({"a": 1.0}, ax=ax) is ax


def test_a_plot_is_saved(tmp_path):
    for number, ax in enumerate(plots.search_plots(ROWS, {"fraction": 1.0}).values()):
        path = tmp_path / f"{number}.png"
        ax.figure.savefig(path)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_rows_without_counts_give_no_plots():
    assert plots.search_plots([{"score": 1.0, "pareto_optimal": True, "params": {}}]) == {}


def test_drawing_leaves_pyplot_alone():
    code = "import sys; from frozenfit import plots; plots.importances({'a': 1.0}); "
    code += "print('matplotlib.pyplot' in sys.modules, 'keras' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_a_missing_matplotlib_names_the_extra(monkeypatch):
    for name in ("matplotlib.backends.backend_agg", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'pip install "frozenfit\[plot\]"'):
        plots.importances({"a": 1.0})
