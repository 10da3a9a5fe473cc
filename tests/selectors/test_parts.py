"""A part of a selector that selects nothing does not go unnoticed."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from selector_networks import DEPTHWISE, RECURRENT, SMALL, conv_layer, dense_layer, network

from frozenfit import PartialNetClassifier
from frozenfit.selectors import (
    Layout,
    Leading,
    as_selector,
    batch_norm,
    between,
    biases,
    block,
    columns,
    conv_filters,
    disjoint,
    everything,
    example_layout,
    filters,
    first,
    head,
    inputs,
    kernels,
    layers,
    magnitude,
    mask,
    norms,
    random,
    rows,
    where,
)

MLP = network(dense_layer("a", 4, 5), dense_layer("head", 5, 3))
LINEAR = network(dense_layer("head", 4, 3))


def test_the_rows_of_an_embedding_are_its_words():
    selection = (rows(5) | head()).resolve(RECURRENT)
    assert selection["emb/embeddings"] == Leading(0, 5)
    assert selection.counts("emb/embeddings") == (5 * 8, 50 * 8)
    assert (rows(0.1) | head()).resolve(RECURRENT)["emb/embeddings"] == Leading(0, 5)


def test_the_rows_of_an_embedding_are_its_words_next_to_a_convolution():
    layout = example_layout("text")
    selection = rows(1).resolve(layout)
    assert selection["embedding/embeddings"] == Leading(0, 1)
    assert selection["conv/kernel"] == Leading(0, 1)
    assert rows(5).on("embedding").resolve(layout).n_trainable == 5 * 16


def test_the_columns_of_an_embedding_are_its_dimensions():
    assert (columns(2) | head()).resolve(RECURRENT)["emb/embeddings"] == Leading(1, 2)


def test_an_estimator_trains_the_first_words_alone():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 9, (40, 6)), np.arange(40) % 2
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(9, 4, name="words"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, name="out"),
        ]
    )
    before = keras.ops.convert_to_numpy(model.get_layer("words").embeddings).copy()
    clf = PartialNetClassifier(model, trainable="rows(5).on('words') | head()", epochs=2).fit(X, y)
    after = keras.ops.convert_to_numpy(clf.to_keras().get_layer("words").embeddings)
    assert (after[:5] != before[:5]).any(axis=1).all()
    np.testing.assert_array_equal(after[5:], before[5:])


@pytest.mark.parametrize(
    ("selector", "layout", "part"),
    [
        (rows(5).on("a") | head(), MLP, 'rows(5).on("a")'),
        (filters(0.1).on("head") | kernels(), MLP, 'filters(0.1).on("head")'),
        (layers("a") & rows(1) | head(), MLP, 'layers("a") & rows(1)'),
        (head() | (layers("head") - everything()), MLP, 'layers("head") - everything()'),
        (head() | batch_norm().on("block1_*", "head") - norms(), SMALL, "- norms()"),
        (random(0.5, within=norms() & block("head")) | head(), SMALL, "within=norms() & block"),
        (mask({"head/bias": np.zeros(3, bool)}) | kernels(), MLP, "mask("),
        (~rows(5).on("a"), MLP, 'rows(5).on("a")'),
        (everything() - rows(5).on("a"), MLP, 'rows(5).on("a")'),
        (head("head") & biases() & rows(1) | kernels(), MLP, "rows(1)"),
    ],
)
def test_a_part_that_names_layers_and_selects_nothing_is_an_error(selector, layout, part):
    with pytest.raises(ValueError, match="selects no parameters in the layers that it") as caught:
        selector.resolve(layout)
    assert part in str(caught.value).partition(" selects no")[0]


@pytest.mark.parametrize(
    ("selector", "layout", "part"),
    [
        (rows(5) | head(), MLP, "rows(5)"),
        (columns(1) | filters(1), MLP, "columns(1)"),
        (inputs(0.5) | head(), LINEAR, "inputs(0.5)"),
        (everything() - rows(1), MLP, "rows(1)"),
        (where(lambda info: None) | head(), MLP, "where(<lambda>)"),
        (random(0.5, within=norms()) | head(), MLP, "random(0.5, within=norms())"),
        (rows(1) & kernels() | head(), MLP, "rows(1) & kernels()"),
        (rows(2).on("a", "sep") | head(), None, "match 'a'"),
    ],
)
def test_another_part_that_selects_nothing_is_a_warning(selector, layout, part):
    if layout is None:
        layout = network(list(DEPTHWISE.weights), list(MLP.weights))
    with pytest.warns(UserWarning, match="selects no parameters") as caught:
        selection = selector.resolve(layout)
    assert selection.n_trainable and len(caught) == 1 and part in str(caught[0].message)


@pytest.mark.parametrize(
    "selector",
    [
        as_selector(0.1),
        as_selector(1),
        conv_filters(0.1) | head() | batch_norm(),
        everything() - norms(),
        everything() - (norms() - batch_norm()),
        head() | (norms() & biases()),
        head() | (batch_norm() - layers("head")),
        first(3),
        disjoint(0.5, 1, 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("layout", [LINEAR, MLP, SMALL], ids=["linear", "mlp", "small"])
def test_selectors_of_networks_in_general_do_not_warn(selector, layout):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert selector.resolve(layout).n_trainable


def test_empty_parts_are_accepted_where_an_empty_selection_is():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selection = (rows(5).on("a") | columns(1)).resolve(MLP, allow_empty=True)
    assert selection.n_trainable == 0


def test_a_selection_that_is_empty_as_a_whole_does_not_warn_before_the_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"rows\(5\) selects no parameters of this network"):
            rows(5).resolve(MLP)
    with pytest.raises(ValueError, match="magnitude"):
        magnitude(0.1).resolve(MLP)


@pytest.mark.parametrize(
    "selector",
    [
        layers("b2_conv*"),
        kernels().on("b2_conv/kernel"),
        head("b2_conv"),
        between(0, "b2_conv"),
        block("b2"),
        mask({"b2_conv/kernel": np.ones((1, 1, 2, 2), bool)}),
    ],
    ids=str,
)
def test_layers_frozen_in_the_model_are_named_in_the_error(selector):
    layout = Layout(MLP.weights, MLP.layers, MLP.heads, tuple(conv_layer("b2_conv", 1, 2, 2)))
    with pytest.raises(ValueError, match="is frozen by trainable=False in the model"):
        (selector | head()).resolve(layout)
