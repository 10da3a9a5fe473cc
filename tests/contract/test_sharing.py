"""Several models on one base leave each other and the base alone; deltas travel; models export."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from contract_networks import (
    NETWORKS,
    Custom,
    array,
    batches,
    build,
    data,
    flags,
    keras_fit,
    loss,
    run,
    same_bits,
    values,
)  # fmt: skip

from frozenfit import PartialModel
from frozenfit.partial import weights_of

PART = "random(0.3, seed=1) | head()"


def sgd():
    return keras.optimizers.SGD(0.05)


def trainable(model):
    return [array(v) for v in (*model.trainable_variables, *weights_of(model).state_variables)]


@pytest.mark.parametrize("loop", ["ours", "keras"])
def test_training_one_model_leaves_the_other_on_the_base_alone(loop):
    base = build("conv_norm")
    one, other = PartialModel(base, PART), PartialModel(base, "head()", freeze_statistics=False)
    before = trainable(other)
    x, _, _ = data("conv_norm")
    outputs = array(other(x[0], training=False))
    if loop == "ours":
        run(one, sgd(), "conv_norm")
    else:
        keras_fit(one, sgd(), "conv_norm")
    assert same_bits(before, trainable(other))
    np.testing.assert_array_equal(outputs, array(other(x[0], training=False)))
    run(other, sgd(), "conv_norm")
    assert any((a != b).any() for a, b in zip(before, trainable(other), strict=True))


def test_the_base_can_be_used_in_a_callback_while_a_model_on_it_trains():
    base = build("dense")
    other = PartialModel(base, PART)
    x, _, _ = data("dense")
    expected = [array(m(x[0], training=False)) for m in (base, other)]
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append([array(m(x[0], training=False)) for m in (base, other)])

    model = PartialModel(base, "head()")
    model.compile(sgd(), loss())
    inputs, targets = batches("dense")
    model.fit(inputs, targets, batch_size=8, verbose=0, callbacks=[Watch()])
    assert len(seen) == 3
    for found in seen:
        np.testing.assert_array_equal(found, expected)


def test_an_error_in_a_callback_leaves_the_base_usable():
    base = build("dense")
    before = values(base)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("enough")

    model = PartialModel(base, "head()")
    model.compile(sgd(), loss())
    inputs, targets = batches("dense")
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(inputs, targets, batch_size=8, verbose=0, callbacks=[Stop()])
    assert same_bits(before, values(base))


def test_freezing_a_partial_model_leaves_the_flags_of_the_base():
    base = build("dense")
    before = flags(base)
    model = PartialModel(base, PART)
    model.trainable = False
    assert model.trainable_variables == []
    assert flags(base) == before
    model.trainable = True
    assert len(model.trainable_variables) == 6


def test_as_a_layer_of_another_model_only_trainable_parameters_are_trained():
    base = build("dense")
    before = values(base)
    part = PartialModel(base, PART)
    inputs = keras.Input((6,))
    outer = keras.Model(inputs, part(inputs))
    assert len(outer.trainable_variables) == len(part.trainable_variables)
    start = [array(v) for v in part.trainable_variables]
    keras_fit(outer, keras.optimizers.AdamW(0.05, weight_decay=0.1), "dense")
    assert same_bits(before, values(base))
    assert all((a != array(v)).any() for a, v in zip(start, part.trainable_variables, strict=True))


def test_a_base_that_was_compiled_and_trained_does_not_mix_its_figures_in():
    base = build("dense")
    keras_fit(base, sgd(), "dense", metrics=["accuracy"])
    model = PartialModel(base, "everything()")
    plain = model.to_keras()
    inputs, targets = batches("dense")
    found = []
    for network in (model, plain):
        network.compile(sgd(), loss(), metrics=["accuracy"])
        history = network.fit(inputs, targets, batch_size=8, shuffle=False, verbose=0).history
        found.append([history["loss"][0], history["accuracy"][0]])
    np.testing.assert_allclose(*found, atol=1e-5)
    base.evaluate(inputs, targets, verbose=0)


@pytest.mark.parametrize("kind", ["conv_norm", "nested"])
def test_a_delta_taken_out_and_put_in_gives_the_same_outputs(kind):
    base = build(kind)
    trained, fresh = PartialModel(base, PART), PartialModel(base, PART)
    run(trained, sgd(), kind)
    fresh.load_delta(trained.delta())
    x, _, _ = data(kind)
    np.testing.assert_array_equal(
        array(fresh(x[0], training=False)), array(trained(x[0], training=False))
    )


def test_a_delta_is_a_copy_that_later_training_does_not_change():
    model = PartialModel(build("conv_norm"), PART, freeze_statistics=False)
    delta = model.delta()
    before = [v.copy() for v in (*delta.trained.values(), *delta.states.values())]
    run(model, sgd(), "conv_norm")
    assert same_bits(before, [*delta.trained.values(), *delta.states.values()])


def test_a_delta_of_another_subset_is_refused_and_nothing_is_assigned():
    base = build("dense")
    model, other = PartialModel(base, "head()"), PartialModel(base, "everything()")
    run(other, sgd(), "dense")
    before = trainable(model)
    with pytest.raises(ValueError, match="must have"):
        model.load_delta(other.delta())
    assert same_bits(before, trainable(model))


@pytest.mark.parametrize("kind", ["dense", "conv_norm", "nested", "shared", "attention", "lstm"])
def test_the_exported_model_is_plain_and_trains_on(kind):
    model = PartialModel(build(kind), PART)
    run(model, sgd(), kind)
    exported = model.to_keras()
    x, _, _ = data(kind)
    np.testing.assert_allclose(
        array(exported(x[0], training=False)), array(model(x[0], training=False)), atol=1e-6
    )
    assert sum(array(v).size for v in exported.trainable_variables) == model.selection.total


def test_a_subclassed_base_exports_with_rebuild_and_the_error_names_it():
    base = build("subclassed")
    with pytest.raises(ValueError, match="cannot be built again .* rebuild="):
        PartialModel(base, PART).to_keras()
    model = PartialModel(base, PART, rebuild=NETWORKS["subclassed"])
    x, _, _ = data("subclassed")
    np.testing.assert_allclose(
        array(model.to_keras()(x[0], training=False)), array(model(x[0], training=False)), atol=1e-6
    )


def test_a_rebuilt_network_of_other_size_is_refused():
    def wider():
        model = Custom(7)
        model(np.zeros((1, 5), "float32"))
        return model

    with pytest.raises(ValueError, match="`rebuild` must return a network with"):
        PartialModel(build("subclassed"), PART, rebuild=wider).to_keras()


def test_a_layer_the_user_froze_is_exported_with_its_values():
    base = build("dense")
    base.get_layer("a").trainable = False
    model = PartialModel(base, "head()")
    x, _, _ = data("dense")
    np.testing.assert_allclose(array(model.to_keras()(x[0])), array(model(x[0])), atol=1e-6)
