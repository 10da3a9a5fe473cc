"""Crops and flips inside the compiled step equal those of NumPy on the host, bit for bit."""

from __future__ import annotations

from unittest.mock import patch

import keras
import numpy as np
import pytest
from keras import layers as kl

from frozenfit import PartialNetClassifier, clear_workspace
from frozenfit.training.augmentation import CropAndFlip, LayerAugmentation, make

NAMES = [("crop",), ("flip",), ("crop", "flip"), ("flip", "crop"), ("crop", "crop")]
LAYERS = {
    "layer": kl.RandomFlip("horizontal", seed=1),
    "sequential": keras.Sequential([kl.RandomRotation(0.2, seed=4)]),
}


def on_host(x: np.ndarray, names: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Crop and flip in NumPy, with the numbers drawn in the same order."""
    n, height, width, _ = x.shape
    drawn = [rng.integers(0, 9, (2, n)) if a == "crop" else rng.random(n) < 0.5 for a in names]
    for name, numbers in zip(names, drawn, strict=True):
        if name == "flip":
            x = np.where(numbers[:, None, None, None], x[:, :, ::-1], x)
            continue
        padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
        corners = zip(padded, *numbers, strict=True)
        x = np.stack([p[i : i + height, j : j + width] for p, i, j in corners])
    return x


def pixels(n: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(3).normal(scale=100, size=(n, *shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("names", NAMES, ids="+".join)
def test_a_batch_is_moved_as_on_the_host(names, dtype):
    x, augment = pixels(40, 7, 5, 3, dtype=dtype), CropAndFlip(names)
    moves = augment.draw(np.ones((1, 40), "float32"), np.random.default_rng(8))
    expected = on_host(x, names, np.random.default_rng(8))
    found = keras.ops.convert_to_numpy(augment(x, moves[0]))
    assert found.dtype == x.dtype and np.array_equal(found, expected)


def test_every_crop_is_possible_and_half_of_the_images_are_mirrored():
    moves = CropAndFlip(("crop", "flip")).draw(np.ones((40, 100)), np.random.default_rng(0))
    assert moves.shape == (40, 100, 3) and moves.dtype == np.int32
    assert np.unique(moves[..., :2].reshape(-1, 2), axis=0).shape == (81, 2)
    assert 0.45 < moves[..., 2].mean() < 0.55 and set(moves[..., 2].ravel()) == {0, 1}


def test_rows_that_fill_a_batch_draw_nothing():
    augment, weight = CropAndFlip(("crop", "flip")), np.ones((3, 4), "float32")
    weight[-1, 2:] = 0
    rngs = [np.random.default_rng(2) for _ in range(2)]
    filled, plain = augment.draw(weight, rngs[0]), augment.draw(weight.ravel()[None, :10], rngs[1])
    assert np.array_equal(filled.reshape(-1, 3)[:10], plain[0])
    assert rngs[0].random() == rngs[1].random()


def small_network(input_shape, n_outputs):
    parts = [kl.Conv2D(6, 3, use_bias=False), kl.BatchNormalization(), kl.ReLU()]
    return keras.Sequential([keras.Input(input_shape), *parts, kl.Flatten(), kl.Dense(n_outputs)])


def fitted(augment: str, **params):
    # Steps of both paths are compiled, so that neither may find those of the other.
    clear_workspace()
    x, y = pixels(50, 8, 8, 2) / 100, np.arange(50) % 3
    network = {"trainable": "filters(0.5) | head()", "epochs": 3, "batch_size": 16}
    clf = PartialNetClassifier(small_network, **network, augment=augment, random_state=4, **params)
    return clf.fit(x, y)


@pytest.mark.parametrize("augment", ["crop", "flip", "crop+flip"])
def test_a_fit_equals_one_on_images_that_the_host_has_moved(augment):
    found = fitted(augment)

    class OnHost(LayerAugmentation):
        def __init__(self, names):
            self.names = names

        def __call__(self, x, rng):
            flat = on_host(x.reshape(-1, *x.shape[2:]), self.names, rng)
            return flat.reshape(x.shape)

    made = OnHost(tuple(augment.split("+")))
    with patch("frozenfit.training.augmentation.make", return_value=made):
        expected = fitted(augment)
    weights = [dict(clf.model_.assembled()) for clf in (found, expected)]
    for path, value in weights[0].items():
        # The same numbers; another compiled program may add them in another order.
        np.testing.assert_allclose(value, weights[1][path], rtol=1e-5, atol=1e-6, err_msg=path)
    np.testing.assert_allclose(found.history_["loss"], expected.history_["loss"], rtol=1e-5)


def test_the_steps_with_and_without_augmentation_are_compiled_separately():
    plain, moved = (fitted("crop+flip", warm_start=True) for _ in range(2))
    plain.set_params(augment=None).fit(pixels(50, 8, 8, 2) / 100, np.arange(50) % 3)
    moved.fit(pixels(50, 8, 8, 2) / 100, np.arange(50) % 3)
    assert plain.history_["loss"][:3] == moved.history_["loss"][:3]
    assert plain.history_["loss"][3:] != moved.history_["loss"][3:]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_with_a_seed_changes_each_stack_in_another_way(name):
    x = pixels(6, 8, 8, 2).reshape(2, 3, 8, 8, 2)
    rng, change = np.random.default_rng(0), make(LAYERS[name], x.shape[2:])
    assert isinstance(change, LayerAugmentation)
    first = change(x, rng)
    assert first.shape == x.shape and first.dtype == x.dtype
    assert not np.array_equal(first, change(x, rng))


def test_metrics_see_the_outputs_for_the_moved_images():
    clf = fitted("crop+flip", metrics=["sparse_categorical_accuracy"])
    assert clf.history_["sparse_categorical_accuracy"] == pytest.approx(clf.history_["accuracy"])
