"""What is told of a search: shares of the parts, and one page."""

from __future__ import annotations

import re

import pytest
from search_fakes import Quick
from sklearn.datasets import load_iris

from frozenfit import search

pytest.importorskip("optuna")
plots = pytest.importorskip("frozenfit.plots")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def found():
    both = {"score": "maximize", "trainable": "minimize"}
    settings = {"n_trials": 10, "cv": 3, "directions": both, "random_state": 0}
    settings["constraints"] = ["trainable <= 900"]
    return search.FreezeSearchCV(Quick(), **settings).fit(*load_iris(return_X_y=True))


def test_the_fraction_decides_how_much_is_learned(found):
    shares = search.importances(found, "trainable")
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "fraction" and shares["fraction"] > 0.5


def test_the_importance_for_an_unknown_metric_is_refused(found):
    with pytest.raises(ValueError, match="'bytes' was not measured; take one of score, trainable"):
        search.importances(found, "bytes")


def test_few_trials_say_nothing_of_importance():
    few = search.FreezeSearchCV(Quick(), n_trials=2, cv=2).fit(*load_iris(return_X_y=True))
    assert search.importances(few) == {}


@pytest.fixture(scope="module")
def page(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "r.html"
    rows = search.table(found)
    search.report(found, path, plots.search_pictures(rows, search.importances(found)))
    return path.read_text(encoding="utf-8")


def test_the_page_needs_no_other_file(page):
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "<script" not in page


def test_the_page_has_a_row_for_each_trial(page, found):
    assert page.count("<tr class=") == 10
    best = found.cv_results_["trial"][found.best_index_]
    assert f"The best is trial {best} " in page


def test_names_cannot_break_the_page(tmp_path):
    space = {"frozen": "<script>alert(1)</script>"}
    odd = search.FreezeSearchCV(Quick(), n_trials=2, cv=2, space=space)
    search.report(odd.fit(*load_iris(return_X_y=True)), tmp_path / "r.html")
    assert "<script>" not in (tmp_path / "r.html").read_text()
