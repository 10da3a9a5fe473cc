"""PartialModel as a Keras model: saved, loaded, cloned, exported, nested, with any inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from contract_networks import BATCH, Custom, array, batches, build, keras_fit, loss, values
from keras import layers as kl

from frozenfit import PartialModel, PartialNetClassifier

ROOT = Path(__file__).resolve().parents[1]
PART = "random(0.3, seed=1) | head()"
# What users need beside the names of Keras, and the options of the constructor by `get_config`.
OWN = {
    *("base", "selection", "delta", "load_delta", "assembled", "parameter_table"),
    *("to_keras", "thin_model"),
    *("stored_statistics", "input_shape", "output_shape"),  # the last two as Functional models
}


def trained(kind="dense", part=PART, **options) -> PartialModel:
    model = PartialModel(build(kind), part, **options)
    keras_fit(model, keras.optimizers.Adam(0.01), kind, metrics=["accuracy"])
    return model


def reload(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def expect_equal(one, other, kind) -> None:
    x, _ = batches(kind)
    np.testing.assert_array_equal(array(one(x)), array(other(x)))


def test_the_public_names_are_those_of_keras_and_what_users_need():
    names = {n for n in set(dir(PartialModel)) - set(dir(keras.Model)) if not n.startswith("_")}
    assert names == OWN


@pytest.mark.parametrize(
    ("kind", "frozen"),
    [("dense", "keep"), ("conv_norm", "random"), ("nested", "zero"), ("lstm", "random")],
)
def test_a_saved_model_is_loaded_whole_and_trains_on(kind, frozen, tmp_path):
    model = trained(kind, frozen=frozen, seed=3)
    loaded = reload(model, tmp_path)
    assert type(loaded) is PartialModel
    expect_equal(model, loaded, kind)
    assert loaded.parameter_table() == model.parameter_table()
    assert loaded.get_config()["selector"] == PART
    x, y = batches(kind)
    results = [m.evaluate(x, y, verbose=0, return_dict=True) for m in (model, loaded)]
    assert results[0].keys() == results[1].keys() == {"loss", "accuracy"}
    for each in (model, loaded):  # by the same optimizer, at the same step
        each.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    assert int(array(loaded.optimizer.iterations)) == int(array(model.optimizer.iterations))
    np.testing.assert_allclose(array(loaded(x)), array(model(x)), atol=1e-6)


def test_positions_that_depend_on_values_are_those_of_the_saved_model(tmp_path):
    base = build("dense")
    explicit = PartialModel(base, "magnitude(0.2)").selection
    for number, part in enumerate(("magnitude(0.2)", explicit)):
        model = PartialModel(base, part)
        loaded = reload(model, tmp_path)
        expect_equal(model, loaded, "dense")
        assert dict(loaded.selection.items()) == dict(model.selection.items()), number


def test_weights_are_loaded_into_a_model_on_other_values(tmp_path):
    model = trained()
    model.save_weights(tmp_path / "model.weights.h5")
    other = PartialModel(build("dense", seed=8), PART)
    other.load_weights(tmp_path / "model.weights.h5")
    expect_equal(model, other, "dense")
    clone = keras.models.clone_model(model)
    x, _ = batches("dense")
    assert (array(clone(x)) != array(model(x))).any()
    clone.set_weights(model.get_weights())
    expect_equal(model, clone, "dense")


def test_loading_weights_of_the_same_base_leaves_it_and_other_models_as_they_are(tmp_path):
    base = build("dense")
    before = values(base)
    model, sibling = PartialModel(base, PART), PartialModel(base, "head()")
    keras_fit(model, "sgd", "dense")
    x, _ = batches("dense")
    outputs = array(sibling(x))
    model.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(array(sibling(x)), outputs)
    for old, new in zip(before, values(base), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("weights_only", [True, False])
def test_the_best_epoch_is_restored_from_a_checkpoint(weights_only, tmp_path):
    path = tmp_path / ("best.weights.h5" if weights_only else "best.keras")
    seen = {}

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen[logs["loss"]] = array(self.model(x))

    checkpoint = keras.callbacks.ModelCheckpoint(
        path, monitor="loss", save_best_only=True, save_weights_only=weights_only
    )
    x, y = batches("dense")
    model = PartialModel(build("dense"), PART)
    model.compile(keras.optimizers.SGD(3.0), loss())
    model.fit(x, y, epochs=3, shuffle=False, verbose=0, callbacks=[Watch(), checkpoint])
    if weights_only:
        model.load_weights(path)
    else:
        model = keras.models.load_model(path)
    np.testing.assert_allclose(array(model(x)), seen[min(seen)], atol=1e-6)


def test_early_stopping_restores_the_best_weights():
    x, y = batches("dense")
    model = PartialModel(build("dense"), PART)
    start = [array(v) for v in model.trainable_variables]
    stop = keras.callbacks.EarlyStopping(
        monitor="loss", mode="max", start_from_epoch=0, patience=1, restore_best_weights=True
    )
    model.compile(keras.optimizers.SGD(0.1), loss())
    history = model.fit(x, y, epochs=5, shuffle=False, verbose=0, callbacks=[stop]).history
    assert len(history["loss"]) == 2
    once = PartialModel(build("dense"), PART)
    once.compile(keras.optimizers.SGD(0.1), loss())
    once.fit(x, y, epochs=1, shuffle=False, verbose=0)
    assert any((a != array(v)).any() for a, v in zip(start, model.trainable_variables, strict=True))
    np.testing.assert_allclose(array(model(x)), array(once(x)), atol=1e-6)


def test_layers_shapes_and_counts_are_those_of_the_network():
    model = PartialModel(build("conv_norm"), "head()")
    assert [layer.name for layer in model.layers] == [layer.name for layer in model.base.layers]
    assert model.get_layer("out") is model.base.get_layer("out")
    assert (model.input_shape, model.output_shape) == ((None, 6, 6, 2), (None, 3))
    assert model.count_params() == model.base.count_params() == 267
    printed = []
    model.summary(print_fn=printed.append)
    text = "\n".join(printed)
    for line in ("Total params: 267", "\n Trainable params: 15", "Non-trainable params: 252"):
        assert line in text
    assert text.count("params:") == 3
    assert "block1_conv" in text


def test_a_base_that_is_compiled_is_saved_as_a_network_alone(tmp_path):
    base = build("dense")
    keras_fit(base, "adam", "dense")
    model = PartialModel(base, PART)
    assert "compile_config" not in model.get_config()["base"]
    expect_equal(model, reload(model, tmp_path), "dense")


@keras.saving.register_keras_serializable(package="test_partial_model")
def custom_network():
    network = Custom(6)
    network(np.zeros((1, 5), "float32"))
    return network


def test_a_base_without_a_configuration_is_saved_as_its_recipe(tmp_path):
    base = build("subclassed")
    with pytest.raises(ValueError, match="has no Keras configuration. Implement its get_config"):
        PartialModel(base, PART).save(tmp_path / "model.keras")
    model = PartialModel(base, PART, rebuild=custom_network)
    keras_fit(model, "sgd", "subclassed")
    loaded = reload(model, tmp_path)
    expect_equal(model, loaded, "subclassed")
    expect_equal(loaded, loaded.to_keras(), "subclassed")


@pytest.mark.parametrize("frozen", ["random", "zero"])
def test_the_model_of_an_estimator_is_saved_whole(frozen, tmp_path):
    X, y = np.random.default_rng(0).normal(size=(12, 4)).astype("float32"), np.arange(12) % 3
    clf = PartialNetClassifier("mlp", trainable=0.1, frozen=frozen, epochs=1, random_state=0)
    model = clf.fit(X, y).model_
    loaded = reload(model, tmp_path)
    np.testing.assert_allclose(array(loaded(X)), array(model(X)), atol=1e-6)
    assert dict(loaded.selection.items()) == dict(model.selection.items())


def test_as_a_layer_it_is_saved_with_its_base(tmp_path):
    part = PartialModel(build("dense"), PART, frozen="random", name="part")
    inputs = keras.Input((6,))
    outer = keras.Model(inputs, kl.Dense(3, name="last")(part(inputs)))
    keras_fit(outer, "sgd", "dense")
    loaded = reload(outer, tmp_path)
    expect_equal(outer, loaded, "dense")
    keras_fit(loaded, "sgd", "dense")
    assert len(loaded.trainable_variables) == len(part.trainable_variables) + 2


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="a SavedModel is TensorFlow's")
@pytest.mark.parametrize("nested", [False, True])
def test_a_saved_model_computes_the_same_after_fit(nested, tmp_path):
    import tensorflow as tf

    model = trained()
    if nested:
        inputs = keras.Input((6,))
        model = keras.Model(inputs, model(inputs))
    model.export(str(tmp_path / "served"), verbose=False)
    x, _ = batches("dense")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    served = loaded.serve(x.astype("float32"))
    np.testing.assert_allclose(np.asarray(served), array(model(x)), atol=1e-6)


def two_by_two(named: bool) -> keras.Model:
    inputs = {name: keras.Input((4,), name=name) for name in ("left", "right")}
    x = kl.Concatenate(name="both")(list(inputs.values()))
    x = kl.Dense(6, "tanh", name="hidden")(x)
    outputs = {name: kl.Dense(2, name=name)(x) for name in ("up", "down")}
    if named:
        return keras.Model(inputs, outputs)
    return keras.Model(list(inputs.values()), list(outputs.values()))


@pytest.mark.parametrize("named", [True, False])
def test_several_inputs_and_outputs(named, tmp_path):
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(16, 4)).astype("float32") for name in ("left", "right")}
    y = {name: rng.normal(size=(16, 2)).astype("float32") for name in ("up", "down")}
    x, y = (x, y) if named else (list(x.values()), list(y.values()))
    base = two_by_two(named)
    model = PartialModel(base, "filters(0.5) | head()")
    assert model.parameter_table()[-1].trainable > 0
    plain = PartialModel(base, 1.0).to_keras()
    for network in (model, plain):
        network.compile("sgd", "mse")
        network.fit(x, y, verbose=0)
    loaded = reload(model, tmp_path)
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_array_equal(array(a), array(b)), model(x), loaded(x)
    )
    assert keras.tree.map_structure(lambda t: tuple(t.shape), model(x)) == (
        {"up": (16, 2), "down": (16, 2)} if named else [(16, 2), (16, 2)]
    )
    if not named:
        assert model.input_shape == [(None, 4), (None, 4)]


def test_estimators_refuse_several_inputs_and_name_partial_model():
    with pytest.raises(ValueError, match="one input and one output .* 2 and 2.* PartialModel"):
        PartialNetClassifier(two_by_two(False), epochs=1).fit(np.zeros((4, 4)), [0, 1, 0, 1])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_trained_parameters_exact_in_a_file(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        model = trained("conv_norm", freeze_statistics=False)
        assert {v.dtype for v in model.trainable_variables} == {"float32"}
        loaded = reload(model, tmp_path)
        assert loaded.dtype_policy.name == policy
        expect_equal(model, loaded, "conv_norm")
        for ours, theirs in zip(model.assembled(), loaded.assembled(), strict=True):
            np.testing.assert_array_equal(ours[1], theirs[1])
    finally:
        keras.config.set_dtype_policy("float32")


DEVICES = """
import sys
import jax, keras, numpy as np
from frozenfit import PartialModel
from frozenfit.layers import Partial

many = sys.argv[1] == "many"
assert len(jax.devices()) == 4
if many:
    keras.distribution.set_distribution(keras.distribution.DataParallel())
keras.utils.set_random_seed(0)
base = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu", name="a"),
                         keras.layers.BatchNormalization(name="norm"),
                         keras.layers.Dense(3, name="out")])
model = PartialModel(base, "random(0.3, seed=1) | head() | batch_norm()", frozen="random")
layer = Partial(keras.layers.Dense(8, "relu", name="b"), "filters(0.5)")
other = keras.Sequential([keras.Input((6,)), layer, keras.layers.Dense(3)])
rng = np.random.default_rng(0)
x, y = rng.normal(size=(32, 6)).astype("float32"), rng.normal(size=(32, 3)).astype("float32")
for each in (model, other):
    each.compile("sgd", "mse")
    each.fit(x, y, batch_size=16, shuffle=False, epochs=2, verbose=0)
    print([round(float(v), 4) for v in np.asarray(each.predict(x[:16], verbose=0)).ravel()])
"""


@pytest.mark.skipif(keras.config.backend() != "jax", reason="Keras distributes on JAX")
def test_data_parallel_training_on_four_devices_equals_that_on_one():
    flags = "--xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
    printed = []
    for mode in ("many", "one"):
        command = [sys.executable, "-c", DEVICES, mode]
        run = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stderr
        printed.append([eval(line) for line in run.stdout.splitlines()])
    for many, one in zip(*printed, strict=True):
        np.testing.assert_allclose(many, one, atol=2e-4)
