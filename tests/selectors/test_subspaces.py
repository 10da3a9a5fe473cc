"""Random subspaces: the places of weights in them, and their set operations."""

from __future__ import annotations

import pytest
from selector_networks import SMALL

from frozenfit import selectors as fs
from frozenfit.selectors import Everything, Leading, Nothing, Scales, Subspace, forms

FORM = Subspace(5, "sparse", 1)
SHAPE = (4, 6)


def places(selector):
    """Pairs of offset and total of the weights in subspaces, by path."""
    selection = fs.parse(selector).resolve(SMALL)
    return {p: (f.offset, f.total) for p, f in selection.items() if isinstance(f, Subspace)}


def test_the_weights_are_one_vector_and_the_first_stores_the_coordinates():
    selection = fs.subspace(7).resolve(SMALL)
    sizes = [info.size for info in SMALL.weights]
    expected = [(sum(sizes[:i]), sum(sizes)) for i in range(len(sizes))]
    assert list(places("subspace(7)").values()) == expected
    counts = [selection.counts(info.path)[0] for info in SMALL.weights]
    assert counts == [7, *[0] * (len(sizes) - 1)] and selection.n_trainable == 7
    assert [row.trainable for row in selection.table()] == counts


def test_weights_that_are_trained_whole_or_left_out_are_not_in_the_subspace():
    kernels = {info.path for info in SMALL.weights if info.role == "kernel"}
    assert set(places("subspace(7) & kernels()")) == kernels
    assert set(places("subspace(7) | kernels()")) == set(SMALL.paths) - kernels
    assert set(places("subspace(7) - kernels()")) == set(SMALL.paths) - kernels
    first = SMALL[SMALL.paths[0]].layer
    assert set(places(f"subspace(7).on({first!r})")) == set(SMALL.match(first))


def test_parts_with_equal_arguments_are_one_subspace_and_others_are_several():
    first, second = SMALL.paths[:2]
    both = SMALL[first].size + SMALL[second].size
    one = places(f"subspace(3, seed=1).on({first!r}) | subspace(3, seed=1).on({second!r})")
    assert one == {first: (0, both), second: (SMALL[first].size, both)}
    two = places(f"subspace(3, seed=1).on({first!r}) | subspace(3, seed=2).on({second!r})")
    assert two == {first: (0, SMALL[first].size), second: (0, SMALL[second].size)}


def test_a_seed_that_is_not_given_is_that_of_the_context():
    found = fs.subspace(3).resolve(SMALL, fs.Context(seed=8))
    assert found == fs.subspace(3, seed=8).resolve(SMALL)


@pytest.mark.parametrize(
    ("operation", "a", "b", "expected"),
    [
        (forms.union, FORM, Everything(), Everything()),
        (forms.union, Nothing(), FORM, FORM),
        (forms.union, FORM, FORM, FORM),
        (forms.intersection, FORM, Everything(), FORM),
        (forms.intersection, Nothing(), FORM, Nothing()),
        (forms.difference, FORM, Everything(), Nothing()),
        (forms.difference, FORM, Nothing(), FORM),
    ],
)
def test_set_operations(operation, a, b, expected):
    assert operation(a, b, SHAPE) == expected


@pytest.mark.parametrize("part", [Leading(1, 2), Scales((0,), (1,))], ids=str)
@pytest.mark.parametrize("operation", [forms.union, forms.intersection])
def test_parts_of_a_weight_in_a_subspace_are_refused(operation, part):
    for pair in ((FORM, part), (part, FORM)):
        with pytest.raises(ValueError, match="cannot be combined with a part or scales"):
            operation(*pair, SHAPE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("~subspace(3)", "selects no entries"),
        ("random(0.5, within=subspace(3))", "selects no entries"),
        ("subspace(3) | subspace(4)", "can be in one subspace"),
        ("subspace(1000000)", "`d` of `subspace` must be at most"),
    ],
)
def test_other_uses_are_refused(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        fs.parse(text).resolve(SMALL)
    assert "\n" not in str(caught.value)


def test_the_form_checks_its_fields():
    for fields in ((0, "dense", 0), (1, "normal", 0)):
        with pytest.raises(ValueError, match="must be an int >= 1 and `projection`"):
            Subspace(*fields)
