"""TokenEncoder: ids, padding, scikit-learn's conventions, and what it refuses."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer

from frozenfit import TokenEncoder

TEXTS = ["Où est-il ?", "It's 3.5 km; isn't it?", "", "km KM km", "?!"]


def test_the_vocabulary_is_that_of_a_count_vectorizer_by_frequency():
    counter = CountVectorizer(token_pattern=r"\w+|[^\w\s]")
    counts = np.asarray(counter.fit_transform(TEXTS).sum(axis=0))[0]
    names = counter.get_feature_names_out()
    expected = sorted(zip(-counts, names, strict=True))
    assert TokenEncoder().fit(TEXTS).tokens_ == [name for _, name in expected]


def test_ids_are_decoded_to_the_tokens_in_their_order():
    encoder = TokenEncoder().fit(TEXTS)
    tokens = ["", "UNKNOWN", *encoder.tokens_]
    (row,) = encoder.transform(["km ?  est meter il"])
    assert row.dtype == np.int32 and row.shape == (encoder.length_,) == (13,)
    assert [tokens[i] for i in row] == ["km", "?", "est", "UNKNOWN", "il", *[""] * 8]


@pytest.mark.parametrize("length", [2, 13, 30])
def test_texts_are_cut_or_padded_at_the_end(length):
    whole = TokenEncoder().fit_transform(TEXTS)
    found = TokenEncoder(length=length).fit_transform(TEXTS)
    shared = min(length, 13)
    np.testing.assert_array_equal(found[:, :shared], whole[:, :shared])
    assert found.shape == (5, length) and not found[:, shared:].any()


def test_rare_tokens_are_unknown_and_all_ids_are_below_max_tokens():
    encoder = TokenEncoder(max_tokens=4).fit(TEXTS)
    assert encoder.tokens_ == ["km", "?"]
    assert encoder.transform(TEXTS).max() == 3
    np.testing.assert_array_equal(encoder.transform(["it KM ?"])[0, :3], [1, 2, 3])


def test_ids_do_not_depend_on_the_order_or_the_container_of_the_texts():
    expected = TokenEncoder().fit(TEXTS).transform(TEXTS)
    for texts in (np.array(TEXTS), np.array(TEXTS, dtype=object), pd.Series(TEXTS), iter(TEXTS)):
        encoder = TokenEncoder().fit(texts)
        np.testing.assert_array_equal(encoder.transform(pd.Series(TEXTS)), expected)
    np.testing.assert_array_equal(TokenEncoder().fit(TEXTS[::-1]).transform(TEXTS), expected)


def test_copies_and_names_are_those_of_scikit_learn():
    encoder = TokenEncoder(50, 3).fit(TEXTS)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(TEXTS), encoder.transform(TEXTS))
    assert clone(encoder).get_params() == {"max_tokens": 50, "length": 3}
    with pytest.raises(NotFittedError):
        clone(encoder).transform(TEXTS)


@pytest.mark.parametrize(
    ("params", "texts", "error", "words"),
    [
        ({}, "one text", TypeError, r"got the single text 'one text'. Pass \[text\]"),
        ({}, ["a", 3.0], TypeError, "must contain strings, got float as text 1"),
        ({}, [[1, 2]], TypeError, "must contain strings, got list as text 0"),
        ({}, [" ", ""], ValueError, "at least one token, got 2 texts with none"),
        ({}, [], ValueError, "at least one token, got 0 texts"),
        ({"max_tokens": 2}, ["a"], ValueError, "'max_tokens' parameter of TokenEncoder must be"),
        ({"length": 0}, ["a"], ValueError, "'length' parameter of TokenEncoder must be"),
    ],
    ids=["string", "number", "table", "blank", "empty", "max_tokens", "length"],
)
def test_what_cannot_be_encoded_is_refused(params, texts, error, words):
    with pytest.raises(error, match=words):
        TokenEncoder(**params).fit(texts)
