"""Scales of kernels: their numbers, their values before training, and their set operations."""

from __future__ import annotations

import numpy as np
import pytest
from selector_networks import RECURRENT, SMALL

from frozenfit import selectors as fs
from frozenfit.selectors import Everything, Leading, Mask, Nothing, Scales, forms

KERNEL = (3, 3, 4, 8)
BOTH = Scales(inputs=(2,), outputs=(3,))
INPUTS, OUTPUTS = Scales((2,), ()), Scales((), (3,))


def test_every_kernel_has_a_scale_for_each_input_and_output():
    selection = fs.scales().resolve(SMALL)
    for info in SMALL.weights:
        n_inputs = int(np.prod([info.shape[axis] for axis in info.input_axes]))
        n_outputs = int(np.prod([info.shape[axis] for axis in info.output_axes]))
        if info.role != "kernel":
            assert selection[info.path] == Nothing()
        elif n_inputs + n_outputs < info.size:
            assert selection.counts(info.path) == (n_inputs + n_outputs, info.size)
        else:
            assert selection[info.path] == Everything()


def test_each_gate_of_a_recurrent_unit_has_a_scale():
    n_inputs, columns = RECURRENT["gru/gru_cell/kernel"].shape
    counts = fs.scales().resolve(RECURRENT).counts("gru/gru_cell/kernel")
    assert counts == (n_inputs + columns, n_inputs * columns)


def test_scales_are_factors_of_the_weight():
    rng = np.random.default_rng(0)
    weight, r, s = rng.normal(size=KERNEL), rng.normal(size=4), rng.normal(size=8)
    scaled = forms.put(BOTH, weight, np.concatenate([r, s]))
    np.testing.assert_allclose(scaled, weight * r[:, None] * s)
    np.testing.assert_allclose(forms.put(OUTPUTS, weight, s), weight * s)
    with pytest.raises(ValueError, match="must be of shape"):
        forms.put(BOTH, weight, s)


def test_several_axes_are_flattened_in_c_order():
    form = Scales(inputs=(0,), outputs=(1, 2))
    assert form.counts((5, 4, 3)) == (5, 12)
    weight = np.ones((5, 4, 3))
    values = np.arange(17.0)
    expected = values[:5, None, None] * values[5:].reshape(4, 3)
    np.testing.assert_array_equal(forms.put(form, weight, values), expected)


def test_scales_start_at_one_or_at_random_signs_of_the_inputs():
    weight = np.full((50, 60), 7.0)
    plain = forms.take(Scales((0,), (1,)), weight)
    np.testing.assert_array_equal(plain, np.ones(110))
    signs = forms.take(Scales((0,), (1,), signs=1), weight)
    np.testing.assert_array_equal(np.abs(signs), np.ones(110))
    assert 10 < np.sum(signs[:50] < 0) < 40 and (signs[50:] == 1).all()
    other = forms.take(Scales((0,), (1,), signs=2), weight)
    assert not np.array_equal(signs, other)


def test_only_the_first_kernel_in_data_flow_order_starts_at_signs():
    selection = fs.scales(signs=5).resolve(SMALL)
    signed = [p for p, form in selection.items() if isinstance(form, Scales) and form.signs]
    first = [w.path for w in SMALL.weights if w.role == "kernel"]
    assert signed == [min(first, key=lambda path: SMALL.layers.index(SMALL[path].layer))]


def test_a_kernel_without_more_entries_than_scales_is_trained_as_a_whole():
    form = Scales((0,), (1,))
    assert forms.canonical(form, (9, 1)) == Everything()
    assert forms.canonical(form, (9, 2)) == form
    assert forms.canonical(Scales((), ()), (9, 2)) == Nothing()


@pytest.mark.parametrize(
    ("operation", "a", "b", "expected"),
    [
        (forms.union, BOTH, Everything(), Everything()),
        (forms.union, Nothing(), BOTH, BOTH),
        (forms.union, INPUTS, OUTPUTS, BOTH),
        (forms.union, INPUTS, BOTH, BOTH),
        (forms.union, Scales((2,), (), 4), BOTH, Scales((2,), (3,), 4)),
        (forms.intersection, BOTH, Everything(), BOTH),
        (forms.intersection, BOTH, Nothing(), Nothing()),
        (forms.intersection, BOTH, INPUTS, INPUTS),
        (forms.intersection, INPUTS, OUTPUTS, Nothing()),
        (forms.difference, BOTH, Everything(), Nothing()),
        (forms.difference, BOTH, Nothing(), BOTH),
    ],
)
def test_set_operations(operation, a, b, expected):
    assert operation(a, b, KERNEL) == expected
    if operation is not forms.difference:
        assert operation(b, a, KERNEL) == expected


@pytest.mark.parametrize("part", [Leading(3, 2), Mask(np.arange(288).reshape(KERNEL) < 5)], ids=str)
@pytest.mark.parametrize("operation", [forms.union, forms.intersection])
def test_a_part_of_the_same_kernel_is_refused(operation, part):
    for pair in ((BOTH, part), (part, BOTH)):
        with pytest.raises(ValueError, match="cannot be combined with a part of the same kernel"):
            operation(*pair, KERNEL)


@pytest.mark.parametrize(
    "text", ["~scales()", "everything() - scales()", "random(0.5, within=scales())"]
)
def test_entries_of_scales_are_refused(text):
    with pytest.raises(ValueError, match="selects no entries"):
        fs.parse(text).resolve(SMALL)


def test_signs_of_two_seeds_are_refused():
    with pytest.raises(ValueError, match="signs of one seed, got the seeds 1 and 2"):
        (fs.scales(signs=1) | fs.scales(signs=2)).resolve(SMALL)


@pytest.mark.parametrize("axes", [(1, 0), (0, 0), (-1,)], ids=str)
def test_axes_are_checked(axes):
    with pytest.raises(ValueError, match="increasing order"):
        Scales(axes, ())
    with pytest.raises(ValueError, match="does not fit the shape"):
        forms.compact_shape(Scales((2,), ()), (3, 3))
