"""TableEncoder: what it computes, what it refuses, and scikit-learn's checks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from frozenfit import TableEncoder
from frozenfit.table_encoder import CategoryColumn, NumberColumn


@parametrize_with_checks([TableEncoder()])
def test_scikit_learn_check(estimator, check):
    check(estimator)


def people(n=200, seed=0):
    """A table with every kind of column, and missing values in some."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, n).astype(float)
    age[::7] = np.nan
    city = rng.choice(["Rome", "Oslo", "Bern", "Lima", "Bonn"], n, p=[0.5, 0.3, 0.1, 0.06, 0.04])
    city = city.astype(object)
    city[::11] = None
    return pd.DataFrame(
        {
            "age": age,
            "height": rng.normal(170, 10, n),
            "children": rng.integers(0, 4, n),
            "constant": 3,
            "city": city,
            "member": rng.choice([True, False], n),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], n)),
        }
    )


NUMBERS, CATEGORIES = ["age", "height", "children", "constant"], ["city", "member", "size"]


def column_transformer(max_categories):
    options = {"max_categories": max_categories, "handle_unknown": "infrequent_if_exist"}
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
        (OneHotEncoder(sparse_output=False, **options), CATEGORIES),
    )


@pytest.mark.parametrize("max_categories", [None, 3], ids=["all", "bounded"])
@pytest.mark.filterwarnings("ignore:Found unknown categories:UserWarning")
def test_the_result_is_that_of_a_column_transformer(max_categories):
    train, new = people(), people(seed=1)
    new.loc[::5, "city"] = "Paris"
    encoder = TableEncoder(max_categories).fit(train)
    expected = column_transformer(max_categories).fit(train)
    for each in (train, new):
        found = encoder.transform(each)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected.transform(each), rtol=1e-6, atol=1e-6)
    assert len(encoder.get_feature_names_out()) == found.shape[1]


def test_names_of_the_encoded_columns():
    frame = pd.DataFrame({"n": [1, 2, 3, 4], "c": ["a", "a", "b", None]})
    encoder = TableEncoder(max_categories=2).fit(frame, pd.Series([0, 1, 0, 1], name="label"))
    assert encoder.get_feature_names_out().tolist() == ["n", "c_a", "c_infrequent"]
    assert encoder.columns_ == [NumberColumn(2.5, 2.5, np.sqrt(1.25)), CategoryColumn(("a",), True)]
    assert encoder.target_name_ == "label"


@pytest.mark.parametrize(
    ("fitted", "values"),
    [
        ([1, 2], [1.0, 2.0]),
        (["1", "2"], [1, 2]),
        (["1", "2"], [1.0, 2.0]),
        (["True", "False"], [False, True]),
    ],
    ids=["integers", "text", "floats", "booleans"],
)
def test_categories_are_compared_as_text(fitted, values):
    encoder = TableEncoder().fit(pd.DataFrame({"c": pd.Categorical(fitted)}))
    found = encoder.transform(pd.DataFrame({"c": pd.Series(values, dtype=object)}))
    assert found.tolist() == [[1, 0], [0, 1]]


def test_a_column_without_any_value_is_constant():
    frame = pd.DataFrame({"empty": [np.nan, np.nan], "n": [1, 2]})
    found = TableEncoder().fit_transform(frame)
    assert found.tolist() == [[0, -1], [0, 1]]


@pytest.mark.parametrize("nullable", [True, False])
def test_missing_values_of_pandas(nullable):
    dtypes = ("Int64", "string", "boolean") if nullable else (object, object, object)
    values = [1, None, 3], ["a", None, "b"], [True, None, False]
    series = [pd.Series(v, dtype=d) for v, d in zip(values, dtypes, strict=True)]
    frame = pd.DataFrame(dict(zip("nsb", series, strict=True)))
    encoder = TableEncoder().fit(frame)
    assert encoder.columns_[0].median == 2
    assert encoder.columns_[1].categories == ("a", "b", None)
    assert encoder.columns_[2].categories == ("False", "True", None)
    assert np.isfinite(encoder.transform(frame)).all()


def test_polars_gives_the_same():
    frame = people()[[*NUMBERS, "city", "member"]]
    other = pl.from_pandas(frame.astype({"city": object}))
    np.testing.assert_array_equal(
        TableEncoder().fit(other).transform(other), TableEncoder().fit(frame).transform(frame)
    )


def test_an_array_of_numbers_is_standardized():
    X = np.random.default_rng(0).normal(5, 3, (50, 4))
    found = TableEncoder().fit_transform(X)
    np.testing.assert_allclose(found, StandardScaler().fit_transform(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (pd.date_range("2020-01-01", periods=3), "'when' must contain .*, got datetime64"),
        ([[1], [2], [3]], "'when' must contain .*, got list"),
        ([1.0, np.inf, 2.0], "'when' must contain finite numbers"),
        ([1 + 1j, 2, 3], "'when' must contain .*, got complex128"),
    ],
    ids=["dates", "lists", "infinity", "complex"],
)
def test_other_columns_are_refused_by_name(column, match):
    with pytest.raises(ValueError, match=match):
        TableEncoder().fit(pd.DataFrame({"n": [1, 2, 3], "when": column}))


def test_text_in_a_column_of_numbers_is_refused_by_name():
    encoder = TableEncoder().fit(pd.DataFrame({"n": [1, 2, 3]}))
    with pytest.raises(ValueError, match="Column 'n' must contain numbers, got 'many'"):
        encoder.transform(pd.DataFrame({"n": [1, "many"]}))


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(ValueError, match="must be distinct, got 'a' twice"):
        TableEncoder().fit(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]))


def test_columns_are_those_of_fit():
    encoder = TableEncoder().fit(people())
    with pytest.raises(ValueError, match="city"):
        encoder.transform(people().drop(columns="city"))
    with pytest.raises(ValueError, match="0 sample"):
        encoder.transform(people().iloc[:0])
