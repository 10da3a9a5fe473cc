"""Masks of kernels: which entries are kept, the scores before training, and set operations."""

from __future__ import annotations

import numpy as np
import pytest
from selector_networks import NETWORKS, SMALL

from frozenfit import selectors as fs
from frozenfit.selectors import Everything, Leading, LowRank, Nothing, Scales, Supermask, forms

KERNEL = (3, 3, 4, 8)
FORM = Supermask(0.5, True, 7, 0.1)


@pytest.mark.parametrize("layout", NETWORKS.values(), ids=NETWORKS)
def test_every_kernel_has_a_score_for_each_entry(layout):
    selection = fs.supermask().resolve(layout, allow_empty=True)
    for info in layout.weights:
        if info.role == "kernel" and info.size:
            assert isinstance(selection[info.path], Supermask)
            assert selection.counts(info.path) == (info.size, info.size)
        else:
            assert selection[info.path] == Nothing()


@pytest.mark.parametrize(("keep", "count"), [(0.5, 144), (0.3, 86), (1e-9, 1), (0.999, 287)])
def test_a_fraction_of_the_entries_is_kept(keep, count):
    scores = np.random.default_rng(0).normal(size=KERNEL)
    kept = Supermask(keep, True, 0, 0.1).kept(scores)
    assert kept.sum() == count == Supermask(keep, True, 0, 0.1).count(KERNEL)
    assert scores[kept].min() > scores[~kept].max()


def test_the_first_of_equal_scores_are_kept():
    scores = np.array([0.0, 2, 1, 1, -0.0, 1, 1, 0])
    assert Supermask(0.5, True, 0, 0.1).kept(scores).nonzero()[0].tolist() == [1, 2, 3, 5]
    assert Supermask(0.75, True, 0, 0.1).kept(scores).nonzero()[0].tolist() == [0, 1, 2, 3, 5, 6]
    assert FORM.kept(np.zeros(6)).tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize("rescale", [True, False])
def test_kept_entries_have_their_frozen_values(rescale):
    weight, scores = np.random.default_rng(0).normal(size=(2, *KERNEL))
    form = Supermask(0.3, rescale, 7, 0.1)
    found = forms.put(form, weight, scores)
    kept = form.kept(scores)
    assert (found[~kept] == 0).all()
    np.testing.assert_allclose(found[kept], weight[kept] * (288 / 86 if rescale else 1))


def test_scores_start_at_random_values_or_at_magnitudes():
    weight = np.random.default_rng(0).normal(size=KERNEL).astype("float32")
    start = forms.take(FORM, weight)
    assert start.shape == KERNEL and np.abs(start).max() <= 0.1
    assert start.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.1)
    assert not np.array_equal(forms.take(Supermask(0.5, True, 8, 0.1), weight), start)
    magnitudes = forms.take(Supermask(0.5, True, None, 0.1), weight)
    np.testing.assert_array_equal(magnitudes, np.abs(weight))


def test_seeds_and_bounds_follow_from_the_seed_and_the_kernel():
    found = fs.supermask().resolve(SMALL, fs.Context(seed=8))
    assert found == fs.supermask(seed=8).resolve(SMALL) != fs.supermask().resolve(SMALL)
    masks = {p: form for p, form in found.items() if isinstance(form, Supermask)}
    assert len({form.seed for form in masks.values()}) == len(masks) > 1
    for path, form in masks.items():
        axes = {*SMALL[path].input_axes, *SMALL[path].spatial_axes}
        fan_in = np.prod([SMALL[path].shape[axis] for axis in axes])
        assert form.bound == pytest.approx(fan_in**-0.5)


@pytest.mark.parametrize(
    ("operation", "other", "expected"),
    [
        (forms.union, Everything(), Everything()),
        (forms.union, FORM, FORM),
        (forms.intersection, Everything(), FORM),
        (forms.intersection, Nothing(), Nothing()),
        (forms.difference, Everything(), Nothing()),
        (forms.difference, Nothing(), FORM),
    ],
)
def test_set_operations(operation, other, expected):
    assert operation(FORM, other, KERNEL) == expected


PARTS = [
    Leading(3, 2),
    Scales((2,), (3,)),
    LowRank(1, (0, 1, 2), 1.0, 7),
    Supermask(0.4, True, 7, 0.1),
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_another_selection_of_the_same_kernel_is_refused(part):
    for pair in ((FORM, part), (part, FORM)):
        for operation in (forms.union, forms.intersection):
            with pytest.raises(ValueError, match="cannot be combined with"):
                operation(*pair, KERNEL)


@pytest.mark.parametrize("text", ["~supermask()", "random(0.5, within=supermask())"])
def test_entries_of_masks_are_refused(text):
    with pytest.raises(ValueError, match="`supermask` changes whole kernels and selects no"):
        fs.parse(text).resolve(SMALL)


@pytest.mark.parametrize(("keep", "bound"), [(0.0, 0.1), (1.0, 0.1), (0.5, -1.0)])
def test_fields_are_checked(keep, bound):
    with pytest.raises(ValueError, match="`keep` must be between 0 and 1 and `bound`"):
        Supermask(keep, True, 0, bound)
