"""The intrinsic dimension of small tasks, compared with the fits it consists of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from estimator_data import classifier, table
from sklearn.base import clone

from frozenfit import analysis
from frozenfit.analysis import DimensionScore, IntrinsicDimension, intrinsic_dimension

X, Y = table()
DATA = {"X_val": X, "y_val": Y}
NETWORK = {"model_params": {"hidden_layer_sizes": (8,)}, "epochs": 8, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def found():
    options = {"dimensions": (40, 1, 10**6), "n_repeats": 2, "random_state": 3}
    return intrinsic_dimension(classifier(**NETWORK), X, Y, **DATA, **options)


def test_a_row_is_the_mean_of_ordinary_fits(found):
    seeds = np.random.RandomState(3).randint(2**31 - 1, size=2)
    total = found.n_parameters
    assert [row.dimension for row in found] == [1, 40]  # more dimensions than parameters: left out
    rate = 0.01 * math.sqrt(total / 40)
    scores = []
    for seed in map(int, seeds):
        model = clone(classifier(**NETWORK)).set_params(
            random_state=seed, trainable="subspace(40)", learning_rate=rate
        )
        scores.append(model.fit(X, Y).score(X, Y))
    assert found[1].score == np.mean(scores)
    assert found[1].std == np.std(scores, ddof=1)
    assert found[1].fraction == found[1].score / found.score


def test_more_dimensions_solve_the_task(found):
    assert found[1].score > found[0].score
    assert found.score > 0.8 and found.threshold == 0.9


ROWS = [
    DimensionScore(10, 0.4, 0.0, 0.5),
    DimensionScore(1000, 0.8, 0.1, 1.0),
    DimensionScore(2000, 0.6, 0.0, 0.75),
]


def test_the_dimension_is_the_first_that_reaches_the_threshold():
    reached = IntrinsicDimension(ROWS, 0.8, threshold=0.75, n_parameters=5000)
    assert reached.dimension == 1000
    # Half of the way from 0.5 to 1.0 is half of the way from log 10 to log 1000.
    assert reached.interpolated == pytest.approx(100)
    first = IntrinsicDimension(ROWS, 0.8, threshold=0.5, n_parameters=5000)
    assert (first.dimension, first.interpolated) == (10, 10)
    never = IntrinsicDimension(ROWS[:1], 0.8, threshold=0.9, n_parameters=5000)
    assert never.dimension is None and never.interpolated is None
    assert str(reached).splitlines()[2] == "1000       0.8000  0.1000  1.0000"


def test_the_table_is_a_data_frame():
    pandas = pytest.importorskip("pandas")
    expected = pandas.DataFrame(ROWS).set_index("dimension")
    found = IntrinsicDimension(ROWS, 0.8, threshold=0.9, n_parameters=5000).to_frame()
    pandas.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "`threshold` must be a float in"),
        ({"threshold": True}, "`threshold` must be a float in"),
        ({"dimensions": ()}, "`dimensions` must be ints >= 1"),
        ({"dimensions": (0, 5)}, "`dimensions` must be ints >= 1"),
        ({"dimensions": 5}, "`dimensions` must be ints >= 1"),
        ({"n_repeats": 0}, "`n_repeats` must be an int"),
        ({"learning_rate": 0}, "`learning_rate` must be a float > 0"),
        ({"projection": "normal"}, "`projection` of `subspace` must be one of"),
    ],
    ids=str,
)
def test_arguments_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        intrinsic_dimension(classifier(), X, Y, **DATA, **options)


def test_other_estimators_are_refused():
    with pytest.raises(TypeError, match="must be a PartialNetClassifier or PartialNetRegressor"):
        analysis.intrinsic_dimension(object(), X, Y, **DATA)
