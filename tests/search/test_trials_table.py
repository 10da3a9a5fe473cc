"""The table of the trials as a list, as text, as HTML and as a data frame."""

from __future__ import annotations

import pytest
from search_fakes import Quick
from sklearn.datasets import load_iris

from frozenfit.search import FreezeSearchCV, TrialsTable

ROW = {
    "trial": 4,
    "params": {"kind": "<b>", "fraction": 0.25},
    "score": 0.123456,
    "trainable": 12000.0,
    "pareto_optimal": False,
}


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("optuna")
    both = {"score": "maximize", "trainable": "minimize"}
    search = FreezeSearchCV(Quick(), n_trials=6, cv=2, directions=both, random_state=0)
    return search.fit(*load_iris(return_X_y=True))


def test_the_table_of_a_search_becomes_a_data_frame(found):
    pytest.importorskip("pandas")
    table = found.trials_table()
    assert type(table) is TrialsTable and len(table) == 6
    frame = table.to_frame()
    assert frame.index.tolist() == [row["trial"] for row in table]
    assert frame["score"].tolist() == [row["score"] for row in table]
    assert frame["param_fraction"].dropna().tolist() == [
        row["params"]["fraction"] for row in table if "fraction" in row["params"]
    ]
    assert "params" not in frame.columns and frame["pareto_optimal"].any()


def test_the_table_of_a_search_is_html(found):
    page = found.trials_table()._repr_html_()
    assert page.count("<tr") == 7
    optimal = sum(row["pareto_optimal"] for row in found.trials_table())
    assert page.count("font-weight:bold") == optimal > 0


def test_the_written_form_has_a_line_for_each_trial():
    other = {**ROW, "trial": 11, "params": {"kind": "all"}, "score": 1.0}
    assert str(TrialsTable([ROW, other])).splitlines() == [
        "trial  kind  fraction  score   trainable  pareto_optimal",
        "4      <b>   0.25      0.1235  12,000     False",
        "11     all             1       12,000     False",
    ]


def test_the_html_is_escaped_and_short():
    page = TrialsTable([ROW] * 63)._repr_html_()
    assert page.count("<tr") == 62 and "and 3 more trials" in page
    assert "&lt;b&gt;" in page and "<b>" not in page


def test_an_empty_table_has_every_form():
    assert TrialsTable().to_frame().empty
    assert "<table>" in TrialsTable()._repr_html_() and str(TrialsTable()) == "trial"
