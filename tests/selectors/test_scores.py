"""Parameters are selected at random, by score or by masks, exactly and repeatably."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from selector_networks import (
    SMALL,
    bias_layer,
    network,
)

from frozenfit.layout import Survey
from frozenfit.selectors import (
    Context,
    Everything,
    Indices,
    Leading,
    Mask,
    Nothing,
    biases,
    disjoint,
    everything,
    filters,
    fisher,
    forms,
    head,
    kernels,
    magnitude,
    mask,
    movement,
    random,
    where,
)
from frozenfit.utils.arrays import to_numpy


def _forms(chosen, layout=SMALL, context=None):
    return chosen.resolve(layout, context).forms


def _selected(chosen, layout=SMALL, context=None):
    """Return the weights with trainable parameters."""
    return [path for path, form in _forms(chosen, layout, context).items() if form != Nothing()]


@pytest.mark.parametrize("p", [0.1, 7])
def test_random_selects_the_exact_fraction_of_every_weight(p):
    selection = random(p, seed=1).resolve(SMALL)
    for info in SMALL.weights:
        share = min(p, info.size) if p == 7 else max(1, int(p * info.size + 1e-9))
        assert selection.counts(info.path)[0] == share


def test_random_positions_are_the_same_on_every_machine():
    layout = network([bias_layer("b", 12, "Dense")], heads=())
    assert _forms(random(4, seed=0), layout)["b/bias"] == Indices(0, (0, 3, 5, 8))


def test_random_differs_by_seed_and_by_weight():
    one, other = (_forms(random(0.5, seed=seed)) for seed in (1, 2))
    assert one["conv1/bias"] != other["conv1/bias"]
    assert one["block1_norm/gamma"] != one["block1_norm/beta"]


def test_random_without_a_seed_uses_the_seed_of_the_context():
    assert _forms(random(0.5), context=Context(seed=4)) == _forms(random(0.5, seed=4))
    assert _forms(random(0.5), context=Context(seed=4)) != _forms(random(0.5))


def test_random_does_not_change_the_global_stream():
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    random(0.5).resolve(SMALL)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]


def test_random_within_selects_the_fraction_of_the_part():
    selection = random(0.5, seed=1, within=filters(0.1)).resolve(SMALL)
    assert selection.counts("block10_dense/kernel")[0] == 60
    outside = selection["block10_dense/kernel"], Leading(1, 4)
    assert forms.difference(*outside, (30, 40)) == Nothing()
    assert selection["head/kernel"] == Nothing()


def test_a_larger_random_fraction_contains_a_smaller_one():
    assert (random(0.1, seed=2) - random(0.3, seed=2)).resolve(
        SMALL, allow_empty=True
    ).n_trainable == 0


def test_disjoint_parts_share_no_parameter_and_cover_the_weight():
    parts = [disjoint(0.25, part, 4, seed=3) for part in range(4)]
    counts = [part.resolve(SMALL).counts("block10_dense/kernel")[0] for part in parts]
    assert counts == [300] * 4
    whole = np.sum([forms.to_mask(_forms(part)["conv1/bias"], (20,)) for part in parts], axis=0)
    assert whole.tolist() == [1] * 20


def test_disjoint_parts_stay_disjoint_in_a_weight_with_fewer_parameters_than_parts():
    taken = [_forms(disjoint(0.2, part, 5, seed=3))["head/bias"] for part in range(5)]
    assert np.sum([forms.to_mask(form, (3,)) for form in taken], axis=0).tolist() == [1, 1, 1]


VALUES = {info.path: np.linspace(-1, 2, info.size).reshape(info.shape) for info in SMALL.weights}


def test_magnitude_selects_the_largest_values_of_each_kernel():
    chosen = _forms(magnitude(0.1), context=Context(values=VALUES))
    assert _selected(magnitude(0.1), context=Context(values=VALUES)) == _selected(kernels())
    trainable = forms.to_mask(chosen["head/kernel"], (40, 3)).ravel()
    assert trainable.tolist() == [False] * 108 + [True] * 12


def test_magnitude_can_select_the_smallest_values():
    chosen = _forms(magnitude(1, largest=False), context=Context(values=VALUES))
    smallest = np.abs(VALUES["head/kernel"]).ravel().argmin()
    assert forms.to_mask(chosen["head/kernel"], (40, 3)).ravel().argmax() == smallest


def test_magnitude_within_selects_the_fraction_of_the_part():
    chosen = magnitude(0.5, within=biases()).resolve(SMALL, Context(values=VALUES))
    assert chosen.counts("conv1/bias") == (10, 20) and chosen.counts("conv1/kernel")[0] == 0


def test_equal_scores_are_selected_in_order():
    same = {path: np.ones_like(values) for path, values in VALUES.items()}
    chosen = _forms(magnitude(3, within=everything()), context=Context(values=same))
    assert chosen["conv1/bias"] == Leading(0, 3)


def _sequential():
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((4, 3)), layers.LSTM(2, name="lstm"), layers.Dense(3, name="out")], name="net"
    )


def _convolutions():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="out"),
        ]
    )


def _two_weights_of_one_path():
    inputs = keras.Input((2,))
    outputs = []
    for name in ("a", "b"):
        x = keras.Input((2,))
        outputs.append(keras.Model(x, keras.layers.Dense(3, name="k")(x), name=name)(inputs))
    return keras.Model(inputs, keras.layers.Add()(outputs))


@pytest.mark.parametrize("build", [_sequential, _convolutions, _two_weights_of_one_path])
def test_a_keras_model_is_read_under_the_paths_of_its_layout(build):
    model, trained = build(), build()
    survey = Survey(model)
    values = {path: to_numpy(variable) for path, variable in survey.trainable.items()}
    expected = _selected(magnitude(0.3), survey.layout, Context(values=values))
    chosen = magnitude(0.3, of=model)
    assert _selected(chosen, survey.layout) == expected
    assert _forms(chosen, survey.layout) == _forms(magnitude(0.3, of=values), survey.layout)
    for number, variable in enumerate(Survey(trained).trainable.values()):
        variable.assign(variable * 0 + number)
    after = {path: np.full_like(v, n) for n, (path, v) in enumerate(values.items())}
    moved = movement(0.3, model, trained)
    assert moved == movement(0.3, values, after)
    assert moved.resolve(survey.layout).n_trainable


def test_magnitude_of_another_network_is_a_mask_of_its_kernels():
    expected = _forms(magnitude(0.1), context=Context(values=VALUES))
    assert _forms(magnitude(0.1, of=VALUES)) == expected


def test_movement_selects_what_changed_most():
    end = {path: values.copy() for path, values in VALUES.items()}
    end["conv1/bias"][7] -= 3
    chosen = movement(1, VALUES, end).on("conv1/bias")
    assert _forms(chosen)["conv1/bias"] == Indices(0, (7,))


def test_movement_compares_one_network_at_two_times():
    with pytest.raises(ValueError, match="same network twice"):
        movement(0.1, {"a": np.ones(3)}, {"a": np.ones(4)})
    with pytest.raises(ValueError, match="same network twice"):
        movement(0.1, {"a": np.ones(3)}, {})


def test_fisher_ranks_all_weights_together():
    scores = {info.path: np.zeros(info.shape) for info in SMALL.weights}
    scores["head/bias"][:] = 5
    scores["conv1/bias"][3] = 9
    context = Context(fisher=lambda: scores)
    assert _selected(fisher(4), context=context) == ["conv1/bias", "head/bias"]
    total = everything().resolve(SMALL).total
    assert fisher(0.005).resolve(SMALL, context).n_trainable == int(0.005 * total)


def test_fisher_within_selects_the_fraction_of_the_part():
    context = Context(fisher=lambda: {path: np.abs(array) for path, array in VALUES.items()})
    selection = fisher(0.5, within=head()).resolve(SMALL, context)
    assert selection.n_trainable == 61 and _selected(
        fisher(0.5, within=head()), context=context
    ) == [
        "head/kernel",
        "head/bias",
    ]


def test_missing_scores_are_reported():
    with pytest.raises(ValueError, match="needs the values of the base"):
        magnitude(0.1).resolve(SMALL)
    with pytest.raises(ValueError, match="needs Fisher information"):
        fisher(0.1).resolve(SMALL)
    with pytest.raises(ValueError, match="got no values for"):
        magnitude(0.1).resolve(SMALL, Context(values={}))


def test_scores_of_another_shape_or_with_nan_are_refused():
    with pytest.raises(ValueError, match="array of the weight's shape"):
        magnitude(0.1).resolve(SMALL, Context(values={**VALUES, "conv1/kernel": np.ones(3)}))
    with pytest.raises(ValueError, match="must not be nan"):
        magnitude(0.1, of={"a": np.array([1.0, np.nan])})


def test_mask_selects_exactly_its_parameters():
    chosen = np.zeros((40, 3), dtype=bool)
    chosen[[1, 5], [2, 0]] = True
    assert _forms(mask({"head/kernel": chosen}))["head/kernel"] == Mask(chosen)
    assert mask({"head/kernel": chosen.astype(int)}) == mask({"head/kernel": chosen})


def test_a_mask_of_another_shape_than_its_weight_is_refused():
    with pytest.raises(ValueError, match="of the weight's shape"):
        mask({"head/bias": np.ones(4, bool)}).resolve(SMALL)


def test_where_selects_what_its_function_returns():
    def pick(info):
        picked = np.zeros(info.shape, dtype=bool)
        picked[..., -1] = True
        return {"conv1/kernel": 3, "conv1/bias": "all", "head/kernel": picked}.get(info.path)

    chosen = _forms(where(pick))
    assert chosen["conv1/kernel"] == Leading(3, 3) and chosen["conv1/bias"] == Everything()
    assert chosen["head/kernel"] == Indices(1, (2,)) and chosen["head/bias"] == Nothing()


@pytest.mark.parametrize("answer", [True, -1, 0.5, "some", np.ones(7, bool), np.ones((40, 3))])
def test_where_refuses_any_other_answer(answer):
    with pytest.raises(ValueError, match="must return None"):
        where(lambda info: answer).resolve(SMALL)
