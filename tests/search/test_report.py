"""Parameter importances and the HTML report of a search."""

from __future__ import annotations

import importlib.util
import re

import pytest
from search_fakes import Quick
from sklearn.datasets import load_iris

from frozenfit import search

pytest.importorskip("optuna")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def found():
    both = {"score": "maximize", "trainable": "minimize"}
    settings = {"n_trials": 10, "cv": 3, "directions": both, "random_state": 0}
    settings["constraints"] = ["trainable <= 900"]
    return search.FreezeSearchCV(Quick(), **settings).fit(*load_iris(return_X_y=True))


def test_the_fraction_determines_the_trained_parameters(found):
    shares = found.param_importances("trainable")
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "fraction" and shares["fraction"] > 0.5


def test_the_importance_for_an_unknown_metric_is_refused(found):
    with pytest.raises(ValueError, match="must be one of score, trainable, .*got 'bytes'"):
        found.param_importances("bytes")


def test_few_trials_have_no_importances():
    few = search.FreezeSearchCV(Quick(), n_trials=2, cv=2).fit(*load_iris(return_X_y=True))
    assert few.param_importances() == {}


@pytest.fixture(scope="module")
def page(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "r.html"
    found.write_report(path)
    return path.read_text(encoding="utf-8")


def test_the_page_is_self_contained(page):
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "<script" not in page


def test_the_page_has_a_row_for_each_trial(page, found):
    assert page.partition("<h2>Trials</h2>")[2].count("<tr class=") == 10
    best = found.cv_results_["trial"][found.best_index_]
    assert f"The best trial is trial {best} " in page


def test_the_page_shows_what_the_trials_on_the_pareto_front_cost(page, found):
    table = page.partition("Alternatives on the Pareto front")[2].partition("</table>")[0]
    cells = [re.findall("<td>(.*?)</td>", line) for line in re.findall("<tr.*?</tr>", table)[1:]]
    front = [row for row in found.trials_table() if row["pareto_optimal"]]
    assert len(front) > 1
    top = max(front, key=lambda row: row["score"])
    expected = [
        [
            str(row["trial"]),
            f"{row['score']:.4g}",
            f"{row['trainable']:.0f}",
            f"{(top['score'] - row['score']) / top['standard_error']:.2f}",
        ]
        for row in sorted(front, key=lambda row: -row["score"])
    ]
    assert cells == expected
    assert table.count('class="best"') == 1


def test_a_single_objective_has_no_alternatives(tmp_path):
    one = search.FreezeSearchCV(Quick(), n_trials=4, cv=2).fit(*load_iris(return_X_y=True))
    one.write_report(tmp_path / "r.html")
    assert "Alternatives" not in (tmp_path / "r.html").read_text()


def test_names_cannot_break_the_page(tmp_path):
    space = {"frozen": "<script>alert(1)</script>"}
    odd = search.FreezeSearchCV(Quick(), n_trials=2, cv=2, space=space)
    odd.fit(*load_iris(return_X_y=True)).write_report(tmp_path / "r.html")
    assert "<script>" not in (tmp_path / "r.html").read_text()


def test_the_report_has_no_plots_without_matplotlib(found, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name)
    )
    found.write_report(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "data:image" not in page and "<h2>Trials</h2>" in page
