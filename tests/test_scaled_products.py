"""Scales of kernels equal multiplications around plain Keras layers, on every path."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from frozenfit import PartialModel, slices
from frozenfit.layers import Partial
from frozenfit.partial import weights_of

# Products are rounded to 32 bits, on torch also those of 64.
EXACT = {"rtol": 1e-4, "atol": 1e-5}
IMAGES, SERIES, ROWS, TOKENS = (7, 7, 6), (9, 6), (6,), (5, 6)

# Layers whose scales act on activations, and layers whose scales act on the kernel.
ON_ACTIVATIONS = {
    "dense": (ROWS, lambda: kl.Dense(8, "tanh")),
    "dense of tokens": (TOKENS, lambda: kl.Dense(8, use_bias=False)),
    "einsum": (TOKENS, lambda: kl.EinsumDense("abc,cde->abde", (5, 4, 4), bias_axes="de")),
    "einsum with ellipsis": (TOKENS, lambda: kl.EinsumDense("...b,bc->...c", (8,), "tanh")),
    "einsum of each position": (TOKENS, lambda: kl.EinsumDense("abc,bcd->abd", (5, 8))),
    "conv1d": (SERIES, lambda: kl.Conv1D(8, 3, activation="tanh")),
    "conv1d causal": (SERIES, lambda: kl.Conv1D(8, 3, padding="causal", dilation_rate=2)),
    "conv2d": (IMAGES, lambda: kl.Conv2D(8, 3, activation="tanh")),
    "conv2d strided": (IMAGES, lambda: kl.Conv2D(8, 3, strides=2, padding="same")),
    "conv3d": ((4, 4, 4, 6), lambda: kl.Conv3D(8, 2)),
}
ON_KERNELS = {
    "conv2d in groups": (IMAGES, lambda: kl.Conv2D(8, 3, groups=2)),
    "conv2d transposed": (IMAGES, lambda: kl.Conv2DTranspose(8, 3)),
    "depthwise": (IMAGES, lambda: kl.DepthwiseConv2D(3, depth_multiplier=2)),
    "separable": (IMAGES, lambda: kl.SeparableConv2D(8, 3)),
    "lstm": (TOKENS, lambda: kl.LSTM(4)),
    "gru": (TOKENS, lambda: kl.GRU(4)),
}
LAYERS = ON_ACTIVATIONS | ON_KERNELS
SIDES = {
    "both": "scales()",
    "inputs": "scales(outputs=False)",
    "outputs": "scales(inputs=False)",
    "signs": "scales(signs=1)",
}


def network(name, dtype="float32"):
    keras.utils.set_random_seed(0)
    shape, make = LAYERS[name]
    x = keras.Input(shape)
    layer = make()
    layer = type(layer).from_config({**layer.get_config(), "dtype": dtype, "name": "layer"})
    # A layer before, so that the gradient of the input matters.
    y = layer(kl.Dense(shape[-1], dtype=dtype, name="before")(x))
    return keras.Model(x, kl.Dense(3, dtype=dtype, name="head")(kl.Flatten(dtype=dtype)(y)))


def stepped(name, sides, dtype="float32", steps=2):
    """Return the model after steps of gradient descent on scales, biases and head."""
    model = PartialModel(network(name, dtype), f"{sides} | biases() | head()")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    for _ in range(steps):
        x = rng.normal(size=(4, *LAYERS[name][0]))
        model.train_on_batch(x, rng.normal(size=(4, 3)))
    return model


@pytest.mark.parametrize("sides", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("name", ON_ACTIVATIONS)
def test_scales_of_activations_train_as_those_of_the_kernel(name, sides, monkeypatch):
    model = stepped(name, sides)
    assert list(weights_of(model).products) == ["before/kernel", "layer/kernel"]
    monkeypatch.setattr(slices, "_scaled", lambda layer, form: None)
    plain = stepped(name, sides)
    assert not weights_of(plain).products
    for path, value in model.delta().trained.items():
        np.testing.assert_allclose(value, plain.delta().trained[path], **EXACT)


@pytest.mark.parametrize("name", LAYERS)
def test_a_network_is_exported_with_the_scales_in_its_kernels(name):
    model = stepped(name, "scales()")
    trained = model.delta().trained
    assert any((value != 1).any() for path, value in trained.items() if path.startswith("layer"))
    x = np.random.default_rng(1).normal(size=(4, *LAYERS[name][0]))
    expected = model(x, training=True)  # on activations, where that is possible
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (model.to_keras()(x), expected)), **EXACT)


class Scale(keras.layers.Layer):
    """A trainable scale of each channel: the reference."""

    def build(self, input_shape):
        """Create the scales."""
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        """Multiply."""
        return x * self.scale


class Bias(keras.layers.Layer):
    """A trainable bias of each channel."""

    def build(self, input_shape):
        """Create the biases."""
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros")

    def call(self, x):
        """Add."""
        return x + self.bias


REFERENCE = {
    "dense": (ROWS, lambda **kw: kl.Dense(8, **kw), "layer/kernel"),
    "conv1d": (SERIES, lambda **kw: kl.Conv1D(8, 3, **kw), "layer/kernel"),
    "conv2d": (IMAGES, lambda **kw: kl.Conv2D(8, 3, strides=2, **kw), "layer/kernel"),
    "depthwise": (IMAGES, lambda **kw: kl.DepthwiseConv2D(3, **kw), "layer/kernel"),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_training_is_that_of_plain_keras_with_multiplication_layers(name):
    shape, make, path = REFERENCE[name]
    keras.utils.set_random_seed(0)
    x = keras.Input(shape)
    y = kl.Flatten()(make(name="layer")(x))
    base = keras.Model(x, kl.Dense(3, name="head")(y))
    kernel = base.get_layer("layer").weights[0]

    product = make(use_bias=False, trainable=False)
    inner = product(Scale(name="inputs")(x))
    inner = Bias()(Scale(name="outputs")(inner))
    head = kl.Dense(3)
    reference = keras.Model(x, head(kl.Flatten()(inner)))
    product.set_weights([ops.convert_to_numpy(kernel)])
    head.set_weights(base.get_layer("head").get_weights())

    model = PartialModel(base, "scales() | biases() | head()")
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(8, *shape)), rng.normal(size=(8, 3))) for _ in range(5)]
    for each in (model, reference):
        each.compile(keras.optimizers.Adam(0.01), "mse")
        for batch in batches:
            each.train_on_batch(*batch)
    scales = [*reference.get_layer("inputs").weights, *reference.get_layer("outputs").weights]
    expected = np.concatenate([ops.convert_to_numpy(v).ravel() for v in scales])
    np.testing.assert_allclose(model.delta().trained[path], expected, **EXACT)
    x = batches[0][0]
    np.testing.assert_allclose(*(ops.convert_to_numpy(m(x)) for m in (model, reference)), **EXACT)


def test_attention_is_scaled():
    keras.utils.set_random_seed(0)
    x = keras.Input(TOKENS)
    y = kl.MultiHeadAttention(2, 3, name="attention")(x, x)
    base = keras.Model(x, kl.Dense(3, name="head")(kl.Flatten()(y)))
    model = PartialModel(base, "scales() | head()")
    assert len(weights_of(model).products) == 4
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, *TOKENS))
    model.train_on_batch(x, rng.normal(size=(4, 3)))
    trained = model.delta().trained
    assert all((value != 1).any() for value in trained.values())
    expected = ops.convert_to_numpy(model(x, training=True))
    np.testing.assert_allclose(model.to_keras().predict(x, verbose=0), expected, rtol=1e-4)


def test_scales_keep_full_precision_under_mixed_precision():
    model = stepped("dense", "scales()", "mixed_bfloat16")
    scales = model.delta().trained["layer/kernel"]
    assert scales.dtype == np.float32 and (scales != 1).any()


@pytest.mark.parametrize("frozen", ["keep", "random"])
def test_the_frozen_kernel_is_the_one_asked_for(frozen):
    base = network("dense")
    model = PartialModel(base, "scales() | biases() | head()", frozen=frozen, seed=3)
    kernel = dict(model.assembled())["layer/kernel"]
    same = np.array_equal(kernel, ops.convert_to_numpy(base.get_layer("layer").kernel))
    assert same is (frozen == "keep")
    x = np.random.default_rng(0).normal(size=(4, *ROWS))
    outputs = [ops.convert_to_numpy(model(x, training=training)) for training in (True, False)]
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)


def test_a_saved_model_has_its_scales(tmp_path):
    model = stepped("conv2d", "scales(signs=2)")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert str(again.selection) == str(model.selection)
    x = np.random.default_rng(0).normal(size=(4, *IMAGES))
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


def test_a_layer_inside_a_model_is_scaled():
    x = keras.Input(ROWS)
    layer = Partial(kl.Dense(8), "scales(signs=0) | biases()")
    model = keras.Model(x, kl.Dense(3)(layer(x)))
    plain = keras.Model(x, model.layers[-1](layer.layer(x)))
    assert layer.trainable_weights[0].shape == (14,)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, *ROWS)), rng.normal(size=(4, 3))
    before = ops.convert_to_numpy(layer.trainable_weights[0])
    assert set(np.abs(before)) == {1.0} and (before == -1).any()
    assert not np.allclose(*(ops.convert_to_numpy(m(x)) for m in (model, plain)))
    model.train_on_batch(x, y)
    assert not np.allclose(ops.convert_to_numpy(layer.trainable_weights[0]), before)


def test_a_constraint_is_refused():
    base = keras.Sequential([keras.Input(ROWS), kl.Dense(8, kernel_constraint="unit_norm")])
    with pytest.raises(ValueError, match="`scales` requires kernels without a constraint, got Un"):
        PartialModel(base, "scales()")
    layer = Partial(kl.Dense(8, kernel_constraint="non_neg"), "scales()")
    with pytest.raises(ValueError, match="`scales` requires kernels without a constraint, got Non"):
        layer(np.ones((2, 6)))


def test_a_regularizer_sees_the_scaled_kernel():
    base = keras.Sequential([keras.Input(ROWS), kl.Dense(8, kernel_regularizer="l2")])
    model = PartialModel(base, "scales()")
    scales = np.full(14, 2.0, np.float32)
    model.trainable_variables[0].assign(scales)
    _, _, losses = weights_of(model).apply(np.ones((2, 6), np.float32), True)
    kernel = ops.convert_to_numpy(base.layers[0].kernel)
    expected = 0.01 * np.sum((4 * kernel) ** 2)
    np.testing.assert_allclose(ops.convert_to_numpy(losses[0]), expected, rtol=1e-5)
