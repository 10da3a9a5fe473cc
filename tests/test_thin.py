"""The thin network computes as the whole one, in random networks and for any trained values."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from random_networks import IMAGE, RandomNetwork

from frozenfit import PartialModel
from frozenfit import selectors as fs
from frozenfit.dead_units import living_units
from frozenfit.delta import Delta
from frozenfit.isolation import isolated
from frozenfit.layout import Survey
from frozenfit.partial import weights_of
from frozenfit.selectors import Context, as_selector
from frozenfit.thin import ThinNetwork
from frozenfit.utils.arrays import to_numpy


def scattered(layout):
    """Select units of every hidden layer at random places, with their biases."""
    rng = np.random.default_rng(0)
    masks = {}
    for info in layout.weights:
        if info.role == "kernel" and not layout.in_head(info) and len(info.output_axes) == 1:
            chosen = np.zeros(info.shape, bool)
            np.moveaxis(chosen, info.output_axes[0], 0)[rng.random(info.n_outputs) < 0.4] = True
            masks[info.path] = chosen
    return fs.mask(masks) | fs.head()


PARTS = {
    "filters": "filters(0.4) | head()",
    "filters and norms": "filters(0.4) | head() | batch_norm()",
    "filters and biases": "filters(0.4) | head() | biases()",
    "inputs": "inputs(0.4) | head()",
    "single parameters": "random(0.3) | head()",
    "scattered units": scattered,
}
# Networks in which units are dead if filters are selected.
SEEDS = (1, 2, 3, 7, 14, 20, 23, 28, 31, 33, 36, 38, 39)
# Units are followed through a network in the same way on each backend, so that a few are enough on
# the second and third.
RANDOM = [
    pytest.param(seed, marks=[pytest.mark.any_backend] if i >= 4 else [])
    for i, seed in enumerate(SEEDS)
]


def partial_model(network, part):
    """Return a model of frozen zeros with random trained values, some offsets at zero."""
    survey = Survey(network)
    selector = as_selector(part(survey.layout) if callable(part) else part)
    selection = selector.resolve(survey.layout, Context(seed=0))
    model = PartialModel(survey, selection, frozen="zero")
    rng, delta = np.random.default_rng(1), model.delta()
    trained = {}
    for path, value in delta.trained.items():
        values = rng.normal(0, 0.3, value.shape).astype(value.dtype)
        is_offset = survey.layout[path].role in ("bias", "offset")
        trained[path] = np.where(rng.random(value.shape) < 0.7, value, values)
        if not is_offset:
            trained[path] = values
    model.load_delta(Delta(trained, delta.states))
    return model


def random_model(seed, part):
    with isolated(seed):
        return partial_model(RandomNetwork(seed)(IMAGE, 3), part)


def living_of(model):
    weights = weights_of(model)
    base = {path: to_numpy(v) for path, v in weights.survey.weights.items()}
    values, trainable = weights.whole_values(weights.selection, model.delta(), base)
    return living_units(weights.survey, values, trainable)


def applied(model, X, training, network=None):
    outputs, states, _ = weights_of(model).apply(X, training=training, network=network)
    return to_numpy(outputs), {variable.path: to_numpy(value) for variable, value in states}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("seed", RANDOM)
def test_outputs_and_states_are_those_of_the_whole_network(seed, part):
    model = random_model(seed, part)
    living = living_of(model)
    if living is None:
        assert part not in (PARTS["filters"], scattered)
        return
    thin = ThinNetwork(weights_of(model).survey, living)
    assert thin.model.count_params() < model.count_params()
    X = np.random.default_rng(2).normal(size=(5, *IMAGE)).astype("float32")
    for training in (True, False):
        outputs, states = applied(model, X, training)
        found, of_thin = applied(model, X, training, thin)
        np.testing.assert_allclose(found, outputs, rtol=1e-4, atol=1e-5 * np.abs(outputs).max())
        assert of_thin.keys() == states.keys()
        for path, value in states.items():
            np.testing.assert_allclose(of_thin[path], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("seed", RANDOM[::2])
def test_the_thin_model_has_the_outputs_of_the_whole_one(seed, part):
    model = random_model(seed, part)
    whole, thin = model.to_keras(), model.thin_model()
    assert type(thin).__module__.startswith("keras.")
    assert all(type(layer).__module__.startswith("keras.") for layer in thin.layers)
    X = np.random.default_rng(2).normal(size=(5, *IMAGE)).astype("float32")
    expected = to_numpy(whole(X))
    np.testing.assert_allclose(to_numpy(thin(X)), expected, atol=2e-5 * np.abs(expected).max())


def conv_block(x, activation="relu", size=8, **norm):
    x = kl.Conv2D(size, 3, padding="same", use_bias=False)(x)
    return kl.Activation(activation)(kl.BatchNormalization(**norm)(x))


def residual(x):
    x = conv_block(x)
    y = kl.Conv2D(8, 3, padding="same")(conv_block(x))
    return kl.ReLU()(kl.Add()([x, kl.BatchNormalization()(y)]))


def shared(x):
    layer = kl.Conv2D(8, 1, activation="relu")
    return layer(layer(conv_block(x)))


def joined(x):
    x = conv_block(x)
    return kl.Conv2D(8, 1)(kl.Concatenate()([x, conv_block(x), kl.MaxPooling2D(3, 1, "same")(x)]))


def separate(x):
    x = kl.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(conv_block(x))
    return kl.Conv2D(8, 1)(kl.SpatialDropout2D(0.1)(x))


def reshaped(x):
    x = kl.Conv1D(8, 1)(kl.Reshape((36, 8))(conv_block(x)))
    return kl.Dense(8)(kl.Flatten()(x))


def with_function(x):
    return kl.Conv2D(8, 1)(keras.ops.relu(conv_block(x) + conv_block(x)))


NORMS = "filters(0.25) | head() | batch_norm()"
# Network, trainable part, and the channels left by each kernel: 2 of 8 are trainable.
LEFT = {
    "norm": (conv_block, NORMS, [2, 3]),
    "residual": (residual, NORMS, [2, 2, 2, 3]),
    "shared": (shared, NORMS, [2, 2, 3]),
    "concatenate": (joined, NORMS, [2, 2, 2, 3]),
    "depthwise": (separate, NORMS, [2, 2, 2, 3]),
    "reshape": (reshaped, NORMS, [2, 2, 2, 3]),
    "function": (with_function, NORMS, [2, 2, 2, 3]),
    "inputs": (residual, "inputs(0.25) | head()", [8, 8, 8, 3]),
    # A gradient moves the offset of a unit whose activation has a slope at zero.
    "tanh": (lambda x: conv_block(x, "tanh"), NORMS, [8, 3]),
    "tanh, frozen offset": (lambda x: conv_block(x, "tanh"), "filters(0.25) | head()", [2, 3]),
    "sigmoid": (lambda x: conv_block(x, "sigmoid"), "filters(0.25) | head()", [8, 3]),
    "offset": (lambda x: conv_block(x, beta_initializer="ones"), NORMS, [8, 3]),
    "moved mean": (lambda x: conv_block(x, moving_mean_initializer="ones"), NORMS, [8, 3]),
    "layer norm": (lambda x: kl.LayerNormalization()(conv_block(x)), NORMS, [8, 3]),
}


@pytest.mark.parametrize(("build", "part", "left"), LEFT.values(), ids=LEFT)
def test_the_channels_that_are_left(build, part, left):
    with isolated(0):
        inputs = keras.Input((6, 6, 3))
        x = build(inputs)
        x = kl.GlobalAveragePooling2D()(x) if len(x.shape) > 2 else x
        model = PartialModel(keras.Model(inputs, kl.Dense(3)(x)), part, frozen="zero")
    living = living_of(model)
    thin = model.base if living is None else ThinNetwork(weights_of(model).survey, living).model
    kinds = (kl.Dense, kl.Conv1D, kl.Conv2D, kl.DepthwiseConv2D)
    kernels = [layer.kernel for layer in thin.layers if isinstance(layer, kinds)]
    channels = [kernel.shape[-1] for kernel in kernels]
    assert channels == left


def test_a_network_without_a_graph_keeps_all_units():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = kl.Dense(8)

        def call(self, x):
            return self.dense(x)

    base = Own()
    base(np.zeros((1, 4)))
    model = PartialModel(base, "filters(0.25)| head()", frozen="zero", rebuild=lambda: rebuilt())

    def rebuilt():
        other = Own()
        other(np.zeros((1, 4)))
        return other

    assert model.thin_model().count_params() == base.count_params()


def test_a_thin_model_is_saved_and_trained_as_any_other(tmp_path):
    model = random_model(4, PARTS["filters"]).thin_model()
    X = np.random.default_rng(2).normal(size=(5, *IMAGE)).astype("float32")
    model.save(tmp_path / "thin.keras")
    loaded = keras.models.load_model(tmp_path / "thin.keras")
    np.testing.assert_array_equal(to_numpy(loaded(X)), to_numpy(model(X)))
    model.compile("sgd", "mse")
    model.train_on_batch(X, np.zeros((5, 3)))
