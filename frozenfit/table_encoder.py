"""TableEncoder: a table of numbers and text as an array of numbers for a network.

What `fit` computes is a few numbers and texts for each column, so that a file stores it as JSON:
`frozenfit.storage.pipelines` does. scikit-learn's transformers are used to compute it, but their
fitted state is private and differs between versions, which a file must not depend on.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from numbers import Integral, Number
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from frozenfit.utils.doc_link import DocumentationLink
from frozenfit.utils.scikit_learn import Interval, check_feature_names_in, fit_context

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from frozenfit.types import ArrayLike

__all__ = ["CategoryColumn", "NumberColumn", "TableEncoder"]

_CATEGORY_TYPES = ("category", "categorical", "enum")  # of pandas and Polars
_BOOLS = (bool, np.bool_)


@dataclass(frozen=True)
class NumberColumn:
    """How a column of numbers is encoded: as one column, ``(x - mean) / scale``.

    Parameters
    ----------
    median : float
        Replaces missing values.
    mean, scale : float
        Mean and standard deviation of the column in `fit`; the scale of a constant column is 1.
    """

    median: float
    mean: float
    scale: float

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return 1


@dataclass(frozen=True)
class CategoryColumn:
    """How a column of categories is encoded: as one column of 0 and 1 for each category.

    Parameters
    ----------
    categories : tuple of str or None
        The categories; None stands for a missing value.
    infrequent : bool
        Whether a last column stands for all other values. Otherwise these are zero everywhere.
    """

    categories: tuple[str | None, ...]
    infrequent: bool

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return len(self.categories) + self.infrequent


class TableEncoder(DocumentationLink, TransformerMixin, BaseEstimator):
    """Encode the columns of a table: numbers are standardized, all others one-hot encoded.

    The result is that of a `ColumnTransformer` with `SimpleImputer` (median) and `StandardScaler`
    for numbers, and `OneHotEncoder` for text, booleans and categories, as an array of float32.
    Unlike a `ColumnTransformer`, a file stores it: `frozenfit.save` accepts a pipeline of a
    TableEncoder and an estimator of this package.

    Parameters
    ----------
    max_categories : int or None, default=50
        Largest number of encoded columns of one column of categories. Where there are more
        categories, the least frequent ones share one column. None sets no limit.

    Attributes
    ----------
    columns_ : list of NumberColumn or CategoryColumn
        How each column is encoded: its ``median``, ``mean`` and ``scale``, or its ``categories``.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if all of them are strings.
    target_name_ : str or None
        Name of y in `fit`, if it is a named series of a data frame.

    See Also
    --------
    frozenfit.save : Store a pipeline of an encoder and an estimator in a file.
    PartialNetClassifier : An estimator that takes the encoded table.

    Notes
    -----
    Columns of integers and floats are numbers. Columns of text, of booleans and of the categorical
    types of pandas and Polars are categories, which are compared as text: 1 and "1" are the same
    category. A missing value is a separate category where it occurs in `fit`. Values that do not
    occur in `fit` are encoded as the least frequent categories, or as zeros where no column
    stands for those. Dates and other objects raise an error that names the column.

    Examples
    --------
    >>> import pandas as pd
    >>> from frozenfit import TableEncoder
    >>> table = pd.DataFrame({"age": [20, 30, None], "city": ["Rome", "Oslo", "Rome"]})
    >>> encoder = TableEncoder().fit(table)
    >>> encoder.get_feature_names_out()
    array(['age', 'city_Oslo', 'city_Rome'], dtype=object)
    >>> encoder.transform(pd.DataFrame({"age": [25], "city": ["Bern"]}))
    array([[0., 0., 0.]], dtype=float32)
    """

    _parameter_constraints = {
        "max_categories": [Interval(Integral, 2, None, closed="left"), None],
    }

    columns_: list[NumberColumn | CategoryColumn]
    n_features_in_: int
    feature_names_in_: np.ndarray
    target_name_: str | None

    def __init__(self, max_categories: int | None = 50):
        self.max_categories = max_categories

    def __sklearn_tags__(self) -> Tags:
        """Declare support for text, categories and missing values."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        assert tags.transformer_tags is not None
        tags.transformer_tags.preserves_dtype = []  # the result is float32
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Compute how each column is encoded.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_features)
            The table.
        y : series or array-like, default=None
            Only its name is used, as `target_name_`.

        Returns
        -------
        self
            The encoder.

        Raises
        ------
        ValueError
            If a column contains infinite numbers, dates or other objects.
        """
        columns = self._read(X, reset=True)
        self.columns_ = [self._learn(*column) for column in columns]
        name = getattr(y, "name", None)
        self.target_name_ = name if isinstance(name, str) else None
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Encode a table.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_features)
            A table with the columns of `fit`, in the same order.

        Returns
        -------
        ndarray of float32 of shape (n_samples, n_encoded)
            The encoded columns, in the order of the columns.

        Raises
        ------
        ValueError
            If a column is missing, or one of numbers contains something else.
        """
        check_is_fitted(self)
        columns = self._read(X, reset=False)
        n_rows = len(columns[0][1])
        encoded = np.zeros((n_rows, sum(c.width for c in self.columns_)), np.float32)
        start = 0
        for column, (name, values, _) in zip(self.columns_, columns, strict=True):
            part = encoded[:, start : start + column.width]
            if isinstance(column, NumberColumn):
                numbers = _numbers(name, values)
                numbers[np.isnan(numbers)] = column.median
                part[:, 0] = (numbers - column.mean) / column.scale
            else:
                _mark(column, _texts(values), part)
            start += column.width
        return encoded

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the encoded columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns; None uses those of `fit`, or "x0", "x1", ... without any.

        Returns
        -------
        ndarray of str
            The name of a column of numbers, and ``column_category`` for each category.
        """
        check_is_fitted(self)
        names: Any = check_feature_names_in(self, input_features)
        encoded = []
        for name, column in zip(names, self.columns_, strict=True):
            if isinstance(column, NumberColumn):
                encoded.append(name)
            else:
                ends = [*column.categories, *["infrequent"] * column.infrequent]
                encoded += [f"{name}_{end}" for end in ends]
        return np.array(encoded, dtype=object)

    def _learn(self, name: str, values: np.ndarray, categorical: bool) -> Any:
        if categorical:
            encoder = OneHotEncoder(
                max_categories=self.max_categories, handle_unknown="infrequent_if_exist"
            )
            encoder.fit(_texts(values)[:, np.newaxis])
            (found,) = getattr(encoder, "infrequent_categories_", [None])  # none without a limit
            rare = set() if found is None else set(found)
            kept = tuple(c for c in encoder.categories_[0] if c not in rare)
            return CategoryColumn(kept, bool(rare))
        numbers = _numbers(name, values)
        missing = np.isnan(numbers)
        median = 0.0 if missing.all() else float(np.median(numbers[~missing]))
        numbers[missing] = median
        scaler: Any = StandardScaler().fit(numbers[:, np.newaxis])
        mean, scale = (float(np.ravel(value)[0]) for value in (scaler.mean_, scaler.scale_))
        if not (math.isfinite(mean) and math.isfinite(scale)):
            raise ValueError(f"Column {name!r} contains numbers that are too large to standardize.")
        return NumberColumn(median, mean, scale)

    def _read(self, X: Any, reset: bool) -> list[tuple[str, np.ndarray, bool]]:
        """Return the name and the values of each column, and whether they are categories."""
        if not hasattr(X, "columns"):
            X = X if hasattr(X, "dtype") else np.asarray(X, dtype=object)
            X = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
            return [_checked(f"x{i}", values, "") for i, values in enumerate(X.T)]
        names = list(X.columns)
        for name, count in Counter(names).items():
            if count > 1:
                raise ValueError(f"The names of columns must be distinct, got {name!r} twice.")
        validate_data(self, X=X, reset=reset, skip_check_array=True)
        if len(X) == 0 or len(X.columns) == 0:
            check_array(np.empty(X.shape))  # raises scikit-learn's error
        columns = []
        for i, name in enumerate(names):
            series = X.iloc[:, i] if hasattr(X, "iloc") else X[name]
            columns.append(_checked(name, np.asarray(series), str(getattr(series, "dtype", ""))))
        return columns


def _checked(name: str, values: np.ndarray, dtype: str) -> tuple[str, np.ndarray, bool]:
    kind = values.dtype.kind
    if dtype.lower().startswith(_CATEGORY_TYPES) or kind in "bUT":
        return name, values, True
    if kind in "iuf":
        return name, values, False
    if kind == "O":
        others = [value for value in values if not _is_missing(value)]
        if all(isinstance(v, Number) and not isinstance(v, (*_BOOLS, complex)) for v in others):
            return name, values, False
        odd = next((value for value in others if not isinstance(value, (str, Number))), None)
        if odd is None:
            return name, values, True
        dtype = type(odd).__name__
    raise ValueError(
        f"Column {name!r} must contain numbers, text, booleans or categories, got "
        f"{dtype or values.dtype}. Convert the column, or leave it out."
    )


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, or a missing value of pandas."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Return a new array of float64, with NaN for missing values."""
    if values.dtype.kind in "biuf":
        numbers = values.astype(np.float64)
    else:
        numbers = np.empty(len(values))
        for i, value in enumerate(values):
            number = isinstance(value, Number) and not isinstance(value, complex)
            if not number and not _is_missing(value):
                raise ValueError(f"Column {name!r} must contain numbers, got {value!r}.")
            numbers[i] = float(value) if number else math.nan  # pyright: ignore[reportArgumentType]
    if np.isinf(numbers).any():
        raise ValueError(f"Column {name!r} must contain finite numbers, got infinity.")
    return numbers


def _texts(values: np.ndarray) -> np.ndarray:
    """Return categories as text, with None for missing values."""
    texts = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        texts[i] = None if _is_missing(value) else _text(value)
    return texts


def _text(value: Any) -> str:
    # A column of integers becomes one of floats where a value is missing.
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _mark(column: CategoryColumn, texts: np.ndarray, encoded: np.ndarray) -> None:
    """Write 1 into the encoded column of each row's category."""
    places = {category: i for i, category in enumerate(column.categories)}
    other = len(places) if column.infrequent else -1
    found = np.array([places.get(text, other) for text in texts])
    known = np.flatnonzero(found >= 0)
    encoded[known, found[known]] = 1
