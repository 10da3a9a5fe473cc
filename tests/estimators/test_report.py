"""What a fitted estimator reports about itself."""

from __future__ import annotations

import pytest
from estimator_data import classifier, images, small_cnn, table
from sklearn.exceptions import NotFittedError

from frozenfit.parameter_table import ParameterTable
from frozenfit.selectors import TableRow


def fitted(**params):
    return classifier(**params).fit(*table())


def test_the_table_adds_up():
    rows = fitted(trainable="filters(2) | head()").parameter_table()
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("dense1/kernel", 8, 32),
        ("dense1/bias", 2, 8),
        ("head/kernel", 24, 24),
        ("head/bias", 3, 3),
    ]


def test_the_freeze_fraction_is_frozen_over_all():
    estimator = fitted(trainable="filters(2) | head()")
    assert estimator.freeze_fraction_ == pytest.approx(1 - 37 / 67)
    assert fitted(trainable=1.0).freeze_fraction_ == 0


def test_the_summary_shows_the_split(capsys):
    fitted(trainable="filters(2) | head()").summary()
    shown = capsys.readouterr().out
    assert (
        "dense1/kernel" in shown and "trained 37 of 67 parameters (55.2 %), 44.78% frozen" in shown
    )


def test_the_table_has_a_written_form():
    last = str(fitted(trainable="filters(2) | head()").parameter_table()).splitlines()[-1]
    assert last.split() == ["sum", "55.22%", "37", "67"]


def test_the_table_becomes_a_data_frame():
    pytest.importorskip("pandas")
    table = fitted(trainable="filters(2) | head()").parameter_table()
    frame = table.to_frame()
    assert list(frame.columns) == ["shape", "form", "trainable", "total"]
    assert frame.loc["dense1/kernel", "trainable"] == 8
    assert (frame["trainable"].sum(), frame["total"].sum()) == (table.trainable, table.total)


def test_the_table_as_html_shows_a_limited_number_of_rows():
    row = TableRow("<a>/kernel", (4, 8), "all", 32, 32)
    page = ParameterTable([row] * 63)._repr_html_()
    assert page.count("<tr>") == 62 and "and 3 more weights" in page
    assert "&lt;a&gt;/kernel" in page and "<a>" not in page


def test_the_table_is_folded_only_within_the_estimator():
    estimator = fitted(trainable="filters(2) | head()")
    assert estimator.parameter_table()._repr_html_().startswith("<details open>")
    assert "<details><summary>trained" in estimator._repr_html_()


def test_moving_statistics_used_in_training_are_reported():
    X, y = images()
    network = small_cnn((8, 8, 1), 2)
    estimator = classifier(model=network, trainable="head()").fit(X, y)
    assert estimator.model_.stored_statistics


def test_the_page_shows_the_parameters_before_the_fit():
    page = classifier(epochs=7)._repr_html_()
    assert "PartialNetClassifier" in page and "parameters (" not in page


def test_the_html_shows_the_trained_parameters_after_the_fit():
    page = fitted(trainable="filters(2) | head()")._repr_html_()
    assert "trained 37 of 67 parameters (55.2 %)" in page and "dense1/kernel" in page


def test_the_printed_form_shows_what_was_set():
    assert "epochs=2" in repr(classifier())


@pytest.mark.parametrize("ask", ["parameter_table", "summary", "to_keras"])
def test_an_unfitted_estimator_raises_not_fitted(ask):
    with pytest.raises(NotFittedError):
        getattr(classifier(), ask)()


def test_an_unfitted_estimator_has_no_model():
    with pytest.raises(NotFittedError):
        _ = classifier().model_
