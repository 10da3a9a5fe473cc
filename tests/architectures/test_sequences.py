"""Networks of token ids and of time series compute what their papers describe."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from frozenfit import architectures
from frozenfit.isolation import isolated
from frozenfit.layout import describe
from frozenfit.selectors import as_selector

# Keras turns torch's tensors into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
IDS = np.array([[3, 1, 2, 5, 4, 1], [6, 2, 0, 0, 0, 0]])


def build(name, shape=(6,), n_outputs=3, **params):
    with isolated(0):
        return architectures.build(name, shape, n_outputs, **params)


def windows(x, size):
    """Return all windows of `size` rows with Keras's padding "same", of shape (n, size, d)."""
    before = (size - 1) // 2
    padded = np.pad(x, ((before, size - 1 - before), (0, 0)))
    return np.stack([padded[i : i + size] for i in range(len(x))])


def test_text_cnn_is_the_network_of_kim():
    params = {"max_tokens": 7, "embedding_dim": 4, "filters": 5, "kernel_sizes": (2, 3)}
    model = build("text_cnn", **params)
    weights = {v.path: ops.convert_to_numpy(v) for v in model.weights}
    expected = []
    for ids in IDS:
        x = weights["embedding/embeddings"][ids]
        features = []
        for size in (2, 3):
            kernel, bias = weights[f"conv{size}/kernel"], weights[f"conv{size}/bias"]
            maps = np.einsum("nsd,sdf->nf", windows(x, size), kernel) + bias
            features.append(np.maximum(maps, 0).max(axis=0))
        expected.append(np.concatenate(features) @ weights["head/kernel"] + weights["head/bias"])
    found = ops.convert_to_numpy(model(IDS, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert abs(weights["embedding/embeddings"]).max() <= 0.25


def test_gru_encoder_does_not_see_the_length_to_which_a_text_is_padded():
    params = {"max_tokens": 7, "embedding_dim": 4, "units": 5}
    short, long = build("gru_encoder", **params), build("gru_encoder", (9,), **params)
    long.set_weights(short.get_weights())
    padded = np.pad(IDS, ((0, 0), (0, 3)))
    found = [ops.convert_to_numpy(m(x, training=False)) for m, x in ((short, IDS), (long, padded))]
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
    other = IDS.copy()
    other[1, 1] = 5
    changed = ops.convert_to_numpy(short(other, training=False))
    assert abs(changed[1] - found[0][1]).max() > 1e-5


def test_series_cnn_has_the_filters_of_the_reference_network():
    model = build("series_cnn", (24, 2))
    shapes = {v.path: tuple(v.shape) for v in model.weights}
    assert shapes["conv1/kernel"] == (8, 2, 128)
    assert shapes["conv2/kernel"] == (5, 128, 256)
    assert shapes["conv3/kernel"] == (3, 256, 128)
    assert shapes["head/kernel"] == (128, 3)
    assert model.get_layer("conv3_activation").output.shape == (None, 24, 128)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (100, 1)])
def test_series_of_any_length_are_accepted(shape):
    assert build("series_cnn", shape, width=1 / 64).output_shape == (None, 3)


def test_a_fraction_selects_dimensions_of_the_embedding_and_recurrent_units():
    layout = describe(build("gru_encoder", max_tokens=7, embedding_dim=20, units=10))
    selection = as_selector(0.3).resolve(layout)
    counts = {path: selection.counts(path)[0] for path in selection.forms}
    assert counts == {
        "embedding/embeddings": 7 * 6,
        "gru/gru_cell/kernel": 20 * 3 * 3,  # three gates of three units
        "gru/gru_cell/recurrent_kernel": 10 * 3 * 3,
        "gru/gru_cell/bias": 2 * 3 * 3,
        "head/kernel": 10 * 3,
        "head/bias": 3,
    }


@pytest.mark.parametrize(
    ("name", "shape", "params", "words"),
    [
        ("text_cnn", (6, 2), {}, r"must be \(length,\), a row of token ids, got \(6, 2\)"),
        ("gru_encoder", (8, 8, 1), {}, r"`input_shape` of gru_encoder must be \(length,\)"),
        ("series_cnn", (24,), {}, r"must be \(length, channels\), got \(24,\). Set image_shape"),
        ("series_cnn", (24, 1), {"width": 0}, "`width` of series_cnn must be a number > 0, got 0"),
        (
            "text_cnn",
            (6,),
            {"max_tokens": 0},
            "`max_tokens` of text_cnn must be an int >= 1, got 0",
        ),
        ("text_cnn", (6,), {"kernel_sizes": ()}, r"`kernel_sizes` of text_cnn must .* got \(\)"),
        ("text_cnn", (6,), {"kernel_sizes": (3, 3)}, r"distinct integers >= 1 .* got \(3, 3\)"),
        (
            "text_cnn",
            (6,),
            {"filters": True},
            "`filters` of text_cnn must be an int >= 1, got True",
        ),
        ("text_cnn", (6,), {"dropout": 1}, r"`dropout` of text_cnn must be in \[0, 1\), got 1"),
        (
            "gru_encoder",
            (6,),
            {"units": 2.5},
            "`units` of gru_encoder must be an int >= 1, got 2.5",
        ),
        ("gru_encoder", (6,), {"embedding_dim": None}, "`embedding_dim` of gru_encoder must"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(name, shape, params, words):
    with pytest.raises(ValueError, match=words):
        build(name, shape, **params)


def test_logits_are_float32_under_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        models = [
            build("text_cnn", max_tokens=7, filters=2),
            build("series_cnn", (6, 1), width=1 / 64),
        ]
    finally:
        keras.config.set_dtype_policy(policy)
    assert [model.output.dtype for model in models] == ["float32", "float32"]
