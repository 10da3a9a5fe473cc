"""Gradients of the trainable slices alone equal those of the plain path."""

import weakref

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from frozenfit import PartialModel, PartialNetClassifier, clear_workspace, slices
from frozenfit import selectors as fs
from frozenfit.partial import weights_of
from frozenfit.selectors import forms

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


def choose(monkeypatch, way):
    """Take gradients of slices of all kernels, or of none."""
    monkeypatch.setattr(slices, "is_cheaper", lambda product, share: way)


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


DEPTHWISE = {
    "depthwise": (IMAGES, lambda: kl.DepthwiseConv2D(3, activation="tanh")),
    "depthwise strided": (IMAGES, lambda: kl.DepthwiseConv2D(3, 2, "same", use_bias=False)),
    "depthwise 1d": (SERIES, lambda: kl.DepthwiseConv1D(3, padding="same")),
}


@pytest.mark.parametrize("positions", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", DEPTHWISE)
def test_a_step_of_depthwise_channels_is_that_of_whole_gradients(name, positions, monkeypatch):
    monkeypatch.setitem(LAYERS, name, DEPTHWISE[name])
    check_a_step(name, -2, positions, monkeypatch)


@pytest.mark.parametrize("positions", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("axis", AXES.values(), ids=AXES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_step_is_that_of_whole_gradients(name, axis, positions, monkeypatch):
    check_a_step(name, axis, positions, monkeypatch)


def check_a_step(name, axis, positions, monkeypatch):
    """Compare a step in which the product is replaced with one in which it is not."""
    choose(monkeypatch, True)
    model = stepped(name, axis, positions)
    assert list(weights_of(model).products) == ["layer/kernel"]
    choose(monkeypatch, False)
    plain = stepped(name, axis, positions)
    assert not weights_of(plain).products
    exact = {"rtol": 2e-5, "atol": 1e-6} if PRECISE == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    for path, value in model.delta().trained.items():
        np.testing.assert_allclose(value, plain.delta().trained[path], **exact)


def test_only_the_slices_of_plain_products_are_replaced():
    inputs = keras.Input((9, 9, 4))
    x = kl.Conv2D(8, 3, groups=2, name="grouped")(inputs)
    x = kl.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = Doubled(8, 3, name="own_call")(x)
    x = Standardized(8, 3, name="own_kernel")(x)
    x = kl.Conv2D(20, 1, name="mostly")(x)
    x = kl.Conv2D(8, 1, name="sliced")(x)
    model = keras.Model(inputs, kl.Dense(2, name="all")(kl.Flatten()(x)))
    part = "head() | filters(2) & ~layers('mostly') | filters(19) & layers('mostly')"
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
    for way in (True, False):
        choose(monkeypatch, way)
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


@pytest.mark.parametrize("way", [True, False], ids=["slices", "whole"])
def test_attention_trains_in_keras_as_a_masked_gradient_does(way, monkeypatch):
    choose(monkeypatch, way)
    keras.utils.set_random_seed(0)
    x = keras.Input((5, 8))
    y = kl.MultiHeadAttention(4, 3, name="attention")(x, x)
    base = keras.Model(x, kl.Dense(2, name="head")(kl.Flatten()(y)))
    before = [np.array(w) for w in base.get_weights()]
    model = PartialModel(base, "filters(0.25) | head()")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    X, target = rng.normal(size=(12, 5, 8)), rng.normal(size=(12, 2))
    assert len(weights_of(model).products) == (4 if way else 0)
    model.fit(X, target, batch_size=6, epochs=2, shuffle=False, verbose=0)

    base_after = [np.array(w) for w in base.get_weights()]
    assert all(map(np.array_equal, before, base_after))
    plain = keras.models.clone_model(base)
    plain.set_weights(before)
    plain.compile(keras.optimizers.SGD(0.1), "mse")
    frozen = dict(zip((w.path for w in plain.weights), before, strict=True))
    masks = {p: forms.to_mask(f, frozen[p].shape) for p, f in model.selection.forms.items()}
    for start in (0, 6, 0, 6):
        plain.train_on_batch(X[start : start + 6], target[start : start + 6])
        # A step of gradient descent changes each parameter by its own gradient alone.
        for w in plain.weights:
            w.assign(np.where(masks[w.path], ops.convert_to_numpy(w), frozen[w.path]))
    for path, value in model.assembled():
        expected = next(w for w in plain.weights if w.path == path)
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)


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
        slices.SlicedProduct, "__call__", lambda *args: used.append(way) or product(*args)
    )
    results = []
    for way in (True, False):
        choose(monkeypatch, way)
        clear_workspace()  # of compiled steps
        model = PartialNetClassifier(build, trainable=f"{part} | head()", epochs=30, random_state=0)
        results.append(model.fit(X, y).predict_proba(X))
    clear_workspace()
    assert set(used) == {True}
    np.testing.assert_allclose(*results, atol=2e-3)


def test_mixed_precision_keeps_trained_slices_in_full_precision(monkeypatch):
    results = []
    for way in (True, False):
        choose(monkeypatch, way)
        model = stepped("conv2d", -1, [0, 1], "mixed_bfloat16")
        results.append(model.delta().trained["layer/kernel"])
    assert results[0].dtype == np.float32
    np.testing.assert_allclose(*results, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("positions", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("axis", AXES.values(), ids=AXES)
@pytest.mark.parametrize("name", ["dense", "conv2d strided", "einsum with ellipsis", "depthwise"])
def test_a_product_in_parts_is_that_with_the_assembled_kernel(name, axis, positions):
    product, kernel, x = product_of(name, -2 if name == "depthwise" else axis, positions)
    other = np.random.default_rng(1).normal(size=kernel.shape).astype("float32")
    trained = ops.convert_to_tensor(forms.take(product.form, other))
    index = positions_of(product.form)
    whole = ops.convert_to_tensor(forms.put(product.form, kernel, forms.take(product.form, other)))
    x = ops.convert_to_tensor(x)
    found = product.in_parts(x, ops.convert_to_tensor(kernel), trained, index)
    expected = ops.convert_to_numpy(product.compute(x, whole))
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-4, atol=1e-5)


def product_of(name, axis, positions):
    """Return the product of a layer with its kernel, and samples."""
    shape, make = (LAYERS | DEPTHWISE)[name]
    layer = make()
    layer.build((None, *shape))
    kernel = ops.convert_to_numpy(layer.kernel)
    mask = np.zeros(kernel.shape, bool)
    np.moveaxis(mask, axis, 0)[positions] = True
    x = np.random.default_rng(0).normal(size=(16, *shape)).astype("float32")
    product = slices._product(layer, forms.from_mask(mask))
    assert product is not None
    return product, kernel, x


def positions_of(form):
    return ops.array(form.indices) if isinstance(form, forms.Indices) else None


@pytest.mark.parametrize("positions", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", ["dense", "conv2d", "einsum with ellipsis"])
@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="Its graph keeps what is read.")
def test_only_the_channels_of_a_slice_of_inputs_are_kept(name, positions):
    product, kernel, x = product_of(name, -2, positions)
    trained = ops.convert_to_tensor(forms.take(product.form, kernel))
    index = positions_of(product.form)

    def whole(x, trained):
        return product.compute(x, trained)

    def sliced(x, trained):
        return product(x, ops.convert_to_tensor(kernel), trained, index)

    assert KEEPS[keras.config.backend()](whole, x, ops.convert_to_tensor(kernel))
    assert not KEEPS[keras.config.backend()](sliced, x, trained)


def torch_keeps(function, x, trained):
    """Return whether the graph of a function refers to the memory of its input."""
    import torch

    class Input(torch.autograd.Function):
        @staticmethod
        def forward(ctx, source, memory):
            return torch.from_numpy(memory)

        @staticmethod
        def backward(ctx, *upstream):
            return torch.zeros(()), None

    memory = x.copy()
    source, reference = torch.zeros((), requires_grad=True), weakref.ref(memory)
    with torch.enable_grad():
        tensor = Input.apply(source, memory)
        y = function(tensor, trained.clone().requires_grad_())
    del tensor, memory
    kept = reference() is not None
    y.sum().backward()  # The graph is whole.
    return kept


def jax_keeps(function, x, trained):
    """Return whether what a function saves for its gradient is as large as the input."""
    import jax

    _, gradient = jax.vjp(function, x, trained)
    return any(np.shape(leaf) == x.shape for leaf in jax.tree.leaves(gradient))


KEEPS = {"torch": torch_keeps, "jax": jax_keeps}
