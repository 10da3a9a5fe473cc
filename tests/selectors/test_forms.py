"""Forms select the right parameters, and their algebra is the algebra of masks."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frozenfit.selectors import (
    Everything,
    Indices,
    Layout,
    Leading,
    Mask,
    Nothing,
    Selection,
    WeightInfo,
    forms,
)

# On a busy machine an example may take long, which is not a defect of the algebra.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def forms_of(draw, shape):
    """A form that fits the shape, canonical or not."""
    bits = draw(st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    choices = [
        st.just(Nothing()),
        st.just(Everything()),
        st.just(Mask(np.array(bits, dtype=bool).reshape(shape))),
    ]
    for axis, length in enumerate(shape):
        if length:
            positions = st.sets(st.integers(0, length - 1), min_size=1)
            choices.append(st.integers(1, length).map(lambda n, axis=axis: Leading(axis, n)))
            choices.append(positions.map(lambda s, axis=axis: Indices(axis, tuple(sorted(s)))))
    return draw(st.one_of(choices))


@st.composite
def shape_and_forms(draw, n):
    shape = draw(shapes)
    return shape, *(draw(forms_of(shape)) for _ in range(n))


@given(shape_and_forms(2))
def test_union_is_elementwise_or(case):
    shape, a, b = case
    expected = forms.to_mask(a, shape) | forms.to_mask(b, shape)
    assert np.array_equal(forms.to_mask(forms.union(a, b, shape), shape), expected)


@given(shape_and_forms(2))
def test_intersection_is_elementwise_and(case):
    shape, a, b = case
    expected = forms.to_mask(a, shape) & forms.to_mask(b, shape)
    assert np.array_equal(forms.to_mask(forms.intersection(a, b, shape), shape), expected)


@given(shape_and_forms(2))
def test_difference_is_and_not(case):
    shape, a, b = case
    expected = forms.to_mask(a, shape) & ~forms.to_mask(b, shape)
    assert np.array_equal(forms.to_mask(forms.difference(a, b, shape), shape), expected)


@given(shape_and_forms(1))
def test_complement_is_elementwise_not(case):
    shape, form = case
    expected = ~forms.to_mask(form, shape)
    assert np.array_equal(forms.to_mask(forms.complement(form, shape), shape), expected)


@given(shape_and_forms(2))
def test_the_algebra_returns_canonical_forms(case):
    shape, a, b = case
    for join in (forms.union, forms.intersection, forms.difference):
        form = join(a, b, shape)
        assert form == forms.from_mask(forms.to_mask(form, shape))


@given(shape_and_forms(1))
def test_from_mask_selects_the_same_parameters(case):
    shape, form = case
    mask = forms.to_mask(form, shape)
    assert np.array_equal(forms.to_mask(forms.from_mask(mask), shape), mask)


@given(shape_and_forms(1))
def test_size_and_compact_shape_count_the_mask(case):
    shape, form = case
    count = int(forms.to_mask(form, shape).sum())
    assert forms.size(form, shape) == count
    assert int(np.prod(forms.compact_shape(form, shape))) == count


@given(shape_and_forms(1))
def test_put_writes_back_what_take_read_and_nothing_else(case):
    shape, form = case
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    compact = forms.take(form, array)
    assert compact.shape == forms.compact_shape(form, shape)
    changed = forms.put(form, array, compact + 1000)
    expected = np.where(forms.to_mask(form, shape), array + 1000, array)
    assert np.array_equal(changed, expected)
    assert changed.dtype == array.dtype


@given(shape_and_forms(1))
def test_the_description_of_a_form_is_one_short_line(case):
    shape, form = case
    text = forms.describe(form, shape)
    assert 0 < len(text) < 60 and "\n" not in text


def test_union_of_two_leading_slices_on_one_axis_stays_leading():
    assert forms.union(Leading(3, 2), Leading(3, 5), (3, 3, 8, 16)) == Leading(3, 5)


def test_leading_and_the_indices_after_it_make_a_longer_leading_slice():
    assert forms.union(Leading(0, 2), Indices(0, (2, 3)), (6, 2)) == Leading(0, 4)


def test_a_slice_of_the_whole_axis_is_everything():
    assert forms.union(Leading(1, 4), Nothing(), (2, 4)) == Everything()


def test_take_returns_a_copy():
    array = np.zeros((2, 3))
    for form in (Everything(), Leading(0, 1), Indices(1, (0, 2))):
        forms.take(form, array)[...] = 1
    assert not array.any()


def test_put_does_not_change_its_argument():
    array = np.zeros(3)
    forms.put(Everything(), array, np.ones(3))
    assert not array.any()


def test_put_refuses_parameters_of_another_shape():
    with pytest.raises(ValueError, match=r"must be of shape \(1, 3\) for first 1 of 2 on axis 0"):
        forms.put(Leading(0, 1), np.zeros((2, 3)), np.zeros(3))


@pytest.mark.parametrize("form", [Leading(1, 4), Leading(2, 1), Indices(0, (0, 2))])
def test_a_slice_outside_the_shape_is_refused(form):
    with pytest.raises(ValueError, match="does not fit the shape"):
        forms.size(form, (2, 3))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="of the weight's shape"):
        forms.to_mask(Mask(np.ones((2, 2))), (4,))


@pytest.mark.parametrize("positions", [(), (1, 1), (2, 1), (-1, 0)])
def test_indices_must_increase_from_zero(positions):
    with pytest.raises(ValueError, match="increasing order"):
        Indices(0, positions)


def test_a_leading_slice_has_at_least_one_position():
    with pytest.raises(ValueError, match="`count` must be >= 1"):
        Leading(0, 0)


def test_a_mask_is_a_read_only_copy():
    array = np.array([True, False])
    mask = Mask(array)
    array[:] = False
    assert mask.array.tolist() == [True, False]
    with pytest.raises(ValueError, match="read-only"):
        mask.array[0] = False


@pytest.mark.parametrize("again", [copy.deepcopy, lambda mask: pickle.loads(pickle.dumps(mask))])
def test_a_copied_mask_is_equal_with_an_equal_hash_and_read_only(again):
    mask = Mask(np.array([[True, False], [False, True]]))
    other = again(mask)
    assert other == mask and hash(other) == hash(mask)
    assert not other.array.flags.writeable
    assert other != Mask(np.array([True, False, False, True]))


def test_leading_units_include_their_column_in_every_gate():
    assert forms.leading((5, 12), (1,), 2, gates=4) == Indices(1, (0, 1, 3, 4, 6, 7, 9, 10))


def test_leading_units_of_a_depthwise_kernel_count_in_c_order():
    mask = forms.to_mask(forms.leading((1, 1, 3, 2), (2, 3), 3), (1, 1, 3, 2))
    assert mask.ravel().tolist() == [True, True, True, False, False, False]


def test_leading_units_that_fill_whole_rows_are_a_slice():
    assert forms.leading((3, 3, 4, 2), (2, 3), 4) == Leading(2, 2)


def test_leading_units_follow_the_order_in_which_the_axes_are_named():
    mask = forms.to_mask(forms.leading((2, 3), (1, 0), 3), (2, 3))
    assert mask.tolist() == [[True, True, False], [True, False, False]]


def test_gates_and_two_output_axes_go_together():
    mask = forms.to_mask(forms.leading((2, 4), (0, 1), 3, gates=2), (2, 4))
    assert mask.tolist() == [[True, True, True, True], [True, False, True, False]]


def _info(**changes) -> WeightInfo:
    given: dict[str, Any] = dict(
        path="a/kernel",
        shape=(4, 6),
        layer="a",
        layer_type="Dense",
        role="kernel",
        output_axes=(1,),
    )
    return WeightInfo(**{**given, **changes})


def test_outputs_are_counted_once_whatever_the_gates():
    assert _info().n_outputs == 6
    assert _info(gates=3).n_outputs == 2
    assert _info(output_axes=(0, 1)).n_outputs == 24


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "weights"}, "must be one of kernel, bias"),
        ({"output_axes": (2,)}, "must be from 0 to 1, got 2"),
        ({"input_axes": (-1,)}, "must be from 0 to 1, got -1"),
        ({"gates": 4}, "`gates` .* must divide"),
    ],
)
def test_an_invalid_weight_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _info(**changes)


def test_a_layout_refuses_two_weights_of_one_path():
    with pytest.raises(ValueError, match="a/kernel"):
        Layout((_info(), _info()), ("a",), ())


def test_a_layout_lists_paths_near_a_wrong_one():
    with pytest.raises(KeyError, match="a/kernel"):
        Layout((_info(),), ("a",), ())["a/kernal"]


@pytest.mark.parametrize(
    ("layer_type", "spatial_axes", "expected"),
    [
        ("Conv1D", (0,), True),
        ("Conv2DTranspose", (0,), True),
        ("DepthwiseConv2D", (0,), True),
        ("SeparableConv2D", (0,), True),
        ("Dense", (), False),
        ("ConvexDense", (), False),
    ],
)
def test_a_network_with_a_convolution_is_convolutional(layer_type, spatial_axes, expected):
    info = _info(layer_type=layer_type, spatial_axes=spatial_axes)
    assert Layout((info,), ("a",), ()).convolutional is expected


@pytest.fixture
def selection() -> Selection:
    bias = _info(path="a/bias", shape=(6,), role="bias", output_axes=(0,))
    layout = Layout((_info(), bias), ("a",), ())
    return Selection({"a/kernel": Leading(1, 2), "a/bias": Nothing()}, layout)


def test_a_selection_counts_its_parameters(selection):
    assert (selection.n_trainable, selection.total) == (8, 30)
    assert selection.counts("a/kernel") == (8, 24)


def test_the_table_has_a_row_for_each_weight(selection):
    assert selection.table() == [
        ("a/kernel", (4, 6), "first 2 of 6 on axis 1", 8, 24),
        ("a/bias", (6,), "nothing", 0, 6),
    ]


def test_selections_with_equal_forms_are_equal_with_equal_hashes(selection):
    other = Selection(dict(selection.forms), selection.layout)
    assert other == selection and hash(other) == hash(selection)


def test_a_selection_needs_a_form_for_each_weight(selection):
    with pytest.raises(ValueError, match="one form for each weight"):
        Selection({"a/kernel": Nothing()}, selection.layout)
