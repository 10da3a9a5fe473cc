"""Each selector selects the right parameters, and invalid arguments and names are refused."""

from __future__ import annotations

import numpy as np
import pytest
from selector_networks import (
    DEPTHWISE,
    RECURRENT,
    SMALL,
    dense_layer,
    network,
)

from frozenfit.selectors import (
    Everything,
    Indices,
    Leading,
    Nothing,
    WeightInfo,
    batch_norm,
    between,
    biases,
    block,
    columns,
    conv_filters,
    disjoint,
    everything,
    filters,
    first,
    fisher,
    forms,
    head,
    inputs,
    kernels,
    last,
    layers,
    magnitude,
    mask,
    movement,
    norms,
    nothing,
    random,
    rows,
    where,
)


def _forms(chosen, layout=SMALL, context=None):
    return chosen.resolve(layout, context).forms


def _selected(chosen, layout=SMALL, context=None):
    """Return the weights with trainable parameters."""
    return [path for path, form in _forms(chosen, layout, context).items() if form != Nothing()]


def test_filters_selects_the_first_outputs_and_their_bias_without_the_head():
    chosen = _forms(filters(0.1))
    assert chosen["conv1/kernel"] == Leading(3, 2) and chosen["conv1/bias"] == Leading(0, 2)
    assert chosen["block10_dense/kernel"] == Leading(1, 4)
    assert chosen["block10_dense/bias"] == Leading(0, 4)
    others = [path for path in chosen if path.split("/")[0] in ("block1_norm", "scale", "head")]
    assert all(chosen[path] == Nothing() for path in others)


def test_rounding_errors_do_not_remove_a_filter():
    assert _forms(filters(0.1))["block1_conv/kernel"] == Leading(3, 3)


def test_a_count_above_the_number_of_filters_means_all():
    chosen = _forms(filters(25))
    assert chosen["conv1/kernel"] == Everything() and chosen["block1_conv/kernel"] == Leading(3, 25)


def test_a_tiny_fraction_selects_one_filter_unless_none_is_allowed():
    assert _forms(filters(0.001))["conv1/kernel"] == Leading(3, 1)
    assert _forms(filters(0.04, min_filters=0))["conv1/kernel"] == Nothing()
    assert _forms(filters(0.04, min_filters=5))["conv1/kernel"] == Leading(3, 5)


def test_conv_filters_selects_all_of_other_hidden_layers():
    chosen = _forms(conv_filters(0.1))
    assert chosen["conv1/bias"] == Leading(0, 2)
    assert chosen["block10_dense/kernel"] == chosen["block10_dense/bias"] == Everything()
    assert chosen["head/kernel"] == chosen["block1_norm/gamma"] == Nothing()


def test_a_recurrent_unit_includes_its_column_in_every_gate():
    chosen = _forms(filters(2), RECURRENT)
    assert chosen["gru/gru_cell/kernel"] == Indices(1, (0, 1, 4, 5, 8, 9))
    assert chosen["gru/gru_cell/bias"] == Indices(1, (0, 1, 4, 5, 8, 9))


def test_filters_of_attention_are_heads_and_of_an_embedding_its_dimensions():
    chosen = _forms(filters(2), RECURRENT)
    assert chosen["att/query/kernel"] == Leading(1, 2)
    assert chosen["att/query/bias"] == Leading(0, 2)
    assert chosen["emb/embeddings"] == Leading(1, 2)


def test_each_kernel_of_a_separable_convolution_counts_its_own_outputs():
    chosen = _forms(filters(0.1), DEPTHWISE)
    assert chosen["sep/depthwise_kernel"] == Leading(2, 1)
    assert chosen["sep/pointwise_kernel"] == Leading(3, 3)
    assert chosen["sep/bias"] == Leading(0, 3)


def test_depthwise_outputs_are_counted_through_both_axes():
    chosen = _forms(filters(4), DEPTHWISE)
    trainable = forms.to_mask(chosen["dw/kernel"], (3, 3, 5, 3))
    assert trainable[1, 2].ravel().tolist() == [True] * 4 + [False] * 11
    assert chosen["dw/bias"] == Leading(0, 4)


def test_inputs_selects_from_convolutions_only_where_there_are_any():
    chosen = _forms(inputs(0.5))
    assert chosen["block1_conv/kernel"] == Leading(2, 10)
    assert chosen["conv1/kernel"] == Everything()
    assert _selected(inputs(0.5)) == ["conv1/kernel", "block1_conv/kernel"]


def test_inputs_selects_from_every_hidden_kernel_elsewhere():
    chosen = _forms(inputs(0.5), RECURRENT)
    assert chosen["gru/gru_cell/kernel"] == Leading(0, 4)
    assert chosen["emb/embeddings"] == Leading(0, 25)
    assert chosen["head/kernel"] == chosen["gru/gru_cell/bias"] == Nothing()


def test_rows_and_columns_are_the_axes_of_the_window():
    assert _forms(rows(2))["conv1/kernel"] == Leading(0, 2)
    assert _forms(columns(2))["conv1/kernel"] == Leading(1, 2)


def test_a_kernel_without_columns_is_frozen_by_columns():
    info = WeightInfo("c/kernel", (3, 2, 4), "c", "Conv1D", "kernel", (2,), (1,), (0,))
    layout = network([info], heads=())
    assert _forms(rows(1), layout)["c/kernel"] == Leading(0, 1)
    with pytest.raises(ValueError, match=r"columns\(1\) selects no parameters"):
        columns(1).resolve(layout)


def test_roles_select_their_weights():
    assert _selected(batch_norm()) == ["block1_norm/gamma", "block1_norm/beta"]
    assert _selected(norms() - batch_norm()) == ["scale/gamma", "scale/beta"]
    assert all(path.endswith(("/bias", "/beta")) for path in _selected(biases()))
    assert len(_selected(biases())) == 5
    assert all(path.endswith("/kernel") for path in _selected(kernels()))
    assert "emb/embeddings" in _selected(kernels(), RECURRENT)


def test_everything_selects_all_and_nothing_none():
    assert set(_forms(everything()).values()) == {Everything()}
    empty = nothing().resolve(SMALL, allow_empty=True)
    assert empty.n_trainable == 0 and len(empty.forms) == len(SMALL.weights)


def test_batch_norm_may_select_nothing_in_a_union():
    assert _selected(batch_norm() | head(), RECURRENT) == ["head/kernel", "head/bias"]


@pytest.mark.parametrize("chosen", [nothing(), filters(0.1) & head(), batch_norm() - norms()])
def test_an_empty_selection_is_refused_by_name(chosen):
    with pytest.raises(ValueError, match="selects no parameters") as caught:
        chosen.resolve(SMALL)
    assert str(chosen) in str(caught.value)


def test_the_head_is_that_of_the_layout_unless_named():
    assert _selected(head()) == ["head/kernel", "head/bias"]
    assert _selected(head("block1_conv")) == ["block1_conv/kernel"]


def test_a_composite_head_is_selected_and_excluded_as_a_whole():
    layout = network(dense_layer("a", 2, 2), dense_layer("out/inner", 2, 2), heads=("out",))
    assert _selected(head(), layout) == ["out/inner/kernel", "out/inner/bias"]
    assert _selected(filters(1), layout) == ["a/kernel", "a/bias"]


def test_layers_match_weights_and_the_layers_around_them():
    assert _selected(layers("*_conv/*")) == ["block1_conv/kernel"]
    assert _selected(layers("block1_*")) == [
        "block1_norm/gamma",
        "block1_norm/beta",
        "block1_conv/kernel",
    ]
    assert _selected(layers("gru"), RECURRENT) == ["gru/gru_cell/kernel", "gru/gru_cell/bias"]


def test_a_block_is_a_name_up_to_an_underscore():
    assert "block10_dense/kernel" not in _selected(block("block1"))
    assert _selected(block("block10")) == ["block10_dense/kernel", "block10_dense/bias"]
    assert _selected(block("gru_cell"), RECURRENT) == _selected(layers("gru"), RECURRENT)


@pytest.mark.parametrize(
    ("chosen", "suggestion"),
    [
        (layers("block1_*", "blok1_conv*"), "block1_conv"),
        (filters(0.1).on("conv2"), "conv1"),
        (block("blok1"), "block1"),
        (head("haed"), "head"),
        (between("conv1", "hed"), "head"),
        (mask({"conv1/kernle": np.ones(3, bool)}), "conv1/kernel"),
        (layers("%%%%%%"), "conv1"),
    ],
)
def test_a_name_that_matches_nothing_suggests_another(chosen, suggestion):
    with pytest.raises(ValueError, match=suggestion):
        chosen.resolve(SMALL, allow_empty=True)


def test_first_and_last_follow_the_order_of_the_data():
    assert _selected(first(1)) == ["conv1/kernel", "conv1/bias"]
    assert _selected(last(1)) == ["head/kernel", "head/bias"]
    assert _selected(between(2, 3)) == ["block1_conv/kernel"]
    assert _forms(first(99)) == _forms(last(99)) == _forms(everything())


def test_between_accepts_names_for_positions():
    assert _forms(between("block1_norm", "block10_dense")) == _forms(between(1, 3))
    assert _forms(between("conv1", 6)) == _forms(everything())


@pytest.mark.parametrize(
    ("chosen", "message"),
    [(between(0, 7), "must be from 0 to 6"), (between("head", 1), "selects no layer")],
)
def test_a_range_that_does_not_fit_is_refused(chosen, message):
    with pytest.raises(ValueError, match=message):
        chosen.resolve(SMALL)


@pytest.mark.parametrize(
    "function", [filters, conv_filters, inputs, rows, columns, random, magnitude]
)
@pytest.mark.parametrize("p", [0, 0.0, -0.1, 1.0001, -3, float("nan"), float("inf")])
def test_a_fraction_out_of_range_is_refused(function, p):
    with pytest.raises(ValueError, match=r"must be a float in \(0, 1\] or an int >= 1, got"):
        function(p)


@pytest.mark.parametrize("function", [filters, fisher, disjoint, movement])
@pytest.mark.parametrize("p", [True, None, "0.1", np.array([0.1]), 1j])
def test_a_fraction_of_another_type_is_refused(function, p):
    more = {disjoint: (0, 1), movement: ({}, {})}.get(function, ())
    with pytest.raises(TypeError, match=r"must be a float in \(0, 1\]"):
        function(p, *more)


@pytest.mark.parametrize(
    ("function", "args", "options", "error", "message"),
    [
        (
            filters,
            (0.1,),
            {"min_filters": -1},
            ValueError,
            "`min_filters` of `filters` must be an int >= 0",
        ),
        (
            filters,
            (0.1,),
            {"min_filters": True},
            TypeError,
            "`min_filters` of `filters` must be an int",
        ),
        (first, (0,), {}, ValueError, "`n` of `first` must be an int >= 1, got 0"),
        (last, (2.0,), {}, TypeError, "`n` of `last` must be an int"),
        (between, (3, 3), {}, ValueError, "selects no layer"),
        (between, (-1, 3), {}, ValueError, "`a` of `between` must be an int >= 0"),
        (between, (None, 3), {}, TypeError, "`a` of `between` must be an int"),
        (layers, (), {}, ValueError, "at least one name"),
        (layers, ("",), {}, ValueError, "no name may be empty"),
        (block, (3,), {}, TypeError, "must be strings"),
        (head, (3,), {}, TypeError, "must be strings"),
        (head().on, (), {}, ValueError, "at least one name"),
        (random, (0.1,), {"seed": -1}, ValueError, "`seed` of `random` must be an int >= 0"),
        (random, (0.1,), {"seed": 0.5}, TypeError, "`seed` of `random` must be an int"),
        (
            random,
            (0.1,),
            {"within": "kernels()"},
            TypeError,
            "`within` of `random` must be a selector",
        ),
        (disjoint, (0.3, 0, 4), {}, ValueError, "at most 0.25"),
        (disjoint, (0.2, 5, 5), {}, ValueError, "from 0 to 4"),
        (disjoint, (2, 0, 5), {}, TypeError, "must be a float in"),
        (magnitude, (0.1,), {"of": "mine"}, ValueError, 'of="base"'),
        (magnitude, (0.1,), {"of": 3}, TypeError, "Keras model or a mapping"),
        (magnitude, (0.1,), {"largest": 1}, TypeError, "True or False"),
        (magnitude, (0.1,), {"of": {"a": 1}, "within": head()}, ValueError, "& within"),
        (mask, ({},), {}, ValueError, "at least one array"),
        (mask, ([True],), {}, TypeError, "mapping"),
        (mask, ({"a": np.array([0.5])},), {}, ValueError, "booleans"),
        (mask, ({"a": np.array([2])},), {}, ValueError, "booleans"),
        (where, ("all",), {}, TypeError, "must be a callable"),
    ],
)
def test_invalid_arguments_are_refused_when_the_selector_is_created(
    function, args, options, error, message
):
    with pytest.raises(error, match=message):
        function(*args, **options)
