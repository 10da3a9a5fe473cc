"""Low-rank factors of kernels: their numbers, their values before training, and set operations."""

from __future__ import annotations

import numpy as np
import pytest
from selector_networks import NETWORKS, SMALL

from frozenfit import selectors as fs
from frozenfit.selectors import Everything, Leading, LowRank, Mask, Nothing, Scales, forms

KERNEL = (3, 3, 4, 8)
FORM = LowRank(2, (0, 1, 2), 1.0, 7)


@pytest.mark.parametrize("layout", NETWORKS.values(), ids=NETWORKS)
def test_every_kernel_has_factors_of_its_inputs_and_outputs(layout):
    selection = fs.lora(2).resolve(layout, allow_empty=True)
    for info in layout.weights:
        form = selection[info.path]
        n_outputs = int(np.prod([info.shape[axis] for axis in info.output_axes]))
        if info.role not in ("kernel", "embedding"):
            assert form == Nothing()
        elif isinstance(form, LowRank):
            rows, columns = form.sides(info.shape)
            assert columns % n_outputs == 0 and rows * columns == info.size
            assert selection.counts(info.path) == (2 * (rows + columns), info.size)
        else:
            assert form == (Everything() if info.size else Nothing())


def test_the_product_of_the_factors_is_added():
    rng = np.random.default_rng(0)
    weight, a, b = rng.normal(size=KERNEL), rng.normal(size=(36, 2)), rng.normal(size=(2, 8))
    compact = np.concatenate([a.ravel(), b.ravel()])
    expected = weight + (a @ b).reshape(KERNEL)
    np.testing.assert_allclose(forms.put(FORM, weight, compact), expected)
    # Outputs before the inputs, as in a transposed convolution.
    other = LowRank(2, (0, 1, 3), 0.5, 7)
    found = forms.put(other, np.zeros((3, 3, 8, 4)), compact)
    np.testing.assert_allclose(found, 0.5 * np.swapaxes((a @ b).reshape(KERNEL), 2, 3))
    with pytest.raises(ValueError, match="must be of shape"):
        forms.put(FORM, weight, compact[1:])


def test_training_starts_from_the_frozen_kernel_and_random_factors():
    weight = np.random.default_rng(0).normal(size=KERNEL).astype("float32")
    start = forms.take(FORM, weight)
    np.testing.assert_array_equal(forms.put(FORM, weight, start), weight)
    a, bound = start[:72], np.sqrt(6 / 36)
    assert np.abs(a).max() <= bound and a.std() == pytest.approx(bound / np.sqrt(3), rel=0.2)
    assert not np.array_equal(forms.take(LowRank(2, (0, 1, 2), 1.0, 8), weight), start)


def test_seeds_of_factors_follow_from_the_seed_and_the_path():
    found = fs.lora(2).resolve(SMALL, fs.Context(seed=8))
    assert found == fs.lora(2, seed=8).resolve(SMALL) != fs.lora(2).resolve(SMALL)
    seeds = [form.seed for _, form in found.items() if isinstance(form, LowRank)]
    assert len(set(seeds)) == len(seeds) > 1
    scales = {f.scale for _, f in fs.lora(2, 3).resolve(SMALL).items() if isinstance(f, LowRank)}
    assert scales == {1.5}


def test_a_kernel_without_more_entries_than_factors_is_trained_as_a_whole():
    assert forms.canonical(LowRank(2, (0,), 1.0, 0), (4, 4)) == Everything()
    assert forms.canonical(LowRank(2, (0,), 1.0, 0), (5, 4)) == LowRank(2, (0,), 1.0, 0)
    assert forms.canonical(LowRank(2, (0,), 1.0, 0), (0, 4)) == Nothing()


@pytest.mark.parametrize(
    ("operation", "other", "expected"),
    [
        (forms.union, Everything(), Everything()),
        (forms.union, Nothing(), FORM),
        (forms.union, FORM, FORM),
        (forms.intersection, Everything(), FORM),
        (forms.intersection, Nothing(), Nothing()),
        (forms.difference, Everything(), Nothing()),
        (forms.difference, Nothing(), FORM),
    ],
)
def test_set_operations(operation, other, expected):
    assert operation(FORM, other, KERNEL) == expected
    if operation is not forms.difference:
        assert operation(other, FORM, KERNEL) == expected


PARTS = [
    Leading(3, 2),
    Mask(np.arange(288).reshape(KERNEL) < 5),
    Scales((2,), (3,)),
    LowRank(1, (0, 1, 2), 1.0, 7),
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("operation", [forms.union, forms.intersection])
def test_another_selection_of_the_same_kernel_is_refused(operation, part):
    for pair in ((FORM, part), (part, FORM)):
        with pytest.raises(ValueError, match="cannot be combined with"):
            operation(*pair, KERNEL)


@pytest.mark.parametrize(
    "text", ["~lora(2)", "everything() - lora(2)", "random(0.5, within=lora(2))"]
)
def test_entries_of_factors_are_refused(text):
    with pytest.raises(ValueError, match="`lora` changes whole kernels and selects no entries"):
        fs.parse(text).resolve(SMALL)


@pytest.mark.parametrize("fields", [(0, (0,)), (1, (1, 0)), (1, (-1,))], ids=str)
def test_fields_are_checked(fields):
    with pytest.raises(ValueError, match="`r` must be >= 1, and axes"):
        LowRank(*fields, 1.0, 0)
    with pytest.raises(ValueError, match="does not fit the shape"):
        forms.compact_shape(FORM, (3, 3))
