"""TokenEncoder: texts as rows of token ids for a network.

Keras's TextVectorization runs on TensorFlow alone, and scikit-learn's vectorizers count tokens
without their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from frozenfit.utils.doc_link import DocumentationLink
from frozenfit.utils.scikit_learn import Interval, fit_context

if TYPE_CHECKING:
    from sklearn.utils import Tags

__all__ = ["TokenEncoder"]

# Words, and signs of punctuation one by one, as in the tokenized data sets of Kim 2014.
_TOKEN = re.compile(r"\w+|[^\w\s]")
_FIRST = 2  # 0 is padding, 1 an unknown token


class TokenEncoder(DocumentationLink, TransformerMixin, BaseEstimator):
    """Encode texts as rows of token ids of one length.

    A token is a word, that is, a run of letters, digits and underscores, or one sign of
    punctuation; letters are lowercased. Id 0 is padding, id 1 stands for every token that is not in
    the vocabulary, and the others are numbered from 2 in the order of their frequency in `fit`.

    Parameters
    ----------
    max_tokens : int, default=10000
        Largest number of ids, padding and the unknown token included: all ids are less than
        `max_tokens`. Pass the same number to the network, whose default it is.
    length : int or None, default=None
        Number of ids of each text. Longer texts are cut at the end, and shorter ones padded there.
        None uses the number of tokens of the longest text in `fit`.

    Attributes
    ----------
    tokens_ : list of str
        The vocabulary; ``tokens_[i]`` has the id ``i + 2``.
    length_ : int
        Number of ids of each text.

    See Also
    --------
    PartialNetClassifier : The models ``"text_cnn"`` and ``"gru_encoder"`` take such rows.
    frozenfit.save : Store a pipeline of an encoder and an estimator in a file.

    Notes
    -----
    `sklearn.feature_extraction.text.CountVectorizer` counts tokens and loses their order, and
    `keras.layers.TextVectorization` requires TensorFlow. Tokens of equal frequency are in
    alphabetical order, so that ids do not depend on the order of the texts.

    Examples
    --------
    >>> from frozenfit import TokenEncoder
    >>> encoder = TokenEncoder(length=4).fit(["What is this?", "What a day!"])
    >>> encoder.tokens_
    ['what', '!', '?', 'a', 'day', 'is', 'this']
    >>> encoder.transform(["What is new, and why?", "This"])
    array([[2, 7, 1, 1],
           [8, 0, 0, 0]], dtype=int32)
    """

    _parameter_constraints = {
        "max_tokens": [Interval(Integral, 3, None, closed="left")],
        "length": [Interval(Integral, 1, None, closed="left"), None],
    }

    tokens_: list[str]
    length_: int

    def __init__(self, max_tokens: int = 10000, length: int | None = None):
        self.max_tokens = max_tokens
        self.length = length

    def __sklearn_tags__(self) -> Tags:
        """Declare that samples are texts."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        assert tags.transformer_tags is not None
        tags.transformer_tags.preserves_dtype = []
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Iterable[str], y: Any = None) -> Self:
        """Collect the vocabulary.

        Parameters
        ----------
        X : iterable of str
            The texts, such as a list or a column of a data frame.
        y : object, default=None
            Not used.

        Returns
        -------
        self
            The encoder.

        Raises
        ------
        ValueError
            If there is no text, or none contains a token.
        TypeError
            If a text is not a string, or `X` is a single string.
        """
        texts = [_tokens(text) for text in _checked(X)]
        counts = Counter(token for tokens in texts for token in tokens)
        if not counts:
            raise ValueError(
                f"X must contain at least one token, got {len(texts)} texts with none."
            )
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        self.tokens_ = ranked[: self.max_tokens - _FIRST]
        self.length_ = self.length or max(map(len, texts))
        return self

    def transform(self, X: Iterable[str]) -> np.ndarray:
        """Encode texts.

        Parameters
        ----------
        X : iterable of str
            The texts.

        Returns
        -------
        ndarray of int32 of shape (n_samples, length_)
            The ids of the first tokens of each text, and 0 after its end.

        Raises
        ------
        TypeError
            If a text is not a string, or `X` is a single string.
        """
        check_is_fitted(self)
        ids = {token: number for number, token in enumerate(self.tokens_, _FIRST)}
        texts = _checked(X)
        encoded = np.zeros((len(texts), self.length_), np.int32)
        for row, text in zip(encoded, texts, strict=True):
            found = [ids.get(token, 1) for token in _tokens(text)[: self.length_]]
            row[: len(found)] = found
        return encoded


def _checked(X: Any) -> list[str]:
    if isinstance(X, (str, bytes)):
        raise TypeError(f"X must be an iterable of texts, got the single text {X!r}. Pass [text].")
    texts = list(X)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"X must contain strings, got {type(text).__name__} as text {i}.")
    return texts


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())
