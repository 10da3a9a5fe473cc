"""Gradients of the trainable slices alone equal those of the plain path."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from frozenfit import PartialModel, PartialNetClassifier, clear_workspace, slices
from frozenfit import selectors as fs
from frozenfit.partial import weights_of

IMAGES, SERIES, ROWS, TOKENS = (7, 7, 6), (9, 6), (6,), (5, 6)

LAYERS = {
    "dense": (ROWS, lambda: kl.Dense(8, "tanh")),
    "dense of tokens": (TOKENS, lambda: kl.Dense(8, use_bias=False)),
    "einsum": (TOKENS, lambda: kl.EinsumDense("abc,cde->abde", (5, 4, 4), bias_axes="de")),
    "einsum with ellipsis": (TOKENS, lambda: kl.EinsumDense("...b,bc->...c", (8,), "tanh")),
    "conv1d": (SERIES, lambda: kl.Conv1D(8, 3, activation="tanh")),
    "conv1d causal": (SERIES, lambda: kl.Conv1D(8, 3, padding="causal", dilation_rate=2)),
    "conv2d": (IMAGES, lambda: kl.Conv2D(8, 3, activation="tanh")),
    "conv2d 1x1": (IMAGES, lambda: kl.Conv2D(8, 1, use_bias=False)),
    "conv2d strided": (IMAGES, lambda: kl.Conv2D(8, 3, strides=2, padding="same")),
    "conv2d dilated": (IMAGES, lambda: kl.Conv2D(8, 3, dilation_rate=2, padding="same")),
    "conv2d even": (IMAGES, lambda: kl.Conv2D(8, (2, 4), padding="same")),
    "conv2d even strided": (IMAGES, lambda: kl.Conv2D(8, 4, strides=2, padding="same")),
    "conv3d": ((4, 4, 4, 6), lambda: kl.Conv3D(8, 2)),
}
# JAX has 64 bits only where it is configured so.
PRECISE = "float32" if keras.config.backend() == "jax" else "float64"
FORMS = {"first": [0, 1], "others": [1, 3]}
AXES = {"inputs": -2, "outputs": -1}


def network(name, dtype=PRECISE):
    keras.utils.set_random_seed(0)
    shape, make = LAYERS[name]
    x = keras.Input(shape, dtype=PRECISE)
    layer = make()
    layer = type(layer).from_config({**layer.get_config(), "dtype": dtype, "name": "layer"})
    # A layer before, so that the gradient of the input matters.
    y = layer(kl.Dense(shape[-1], dtype=dtype, name="before")(x))
    return keras.Model(x, kl.Dense(3, dtype=dtype, name="head")(kl.Flatten(dtype=dtype)(y)))


def selector(model, axis, positions):
    kernel = np.zeros(model.get_layer("layer").kernel.shape, bool)
    np.moveaxis(kernel, axis, 0)[positions] = True
    return fs.layers("before", "head") | fs.biases() | fs.mask({"layer/kernel": kernel})


def stepped(name, axis, positions, dtype=PRECISE):
    """Return the model after a step of gradient descent on all that is trainable."""
    base = network(name, dtype)
    model = PartialModel(base, selector(base, axis, positions))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    rng = np.random.default_rng(0)
    shape = LAYERS[name][0]
    model.train_on_batch(rng.normal(size=(4, *shape)), rng.normal(size=(4, 3)))
    return model


@pytest.mark.parametrize("positions", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("axis", AXES.values(), ids=AXES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_step_is_that_of_whole_gradients(name, axis, positions, monkeypatch):
    model = stepped(name, axis, positions)
    assert list(weights_of(model).products) == ["layer/kernel"]
    monkeypatch.setattr(slices, "_LARGEST_SHARE", 0)
    plain = stepped(name, axis, positions)
    assert not weights_of(plain).products
    exact = {"rtol": 2e-5, "atol": 1e-6} if PRECISE == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    for path, value in model.delta().trained.items():
        np.testing.assert_allclose(value, plain.delta().trained[path], **exact)


def test_only_the_slices_of_plain_products_are_replaced():
    inputs = keras.Input((9, 9, 4))
    x = kl.Conv2D(8, 3, groups=2, name="grouped")(inputs)
    x = kl.DepthwiseConv2D(3, name="depthwise")(x)
    x = Doubled(8, 3, name="own_call")(x)
    x = Standardized(8, 3, name="own_kernel")(x)
    x = kl.Conv2D(8, 1, name="mostly")(x)
    x = kl.Conv2D(8, 1, name="sliced")(x)
    model = keras.Model(inputs, kl.Dense(2, name="all")(kl.Flatten()(x)))
    part = "head() | filters(2) & ~layers('mostly') | filters(6) & layers('mostly')"
    assert list(weights_of(PartialModel(model, part)).products) == ["sliced/kernel"]


@keras.saving.register_keras_serializable("tests")
class Doubled(kl.Conv2D):
    """A layer that does something else with its product."""

    def call(self, inputs):
        """Compute twice the convolution."""
        return 2 * super().call(inputs)


@keras.saving.register_keras_serializable("tests")
class Standardized(kl.Conv2D):
    """A layer that convolves with another kernel than its own."""

    def convolution_op(self, inputs, kernel):
        """Convolve with the kernel minus its mean over inputs and positions."""
        return super().convolution_op(inputs, kernel - keras.ops.mean(kernel, (0, 1, 2)))


def test_a_kernel_that_is_read_elsewhere_too_keeps_its_whole_gradient(monkeypatch):
    results = []
    for share in (0.5, 0):
        monkeypatch.setattr(slices, "_LARGEST_SHARE", share)
        keras.utils.set_random_seed(0)
        model = Tied()
        model.build((None, 6))
        first = np.arange(5) < 2
        partial = PartialModel(model, fs.mask({"dense/kernel": np.tile(first, (6, 1))}))
        partial.compile(keras.optimizers.SGD(1.0), "mse")
        rng = np.random.default_rng(0)
        partial.train_on_batch(rng.normal(size=(4, 6)), rng.normal(size=(4, 6)))
        results.append(partial.delta().trained["dense/kernel"])
    np.testing.assert_allclose(*results, rtol=1e-5)


class Tied(keras.Model):
    """An autoencoder whose decoder is the transpose of its encoder."""

    def __init__(self):
        super().__init__()
        self.dense = kl.Dense(5, name="dense")

    def build(self, input_shape):
        """Create the kernel."""
        self.dense.build(input_shape)

    def call(self, inputs):
        """Encode and decode."""
        return keras.ops.matmul(self.dense(inputs), keras.ops.transpose(self.dense.kernel))


def test_the_network_is_unchanged_after_a_call():
    model = stepped("conv2d", -1, [0, 1])
    layer = model.base.get_layer("layer")
    assert not {"call", "convolution_op"} & set(vars(layer))


@pytest.mark.parametrize("part", ["filters(0.25)", "inputs(0.25)"])
def test_an_estimator_trains_as_on_whole_gradients(part, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, 6, 6, 8)).astype("float32"), np.arange(70) % 3

    def build(input_shape, n_outputs):
        return keras.Sequential(
            [
                keras.Input(input_shape),
                kl.Conv2D(8, 3, activation="relu"),
                kl.BatchNormalization(),
                kl.Flatten(),
                kl.Dense(n_outputs),
            ]
        )

    used = []
    product = slices.SlicedProduct.__call__
    monkeypatch.setattr(
        slices.SlicedProduct, "__call__", lambda *args: used.append(share) or product(*args)
    )
    results = []
    for share in (0.5, 0):
        monkeypatch.setattr(slices, "_LARGEST_SHARE", share)
        clear_workspace()  # of compiled steps
        model = PartialNetClassifier(build, trainable=f"{part} | head()", epochs=30, random_state=0)
        results.append(model.fit(X, y).predict_proba(X))
    clear_workspace()
    assert set(used) == {0.5}
    np.testing.assert_allclose(*results, atol=2e-3)


def test_mixed_precision_keeps_trained_slices_in_full_precision(monkeypatch):
    results = []
    for share in (0.5, 0):
        monkeypatch.setattr(slices, "_LARGEST_SHARE", share)
        model = stepped("conv2d", -1, [0, 1], "mixed_bfloat16")
        results.append(model.delta().trained["layer/kernel"])
    assert results[0].dtype == np.float32
    np.testing.assert_allclose(*results, rtol=0.05, atol=0.02)
