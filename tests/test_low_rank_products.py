"""Low-rank factors of kernels equal those that Keras's own layers train, on every path."""

from __future__ import annotations

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

# Layers whose factors act on activations, and layers whose factors act on the kernel.
ON_ACTIVATIONS = {
    "dense": (ROWS, lambda: kl.Dense(8, "tanh")),
    "dense of tokens": (TOKENS, lambda: kl.Dense(8, use_bias=False)),
    "einsum": (TOKENS, lambda: kl.EinsumDense("abc,cde->abde", (5, 4, 4), bias_axes="de")),
    "einsum with ellipsis": (TOKENS, lambda: kl.EinsumDense("...b,bc->...c", (8,), "tanh")),
    "conv1d causal": (SERIES, lambda: kl.Conv1D(8, 3, padding="causal", dilation_rate=2)),
    "conv2d strided": (IMAGES, lambda: kl.Conv2D(8, 3, strides=2, padding="same")),
    "conv3d": ((4, 4, 4, 6), lambda: kl.Conv3D(8, 2)),
}
ON_KERNELS = {
    "einsum of each position": (TOKENS, lambda: kl.EinsumDense("abc,bcd->abd", (5, 8))),
    "conv2d in groups": (IMAGES, lambda: kl.Conv2D(8, 3, groups=2)),
    "conv2d transposed": (IMAGES, lambda: kl.Conv2DTranspose(8, 3)),
    "depthwise": (IMAGES, lambda: kl.DepthwiseConv2D(3, depth_multiplier=2)),
    "gru": (TOKENS, lambda: kl.GRU(8)),
}
LAYERS = ON_ACTIVATIONS | ON_KERNELS


def network(name):
    keras.utils.set_random_seed(0)
    shape, make = LAYERS[name]
    x = keras.Input(shape)
    layer = make()
    layer.name = "layer"
    # A layer before, so that the gradient of the input matters.
    y = layer(kl.Dense(shape[-1], name="before")(x))
    return keras.Model(x, kl.Dense(3, name="head")(kl.Flatten()(y)))


def stepped(name, part="lora(1, alpha=2) | biases() | head()", steps=3):
    """Return the model after steps of gradient descent on factors, biases and head."""
    model = PartialModel(network(name), part)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    for _ in range(steps):
        x = rng.normal(size=(4, *LAYERS[name][0]))
        model.train_on_batch(x, rng.normal(size=(4, 3)))
    return model


@pytest.mark.parametrize("name", ON_ACTIVATIONS)
def test_factors_of_activations_train_as_those_of_the_kernel(name, monkeypatch):
    model = stepped(name)
    assert list(weights_of(model).products) == ["before/kernel", "layer/kernel"]
    monkeypatch.setattr(slices, "_low_rank", lambda layer, form: None)
    plain = stepped(name)
    assert not weights_of(plain).products
    for path, value in model.delta().trained.items():
        np.testing.assert_allclose(value, plain.delta().trained[path], **EXACT)


@pytest.mark.parametrize("name", LAYERS)
def test_a_network_is_exported_with_the_factors_in_its_kernels(name):
    model = stepped(name)
    own = [
        path for path in model.delta().trained if path.startswith("layer") and "bias" not in path
    ]
    assert own and all("factors" in model.selection[p].describe(()) for p in own)
    before, after = dict(PartialModel(network(name), "head()").assembled()), dict(model.assembled())
    for path in own:
        form, shape = model.selection[path], after[path].shape
        rows = np.prod([shape[axis] for axis in form.inputs], dtype=int)
        change = np.moveaxis(after[path] - before[path], form.inputs, range(len(form.inputs)))
        assert np.linalg.matrix_rank(change.reshape(rows, -1), tol=1e-4) == 1
    x = np.random.default_rng(1).normal(size=(4, *LAYERS[name][0]))
    expected = model(x, training=True)  # on activations, where that is possible
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (model.to_keras()(x), expected)), **EXACT)


ENABLED = {
    "dense": (ROWS, lambda: kl.Dense(8, name="layer"), "layer/kernel"),
    "conv2d": (IMAGES, lambda: kl.Conv2D(8, 3, name="layer"), "layer/kernel"),
    "embedding": ((5,), lambda: kl.Embedding(30, 8, name="layer"), "layer/embeddings"),
}


@pytest.mark.parametrize("name", ENABLED)
def test_training_is_that_of_the_factors_of_keras(name):
    shape, make, path = ENABLED[name]
    keras.utils.set_random_seed(0)
    is_words = name == "embedding"
    x = keras.Input(shape, dtype="int32" if is_words else None)
    base = keras.Model(x, kl.Dense(3, name="head")(kl.Flatten()(make()(x))))
    model = PartialModel(base, f"lora(2, alpha=3.0).on({path!r}) | head()")
    start = model.delta().trained[path]
    assert np.abs(start).max() > 0 and (start[-16:] == 0).all()

    reference = model.to_keras()
    layer = reference.get_layer("layer")
    layer.enable_lora(2, lora_alpha=3.0)
    if not is_words and layer.bias is not None:
        layer.bias.trainable = False
    a, b = layer.trainable_variables[-2:]
    a.assign(np.reshape(start[:-16], a.shape))
    rng = np.random.default_rng(0)
    draw = (
        (lambda: rng.integers(0, 30, (8, 5))) if is_words else lambda: rng.normal(size=(8, *shape))
    )
    batches = [(draw(), rng.normal(size=(8, 3))) for _ in range(4)]
    for each in (model, reference):
        each.compile(keras.optimizers.Adam(0.01), "mse")
        for batch in batches:
            each.train_on_batch(*batch)
    expected = np.concatenate([ops.convert_to_numpy(v).ravel() for v in (a, b)])
    np.testing.assert_allclose(model.delta().trained[path], expected, **EXACT)


def test_attention_has_factors_of_features_and_heads():
    keras.utils.set_random_seed(0)
    x = keras.Input(TOKENS)
    y = kl.MultiHeadAttention(2, 3, name="attention")(x, x)
    base = keras.Model(x, kl.Dense(3, name="head")(kl.Flatten()(y)))
    model = PartialModel(base, "lora(1) | head()")
    assert len(weights_of(model).products) == 4
    forms = [form for path, form in model.selection.items() if "kernel" in path][:4]
    assert [form.inputs for form in forms] == [(0,), (0,), (0,), (0, 1)]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, *TOKENS))
    model.train_on_batch(x, rng.normal(size=(4, 3)))
    expected = ops.convert_to_numpy(model(x, training=True))
    np.testing.assert_allclose(model.to_keras().predict(x, verbose=0), expected, **EXACT)


def test_a_saved_model_has_its_factors(tmp_path):
    model = stepped("conv2d strided")
    # A selection has no text, so that the configuration has to contain its seeds.
    again = PartialModel(model.base, model.selection)
    again.load_delta(model.delta())
    again.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.selection == model.selection
    x = np.random.default_rng(0).normal(size=(4, *IMAGES))
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), **EXACT)


def test_a_layer_inside_a_model_has_factors():
    x = keras.Input(ROWS)
    layer = Partial(kl.Dense(8), "lora(2) | biases()")
    model = keras.Model(x, kl.Dense(3)(layer(x)))
    plain = keras.Model(x, model.layers[-1](layer.layer(x)))
    assert layer.trainable_weights[0].shape == (28,)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, *ROWS)), rng.normal(size=(4, 3))
    np.testing.assert_allclose(*(ops.convert_to_numpy(m(x)) for m in (model, plain)), **EXACT)
    model.train_on_batch(x, y)
    assert not np.allclose(*(ops.convert_to_numpy(m(x)) for m in (model, plain)))


def test_what_factors_cannot_keep_is_refused():
    base = keras.Sequential([keras.Input(ROWS), kl.Dense(8, kernel_constraint="unit_norm")])
    with pytest.raises(ValueError, match="`lora` requires kernels without a constraint, got UnitN"):
        PartialModel(base, "lora(2)")
    layer = Partial(kl.Dense(8, kernel_constraint="non_neg"), "lora(2)")
    with pytest.raises(
        ValueError, match="`lora` requires kernels without a constraint, got NonNeg"
    ):
        layer(np.ones((2, 6)))
    with pytest.raises(ValueError, match="`lora` requires frozen kernels that are not zero"):
        PartialModel(network("dense"), "lora(2) | head()", frozen="zero")
