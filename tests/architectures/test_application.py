"""Networks of keras.applications as bases: the head, the size, the preprocessing, the cut."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from frozenfit import PartialNetClassifier, architectures
from frozenfit.isolation import isolated
from frozenfit.partial import PartialModel
from frozenfit.training import prefix


@pytest.fixture(scope="module")
def mobile():
    with isolated(0):
        return architectures.build("application", (8, 8, 1), 4, network="MobileNetV2")


def test_the_network_is_flat_with_a_new_head(mobile):
    names = [layer.name for layer in mobile.layers]
    assert "block_16_project" in names and names[-1] == "head"
    assert mobile.output_shape == (None, 4)
    official = 2_257_984  # MobileNetV2 of width 1 without its top, as Keras's documentation counts
    assert mobile.count_params() == official + 1280 * 4 + 4


def test_networks_that_the_module_of_their_family_does_not_export_are_known():
    build = keras.applications.MobileNetV3Small
    official = build((32, 32, 3), include_top=False, weights=None, pooling="avg")
    model = architectures.build("application", (32, 32, 3), 4, network="MobileNetV3Small")
    head = model.get_layer("head").count_params()
    assert model.count_params() == official.count_params() + head


def test_small_grey_pixels_arrive_resized_coloured_and_preprocessed(mobile):
    X = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype("float32")
    inside = keras.Model(mobile.input, mobile.get_layer("Conv1").input)
    large = keras.layers.Resizing(32, 32)(np.repeat(X, 3, axis=-1))
    large = keras.ops.convert_to_numpy(large)
    expected = keras.applications.mobilenet_v2.preprocess_input(large * 255)
    assert np.allclose(keras.ops.convert_to_numpy(inside(X)), expected, atol=1e-5)


def test_a_block_is_selected_by_name_and_the_prefix_can_be_cached(mobile):
    model = PartialModel(mobile, "layers('block_16_*') | head()")
    found = prefix.find(model)
    assert found is not None and found.shape == (1, 1, 160)  # the output of block 15
    stored = model.stored_statistics
    assert "block_15_project_BN" in stored and "Conv_1_bn" not in stored


@pytest.mark.parametrize(
    ("params", "shape", "words"),
    [
        ({"network": "MobileNetV9"}, (32, 32, 3), "got 'MobileNetV9'. Did you mean 'MobileNetV2'"),
        ({"alfa": 0.35}, (32, 32, 3), "MobileNetV2 has no parameter 'alfa'. Did you mean 'alpha'"),
        ({"classes": 3}, (32, 32, 3), "MobileNetV2 has no parameter 'classes'"),
        ({}, (64,), "Set image_shape if the samples are rows of a table"),
        ({}, (32, 32, 2), "1 or 3 channels"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(params, shape, words):
    with pytest.raises(ValueError, match=words):
        architectures.build("application", shape, 2, **params)


def test_arguments_of_the_network_are_passed_on():
    X, y = images(1)
    clf = pretrained(alpha=0.35).fit(X, y)
    without_top = 410_208  # MobileNetV2 of width .35, as Keras's documentation counts
    assert clf.model_.count_params() == without_top + 1280 * 2 + 2
    assert clf.get_params()["model_params"] == {"alpha": 0.35}


def images(high):
    return np.random.default_rng(0).uniform(0, high, (8, 32, 32, 3)), np.arange(8) % 2


def pretrained(**params):
    return PartialNetClassifier(
        "application", model_params=params, trainable="head()", epochs=1, random_state=0
    )


def test_frozen_features_that_are_random_are_named_in_a_warning():
    with pytest.warns(UserWarning, match="frozen parameters of `application` are random"):
        pretrained(weights=None).set_params(frozen="keep").fit(*images(1))


def test_pixels_outside_the_value_range_are_named_in_a_warning():
    with pytest.warns(UserWarning, match=r"value_range=\(0, 1\), got 25"):
        pretrained().fit(*images(255))
    pretrained(value_range=(0, 255)).fit(*images(255))
