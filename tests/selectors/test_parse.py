"""Selectors are written as text and read again, compared, combined, and made from numbers."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frozenfit import selectors
from frozenfit.selectors import (
    Context,
    Layout,
    Selector,
    WeightInfo,
    as_selector,
    everything,
    filters,
    forms,
    head,
    kernels,
    layers,
    mask,
    parse,
    random,
    where,
)

# On a busy machine an example may take long, which is not a defect of the algebra.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

LAYOUT = Layout(
    (
        WeightInfo("stem/kernel", (2, 2, 1, 4), "stem", "Conv2D", "kernel", (3,), (2,), (0, 1)),
        WeightInfo("stem/bias", (4,), "stem", "Conv2D", "bias", (0,)),
        WeightInfo("block1_norm/gamma", (4,), "block1_norm", "BatchNormalization", "scale", (0,)),
        WeightInfo("block1_norm/beta", (4,), "block1_norm", "BatchNormalization", "offset", (0,)),
        WeightInfo("cell/rnn/kernel", (4, 8), "cell/rnn", "LSTMCell", "kernel", (1,), (0,), (), 4),
        WeightInfo("gain", (), "gain", "Gain", "other", ()),
        WeightInfo("out/kernel", (2, 3), "out", "Dense", "kernel", (1,), (0,)),
        WeightInfo("out/bias", (3,), "out", "Dense", "bias", (0,)),
    ),
    ("stem", "block1_norm", "cell/rnn", "gain", "out"),
    ("out",),
)
CONTEXT = Context(
    seed=5,
    values={info.path: np.arange(info.size).reshape(info.shape) for info in LAYOUT.weights},
    fisher=lambda: {info.path: np.ones(info.shape) for info in LAYOUT.weights},
)

shares = st.one_of(st.floats(0.001, 1), st.integers(1, 9))
seeds = st.one_of(st.none(), st.integers(0, 2**70))
plain = st.sampled_from(
    ["everything", "nothing", "head", "batch_norm", "norms", "biases", "kernels"]
).map(lambda name: getattr(selectors, name)())
cuts = st.builds(
    lambda name, p: getattr(selectors, name)(p),
    st.sampled_from("filters conv_filters inputs rows columns fisher magnitude".split()),
    shares,
)
masks = st.lists(st.booleans(), min_size=4, max_size=4).map(
    lambda bits: mask({"stem/bias": np.array(bits)})
)
leaves = st.one_of(
    plain,
    cuts,
    masks,
    st.builds(random, shares, seeds),
    st.builds(selectors.disjoint, st.floats(0.01, 0.25), st.integers(0, 3), st.just(4), seeds),
    st.builds(lambda p, n: filters(p, min_filters=n), shares, st.integers(0, 2)),
    st.sampled_from(
        [
            layers("stem", "*/bias"),
            selectors.block("block1"),
            head("stem", "rnn"),
            selectors.first(2),
            selectors.last(1),
            selectors.between("block1_norm", 4),
        ]
    ),
)


def _combined(inner: st.SearchStrategy) -> st.SearchStrategy:
    joins = [lambda a, b: a | b, lambda a, b: a & b, lambda a, b: a - b]
    return st.one_of(
        st.builds(lambda join, a, b: join(a, b), st.sampled_from(joins), inner, inner),
        inner.map(lambda a: ~a),
        inner.map(lambda a: a.on("*kernel", "cell")),
        st.builds(lambda p, a: random(p, within=a), shares, inner),
        st.builds(lambda p, a: selectors.magnitude(p, largest=False, within=a), shares, inner),
    )


any_selector = st.recursive(leaves, _combined, max_leaves=6)


def _masks(chosen: Selector) -> list[np.ndarray]:
    selection = chosen.resolve(LAYOUT, CONTEXT, allow_empty=True)
    return [forms.to_mask(selection[info.path], info.shape) for info in LAYOUT.weights]


@given(any_selector)
def test_the_text_of_a_selector_is_parsed_to_an_equal_one(chosen):
    assert parse(str(chosen)) == chosen
    assert repr(chosen) == str(chosen)


@given(any_selector)
def test_a_selector_can_be_written_as_json(chosen):
    again = Selector.from_json(json.loads(json.dumps(chosen.to_json())))
    assert again == chosen and hash(again) == hash(chosen)


@given(st.text(min_size=1))
def test_the_text_of_any_layer_name_is_parsed(name):
    assert parse(str(layers(name))) == layers(name)


@given(any_selector, any_selector)
def test_the_algebra_of_selectors_is_that_of_masks(a, b):
    for left, right, union, both, without in zip(
        _masks(a), _masks(b), _masks(a | b), _masks(a & b), _masks(a - b), strict=True
    ):
        assert np.array_equal(union, left | right)
        assert np.array_equal(both, left & right)
        assert np.array_equal(without, left & ~right)


@given(any_selector)
def test_the_complement_selects_all_other_parameters(chosen):
    for own, other in zip(_masks(chosen), _masks(~chosen), strict=True):
        assert np.array_equal(other, ~own)


@given(any_selector)
def test_a_restriction_selects_the_same_in_the_weights_that_match(chosen):
    for info, own, kept in zip(
        LAYOUT.weights, _masks(chosen), _masks(chosen.on("stem")), strict=True
    ):
        assert np.array_equal(kept, own if info.layer == "stem" else np.zeros_like(own))


@given(any_selector)
def test_resolving_twice_returns_equal_selections(chosen):
    first = chosen.resolve(LAYOUT, CONTEXT, allow_empty=True)
    assert first == chosen.resolve(LAYOUT, CONTEXT, allow_empty=True)


@pytest.mark.parametrize(
    "text",
    [
        "filters(0.1) | head()",
        '(filters(0.1) | head()) & layers("block1_*", \'it"s\')',
        "everything() - (norms() - batch_norm())",
        "~(filters(3) & kernels())",
        '(~filters(3)).on("a", "b")',
        '~filters(3).on("a")',
        "filters(0.07, min_filters=0)",
        "random(0.1, seed=3, within=kernels() | head())",
        "magnitude(0.1, largest=False)",
        'between(0, "out")',
    ],
)
def test_parentheses_are_written_only_where_they_are_needed(text):
    assert str(parse(text)) == text


def test_whitespace_around_the_text_is_ignored():
    assert parse("  filters(0.1)\n") == filters(0.1)


def test_one_filter_is_not_all_filters():
    assert filters(1) != filters(1.0)
    assert parse("filters(1)") == filters(1) and parse("filters(1.0)") == filters(1.0)


def test_numpy_numbers_become_python_numbers():
    assert filters(np.float64(0.5)) == filters(0.5)
    five: Any = np.int64(5)
    assert str(filters(five)) == "filters(5)"


@pytest.mark.parametrize("again", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copied_or_pickled_selector_is_equal(again):
    chosen = (filters(0.1) | mask({"out/bias": np.array([1, 0, 1])})).on("out")
    assert again(chosen) == chosen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filter(0.1)", "filters"),
        ("filters(0.1", "cannot be read"),
        ("", "cannot be read"),
        ("filters", "neither a selector call nor"),
        ("0.1", "neither a selector call nor"),
        ("filters(0.1) or head()", "neither a selector call nor"),
        ("filters(0.1) + head()", "neither a selector call nor"),
        ("filters(1.5)", r"float in \(0, 1\]"),
        ("filters(-1)", "int >= 1"),
        ("filters()", "missing"),
        ("filters(0.1, size=3)", "size"),
        ("filters(*[0.1])", "not a valid argument"),
        ("filters(**{})", "not supported in a selector"),
        ("filters(p)", "not a valid argument"),
        ("layers(__import__('os').sep)", "not a valid argument"),
        ("__import__('os').system('true')", "There is no selector"),
        ("filters(0.1).resolve(3)", "There is no selector"),
        ("layers()", "at least one name"),
        ("where(f)", "in Python"),
        ("parse('head()')", "There is no selector 'parse'"),
        ("random(0.1, within=3)", "`within` of `random` must be a selector"),
        ("head() | 3", "neither a selector call nor"),
        ("[head() for x in y]", "neither a selector call nor"),
        ("head()\0", "cannot be read"),
        ("(" * 5000, "cannot be read"),
        ("~" * 20000 + "head()", "cannot be read"),
        ("head()" + " | head()" * 20000, "cannot be read"),
    ],
)
def test_a_text_that_is_not_a_selector_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_results_in_a_selector_or_a_value_error(text):
    try:
        assert isinstance(parse(text), Selector)
    except ValueError:
        pass


@pytest.mark.parametrize(
    "value",
    [
        "mask({})",
        'mask({"a": ((3,), "")})',
        'mask({"a": ((3,), "oA==oA==")})',
        'mask({"a": ((3,), "//==")})',
        'mask({"a": ((-3,), "oA==")})',
        'mask({"a": ((True,), "oA==")})',
        'mask({"a": ((3,), "o!==")})',
        'mask({"a": ((1000000000000,), "oA==")})',
        'mask({"a": (3, "oA==")})',
        "mask({3: ((3,), 'oA==')})",
        'mask(["a"])',
    ],
)
def test_a_damaged_mask_is_refused(value):
    with pytest.raises(ValueError, match="mask"):
        parse(value)


def test_a_mask_of_a_large_kernel_is_read_back():
    chosen = np.random.default_rng(0).random((784, 200)) < 0.01
    selector = mask({"dense1/kernel": chosen}) & kernels() | head()
    assert len(str(selector)) > 20_000 and selector.storable
    assert parse(str(selector)) == selector


@pytest.mark.parametrize("value", [b"head()", 3, None, ["head()"]])
def test_only_a_string_is_parsed(value):
    with pytest.raises(TypeError, match="string"):
        Selector.from_json(value)


def _no_weight(info: WeightInfo) -> None:
    return None


def test_a_function_cannot_be_stored_and_the_error_names_alternatives():
    chosen = head() | where(_no_weight)
    assert not chosen.storable and (head() | filters(2)).storable
    with pytest.raises(ValueError, match="storable selector"):
        chosen.to_json()


def test_a_function_in_within_cannot_be_stored_either():
    assert not random(0.1, within=where(_no_weight)).storable


def test_where_prints_the_name_of_its_function():
    assert str(where(_no_weight)) == "where(_no_weight)"


@pytest.mark.parametrize("p", [0.1, 3, 1])
def test_a_number_selects_filters_head_and_batch_normalization(p):
    assert as_selector(p) == filters(p) | head() | selectors.batch_norm()


@pytest.mark.parametrize("value", [1.0, True, np.float32(1)])
def test_the_fraction_one_and_true_are_everything(value):
    assert as_selector(value) == everything()


def test_a_string_is_parsed_and_a_selector_is_returned_unchanged():
    assert as_selector("head()") == head()
    chosen = filters(0.2)
    assert as_selector(chosen) is chosen


@pytest.mark.parametrize("value", [0, -1, 0.0, 1.5, float("nan"), float("inf"), False])
def test_a_number_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=rf"must be a float in \(0, 1\], .* got {value}\."):
        as_selector(value)


@pytest.mark.parametrize("value", [None, [0.1], 1j])
def test_any_other_type_of_value_is_refused(value):
    with pytest.raises(TypeError, match="must be a float"):
        as_selector(value)


def test_operators_accept_selectors_only():
    for join in (lambda: head() | 0.1, lambda: "head()" & head(), lambda: head() - None):  # type: ignore[operator]
        with pytest.raises(TypeError):
            join()
