"""Promises of a Selector, as a test class to derive from for each selector."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import numpy as np
import pytest
from selector_networks import NETWORKS

from frozenfit.selectors import (
    Context,
    Layout,
    Nothing,
    Selection,
    Selector,
    forms,
    kernels,
    parse,
    random,
)


def example_context(layout: Layout) -> Context:
    """Return a context with a seed, values and Fisher information for every weight."""
    rng = np.random.default_rng(0)
    values = {info.path: rng.normal(size=info.shape) for info in layout.weights}
    return Context(seed=5, values=values, fisher=lambda: {p: v**2 for p, v in values.items()})


class AnySelectorContract:
    """Promises of every selector, those that add parameters included.

    Derive a class with the fixture `selector`, as of `SelectorContract`.

    Attributes
    ----------
    networks : tuple of str
        Names in ``selector_networks.NETWORKS`` of the networks to which it can be applied.
    can_be_stored : bool
        Whether its text describes it, which is not the case for a Python function.
    invalid : tuple of str
        Texts with invalid arguments.
    """

    networks: tuple[str, ...] = tuple(NETWORKS)
    can_be_stored = True
    invalid: tuple[str, ...] = ()

    @pytest.fixture
    def selector(self) -> Selector:
        raise NotImplementedError("define a fixture `selector` in the derived class")

    def selections(self, *selectors: Selector) -> Iterator[tuple[Selection, ...]]:
        for name in self.networks:
            layout = NETWORKS[name]
            context = example_context(layout)
            yield tuple(each.resolve(layout, context, allow_empty=True) for each in selectors)

    def test_its_text_is_parsed_to_an_equal_selector(self, selector):
        assert repr(selector) == str(selector) and selector.storable is self.can_be_stored
        if not self.can_be_stored:
            with pytest.raises(ValueError, match="cannot be stored"):
                selector.to_json()
            return
        for again in (parse(str(selector)), Selector.from_json(selector.to_json())):
            assert again == selector and hash(again) == hash(selector)
        assert parse(str(~selector | selector)) == ~selector | selector

    def test_it_is_equal_to_its_copies_only(self, selector):
        for again in (copy.copy(selector), copy.deepcopy(selector)):
            assert again == selector and hash(again) == hash(selector)
        assert selector not in (~selector, selector | selector, str(selector), None)

    def test_it_can_be_pickled(self, selector):
        again = pickle.loads(pickle.dumps(selector))
        assert again == selector and hash(again) == hash(selector)

    def test_it_selects_something_in_one_of_the_networks(self, selector):
        assert any(selection.n_trainable for (selection,) in self.selections(selector))

    def test_resolving_twice_returns_equal_selections(self, selector):
        for first, second in self.selections(selector, copy.deepcopy(selector)):
            assert first == second and hash(first) == hash(second)

    def test_resolving_changes_neither_the_context_nor_the_global_random_state(self, selector):
        before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
        for name in self.networks:
            layout = NETWORKS[name]
            context, untouched = example_context(layout), example_context(layout)
            selector.resolve(layout, context, allow_empty=True)
            assert context.seed == untouched.seed
            for path, values in context.values.items():
                np.testing.assert_array_equal(values, untouched.values[path])
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]

    def test_a_restriction_selects_the_same_in_the_weights_that_match(self, selector):
        for (selection,) in self.selections(selector):
            layout = selection.layout
            context, glob = example_context(layout), layout.layers[0]
            restricted = selector.on(glob).resolve(layout, context, allow_empty=True)
            for info in layout.weights:
                expected = selection[info.path] if info.path in layout.match(glob) else Nothing()
                assert restricted[info.path] == expected

    def test_invalid_arguments_are_refused_in_one_line(self, selector):
        for text in self.invalid:
            with pytest.raises(ValueError) as caught:
                parse(text)
            assert "\n" not in str(caught.value), text


class SelectorContract(AnySelectorContract):
    """Derive a class with the fixture `selector`; pytest runs every promise on it.

    For example::

        class TestBudget(SelectorContract):
            invalid = ("budget(n=0)", "budget(n='a')")

            @pytest.fixture
            def selector(self):
                return Budget(500)
    """

    def test_counts_and_tables_agree_with_the_masks(self, selector):
        for (selection,) in self.selections(selector):
            masks = _masks(selection)
            counts = [int(mask.sum()) for mask in masks]
            assert [row.trainable for row in selection.table()] == counts
            assert selection.n_trainable == sum(counts) <= selection.total
            for info, count in zip(selection.layout.weights, counts, strict=True):
                compact = forms.compact_shape(selection[info.path], info.shape)
                assert selection.counts(info.path) == (count, info.size)
                assert int(np.prod(compact)) == count

    def test_its_forms_are_canonical(self, selector):
        for (selection,) in self.selections(selector):
            for info, mask in zip(selection.layout.weights, _masks(selection), strict=True):
                assert selection[info.path] == forms.from_mask(mask)

    @pytest.mark.parametrize("other", [kernels(), random(0.3, seed=1)], ids=str)
    def test_set_operations_are_those_of_the_masks(self, selector, other):
        joined = (selector | other, selector & other, selector - other, ~selector)
        for each in self.selections(selector, other, *joined):
            for own, second, union, both, without, inverse in zip(*map(_masks, each), strict=True):
                np.testing.assert_array_equal(union, own | second)
                np.testing.assert_array_equal(both, own & second)
                np.testing.assert_array_equal(without, own & ~second)
                np.testing.assert_array_equal(inverse, ~own)

    def test_the_laws_of_sets(self, selector):
        other = kernels()
        equal = [
            (selector | selector, selector),
            (selector & selector, selector),
            (~~selector, selector),
            (selector | other, other | selector),
            (~(selector | other), ~selector & ~other),
            (selector - other, selector & ~other),
        ]
        for pair in equal:
            for left, right in self.selections(*pair):
                assert left == right, pair
        for (empty,) in self.selections(selector & ~selector):
            assert set(empty.forms.values()) == {Nothing()}


def _masks(selection: Selection) -> list[np.ndarray]:
    return [forms.to_mask(selection[info.path], info.shape) for info in selection.layout.weights]
