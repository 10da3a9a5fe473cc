"""The network families build what they promise, and refuse in one sentence what they cannot."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest

from frozenfit import architectures
from frozenfit.architectures import parts
from frozenfit.layout import describe
from frozenfit.selectors import block

# Keras turns torch's tensors into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = {
    "mlp": {"hidden_layer_sizes": (12, 8), "batch_norm": True, "dropout": 0.1},
    "lenet5": {"batch_norm": True},
    "alexnet": {"width": 1 / 16},
    "vgg19": {"width": 1 / 32},
    "resnet": {"depth": 8, "width": 0.25},
    "wide_resnet": {"depth": 10, "width": 0.5, "dropout": 0.1},
    "densenet": {"depth": 10, "growth": 4},
}


def small(name, image=(8, 8, 1), n_outputs=3):
    return architectures.build(name, image, n_outputs, **SMALL[name])


@cache
def known(name):
    """Return a small network that no test changes, built once."""
    return small(name)


@pytest.fixture
def no_values(monkeypatch):
    """Fill kernels with zeros, since JAX compiles the drawing of each new shape."""

    def zeros(initializer, shape, dtype=None):
        return keras.ops.convert_to_tensor(np.zeros(shape, dtype))

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)


def numbers(value):
    return keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(value))


def layer(model, name):
    return next(layer for layer in model.layers if layer.name == name)


def test_the_families_are_known_by_name():
    assert set(SMALL) <= set(architectures.names())  # other tests register more


@pytest.mark.parametrize("name", SMALL)
def test_a_network_maps_small_images_to_finite_logits(name):
    images = np.random.default_rng(0).random((5, 8, 8, 1), dtype="float32")
    logits = known(name).predict(images, verbose=0)
    assert logits.shape == (5, 3)
    assert np.isfinite(logits).all()
    assert layer(known(name), "head").activation is keras.activations.linear


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("image", [(1, 1, 2), (2, 1, 1), (7, 5, 3), (28, 28, 1), (33, 47, 3)])
def test_a_network_takes_images_of_any_size(name, image, no_values):
    assert small(name, image).output_shape == (None, 3)


@pytest.mark.parametrize("name", SMALL)
def test_every_layer_is_named_by_hand(name, no_values):
    first, second = small(name), small(name)
    assert [one.name for one in first.layers] == [one.name for one in second.layers]
    assert first.name == name


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_named_after_their_layer(name):
    model = known(name)
    for info in describe(model).weights:
        assert info.layer in {one.name for one in model.layers}
        assert info.path.startswith(f"{info.layer}/")


@pytest.mark.parametrize("name", SMALL)
def test_the_last_layer_is_called_head(name):
    assert describe(known(name)).heads == ("head",)


@pytest.mark.parametrize("name", SMALL)
def test_logits_are_float32_under_mixed_precision(name, no_values):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small(name)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.output.dtype == "float32"
    inside = [
        one for one in model.layers if isinstance(one, keras.layers.Dense | keras.layers.Conv2D)
    ]
    assert inside[0].compute_dtype == "bfloat16"


@pytest.mark.parametrize("name", SMALL)
def test_a_network_survives_its_config(name, no_values):
    model = small(name)
    copy = keras.Model.from_config(model.get_config())
    assert copy.count_params() == model.count_params()


def test_mlp_takes_any_rank_and_flattens(no_values):
    for shape in ((16,), (4, 4), (2, 2, 4), (2, 2, 2, 2)):
        model = architectures.build("mlp", shape, 3, hidden_layer_sizes=(5,))
        assert model.count_params() == 16 * 5 + 5 + 5 * 3 + 3


def test_mlp_without_hidden_layers_is_linear():
    assert architectures.build("mlp", (7,), 3, hidden_layer_sizes=()).count_params() == 24


@pytest.mark.parametrize(("batch_norm", "n_weights"), [(False, 10), (True, 14)])
def test_lenet5_with_normalization_trades_biases_for_offsets(batch_norm, n_weights):
    model = architectures.build("lenet5", (28, 28, 1), 10, batch_norm=batch_norm)
    assert len(model.trainable_variables) == n_weights


def test_lenet5_pads_images_under_28_pixels():
    assert layer(architectures.build("lenet5", (27, 40, 1), 2), "conv1").padding == "same"
    assert layer(architectures.build("lenet5", (28, 40, 1), 2), "conv1").padding == "valid"


def test_lenet5_leaves_four_pixels_of_a_digit():
    head = layer(architectures.build("lenet5", (8, 8, 1), 10), "dense1")
    assert head.kernel.shape == (2 * 2 * 16, 120)


def test_alexnet_shrinks_a_32_pixel_image_to_one(no_values):
    model = architectures.build("alexnet", (32, 32, 3), 10, width=1 / 16)
    sides = [
        layer(model, name).output.shape[1] for name in ("conv1", "conv2", "conv3", "conv5_pool")
    ]
    assert sides == [8, 4, 2, 1]


def test_densenet_without_bottleneck_has_one_convolution_a_unit(no_values):
    model = architectures.build("densenet", (8, 8, 1), 2, depth=7, growth=3, bottleneck=False)
    convolutions = [one.name for one in model.layers if isinstance(one, keras.layers.Conv2D)]
    assert convolutions == [
        "conv1",
        "block1_unit1_conv1",
        "transition1_conv",
        "block2_unit1_conv1",
        "transition2_conv",
        "block3_unit1_conv1",
    ]


def test_wide_resnet_keeps_the_input_of_a_unit_that_does_not_widen(no_values):
    model = architectures.build("wide_resnet", (8, 8, 1), 2, depth=10, width=1)
    names = [one.name for one in model.layers]
    assert "block1_unit1_shortcut" not in names
    assert "block2_unit1_shortcut" in names


def test_wide_resnet_leaves_four_pixels_of_a_64_pixel_image(no_values):
    model = architectures.build("wide_resnet", (64, 64, 3), 200, depth=10, width=1)
    assert layer(model, "head").kernel.shape == (4 * 64, 200)


def test_batch_statistics_follow_the_reference_networks():
    norm = layer(known("wide_resnet"), "norm")
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


def test_a_convolution_with_stride_is_padded_alike_on_all_sides():
    image = keras.Input((6, 6, 1))
    model = keras.Model(image, parts.conv(image, 1, 3, "c", stride=2))
    center = np.zeros((3, 3, 1, 1), "float32")
    center[1, 1] = 1
    layer(model, "c").kernel.assign(center)
    pixels = np.arange(36, dtype="float32").reshape(1, 6, 6, 1)
    np.testing.assert_array_equal(numbers(model(pixels)), pixels[:, ::2, ::2])


def test_convolutions_start_from_he_normal_by_fan_out():
    model = architectures.build("wide_resnet", (8, 8, 1), 2, depth=10, width=4)
    values = numbers(layer(model, "block3_unit1_conv2").kernel)
    assert values.std() == pytest.approx(np.sqrt(2 / (9 * 256)), rel=0.01)
    # A normal distribution that is not cut at two standard deviations.
    assert abs(values).max() > 3.5 * values.std()


def test_a_head_starts_uniform_within_one_over_root_inputs():
    values = numbers(layer(known("densenet"), "head").kernel)
    limit = 1 / np.sqrt(len(values))
    assert 0.8 * limit < abs(values).max() <= limit


def test_groups_are_blocks():
    layout = describe(known("densenet"))
    in_block = {info.layer for info in layout.weights if info.layer.startswith("block2")}
    found = {path.split("/")[0] for path, _ in _learned(block("block2").resolve(layout))}
    assert found == in_block
    assert not any(name.startswith("transition") for name in found)


def _learned(selection):
    return [(path, count) for path in selection.forms if (count := selection.counts(path)[0])]


def test_parameters_returns_the_defaults_in_order():
    assert list(architectures.parameters("mlp").items()) == [
        ("hidden_layer_sizes", (512,)),
        ("activation", "relu"),
        ("batch_norm", False),
        ("dropout", 0),
    ]


def test_numbers_from_numpy_are_numbers():
    model = architectures.build(
        "wide_resnet", (np.int64(8), 8, 1), np.int64(2), depth=np.int64(10), width=np.float32(0.5)
    )
    assert model.output_shape == (None, 2)


@pytest.mark.parametrize(
    ("name", "shape", "params", "words"),
    [
        ("lenet", (8, 8, 1), {}, "no architecture 'lenet'. Did you mean 'lenet5'"),
        (
            "mlp",
            (8,),
            {"hidden_sizes": 3},
            "no parameter 'hidden_sizes'. Did you mean 'hidden_layer_sizes'",
        ),
        ("lenet5", (784,), {}, r"must be \(height, width, channels\), got \(784,\)"),
        ("mlp", (), {}, r"`input_shape` of mlp must be .* got \(\)"),
        ("mlp", (None, 3), {}, r"`input_shape` of mlp must be .* got \(None, 3\)"),
        ("mlp", (8,), {"hidden_layer_sizes": (5, 0)}, r"integers >= 1 .* got \(5, 0\)"),
        ("mlp", (8,), {"hidden_layer_sizes": 5}, "sequence of integers .* got 5"),
        ("mlp", (8,), {"dropout": 1}, r"`dropout` of mlp must be in \[0, 1\), got 1"),
        ("wide_resnet", (8, 8, 1), {"depth": 27}, r"6n \+ 4 \(10, 16, 22, ...\), got 27"),
        ("resnet", (8, 8, 1), {"depth": 2}, r"6n \+ 2 \(8, 14, 20, ...\), got 2"),
        ("densenet", (8, 8, 1), {"depth": 8, "bottleneck": False}, r"3n \+ 4 .* got 8"),
        ("densenet", (8, 8, 1), {"growth": 0}, "`growth` of densenet must be an int >= 1, got 0"),
        (
            "densenet",
            (8, 8, 1),
            {"compression": 2},
            r"`compression` of densenet must be in \(0, 1\], got 2",
        ),
        ("vgg19", (8, 8, 1), {"width": 0}, "`width` of vgg19 must be a number > 0, got 0"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(name, shape, params, words):
    with pytest.raises(ValueError, match=words):
        architectures.build(name, shape, 3, **params)


@pytest.mark.parametrize("n_outputs", [0, 2.0, True, None])
def test_outputs_are_counted_by_an_integer(n_outputs):
    with pytest.raises(ValueError, match="`n_outputs` of .* must be an int >= 1"):
        architectures.build("mlp", (8,), n_outputs)


def test_the_parameters_of_an_unknown_name_are_refused():
    with pytest.raises(ValueError, match="'wideresnet'. Did you mean 'wide_resnet'"):
        architectures.parameters("wideresnet")


def _linear(input_shape, n_outputs, use_bias=True):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Dense(n_outputs, use_bias=use_bias, name="d")(inputs))


def test_a_function_of_the_user_is_built_by_name():
    assert architectures.register("linear")(_linear) is _linear
    assert architectures.build("linear", (4,), 3, use_bias=False).count_params() == 12
    assert "linear" in architectures.names()


def test_a_name_belongs_to_one_function():
    with pytest.raises(ValueError, match="'mlp' is already registered by frozenfit"):
        architectures.register("mlp")(_linear)


def test_a_function_can_be_registered_again():
    architectures.register("linear")(_linear)
    architectures.register("linear")(_linear)
    assert architectures.build("linear", (4,), 3).count_params() == 15


def test_a_required_parameter_is_asked_for():
    @architectures.register("needs_width")
    def needs_width(input_shape, n_outputs, width):
        return _linear(input_shape, n_outputs)

    with pytest.raises(ValueError, match="requires the parameter 'width'"):
        architectures.build("needs_width", (4,), 3)


def test_a_function_that_returns_no_model_is_refused():
    architectures.register("nothing_built")(lambda input_shape, n_outputs: None)
    with pytest.raises(TypeError, match="must return a keras.Model, got NoneType"):
        architectures.build("nothing_built", (4,), 3)


def test_only_functions_of_shape_and_outputs_are_registered():
    with pytest.raises(TypeError, match=r"\(input_shape, n_outputs"):
        architectures.register("short")(lambda input_shape: None)


@pytest.mark.parametrize("name", ["", "two words", None])
def test_a_name_is_an_identifier(name):
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        architectures.register(name)
