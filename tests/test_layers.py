"""A partly frozen layer in any Keras model: trains as PartialModel, saves, loads and exports."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from contract_networks import BATCH, array, batches, build, chain, data, keras_fit, loss, values
from keras import layers as kl

from frozenfit import PartialModel
from frozenfit.layers import Partial
from frozenfit.selectors import forms

PARTS = {"a": "filters(0.5)", "b": "random(0.3, seed=1)"}
SAME = "filters(0.5).on('a') | random(0.3, seed=1).on('b') | layers('out')"
WITHOUT_CONFIG = "cannot be copied from its configuration. Implement its get_config"


def rebuilt(base: keras.Model, parts: dict[str, str], **options) -> keras.Model:
    """A network of one input and a chain of layers, some of them wrapped."""
    x = inputs = keras.Input(base.input_shape[1:])
    for layer in base.layers[1:]:
        part = parts.get(layer.name)
        copy = Partial(layer, part, **options) if part else again(layer)
        x = copy(x)
    return keras.Model(inputs, x)


def again(layer: keras.Layer) -> keras.Layer:
    copy = type(layer).from_config(layer.get_config())
    copy.build(layer.get_build_config()["input_shape"])
    copy.set_weights(layer.get_weights())
    return copy


def assembled(layer: Partial) -> dict[str, np.ndarray]:
    return dict(layer._partial.assembled())


def wrapped(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights that a model computes with, by path, of the layers that are wrapped in it."""
    found = [assembled(layer) for layer in model.layers if isinstance(layer, Partial)]
    return {path: value for each in found for path, value in each.items()}


def momentum():
    return keras.optimizers.SGD(0.05, momentum=0.9)


def expect_equal_training(ours: keras.Model, theirs: PartialModel, kind: str, atol=0.0) -> None:
    histories = []
    for model in (ours, theirs):
        model.compile(momentum(), loss(), auto_scale_loss=False)
        x, y = batches(kind)
        fitted = model.fit(x, y, batch_size=BATCH, shuffle=False, epochs=2, verbose=0)
        histories.append(fitted.history["loss"])
    np.testing.assert_allclose(*histories, atol=max(atol, 1e-6))
    expected, found = dict(theirs.assembled()), wrapped(ours)
    assert found
    for path, value in found.items():
        np.testing.assert_allclose(value, expected[path], atol=max(atol, 1e-6), err_msg=path)


@pytest.mark.parametrize("frozen", ["keep", "random", "zero"])
def test_wrapped_layers_train_as_the_partial_model_with_the_same_selector(frozen):
    base = build("dense")
    model = rebuilt(base, PARTS, frozen=frozen, seed=3)
    same = PartialModel(base, SAME, frozen=frozen, seed=3)
    before, start = wrapped(model), dict(same.assembled())
    for path, value in before.items():
        np.testing.assert_array_equal(value, start[path])
    expect_equal_training(model, same, "dense")
    assert any((before[path] != value).any() for path, value in wrapped(model).items())


@pytest.mark.parametrize("kind", ["conv_norm", "nested", "lstm", "gru", "attention"])
@pytest.mark.parametrize("frozen", ["keep", "random"])
def test_a_wrapped_network_trains_as_the_partial_model_with_the_same_selector(kind, frozen):
    base, part = build(kind), "random(0.3, seed=1) | head()"
    inputs = keras.Input(base.input_shape[1:])
    model = keras.Model(inputs, Partial(base, part, frozen, seed=3)(inputs))
    same = PartialModel(base, part, frozen=frozen, seed=3)
    expect_equal_training(model, same, kind, 1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_as_the_partial_model(policy):
    keras.config.set_dtype_policy(policy)
    try:
        base = build("dense")
        model = rebuilt(base, PARTS, frozen="random", seed=3)
        same = PartialModel(base, SAME, frozen="random", seed=3)
        assert model.compute_dtype == policy.removeprefix("mixed_")
        assert {v.dtype for v in model.trainable_variables} == {"float32"}
        assert "float16" in str(array(model(np.ones((1, 6)))).dtype) or policy.endswith("bfloat16")
        expect_equal_training(model, same, "dense", 1e-3)
    finally:
        keras.config.set_dtype_policy("float32")


def test_frozen_parameters_do_not_move_and_take_no_optimizer_state():
    model = rebuilt(build("dense"), PARTS)
    before = [assembled(layer) for layer in model.layers[1:3]]
    optimizer = keras.optimizers.AdamW(0.05, weight_decay=0.1, clipnorm=1.0)
    keras_fit(model, optimizer, "dense")
    for layer, start in zip(model.layers[1:3], before, strict=True):
        for path, form in layer.selection.items():
            mask = forms.to_mask(form, start[path].shape)
            end = assembled(layer)[path]
            np.testing.assert_array_equal(start[path][~mask], end[~mask], err_msg=path)
            assert (start[path][mask] != end[mask]).any(), path
    moments = sum(array(v).size for v in optimizer.variables) - 2
    assert moments == 2 * sum(array(v).size for v in model.trainable_variables)


def test_the_given_layer_is_copied_and_left_as_it_is():
    base = build("dense")
    before = values(base)
    model = rebuilt(base, PARTS, frozen="zero")
    keras_fit(model, momentum(), "dense")
    for old, new in zip(before, values(base), strict=True):
        np.testing.assert_array_equal(old, new)
    assert all(v.trainable for v in base.variables)


def sequential():
    return keras.Sequential(
        [
            keras.Input((6,)),
            Partial(kl.Dense(8, "relu", name="a"), "magnitude(0.25)", "keep"),
            Partial(kl.Dense(5, name="b"), "random(0.3, seed=1)", seed=4, name="second"),
            kl.Dense(3, name="out"),
        ]
    )


def functional():
    return rebuilt(build("dense"), PARTS)


@keras.saving.register_keras_serializable(package="test_layers")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a = Partial(kl.Dense(8, "relu", name="a"), "filters(0.5)", seed=2)
        self.b = kl.Dense(3)

    def call(self, inputs):
        return self.b(self.a(inputs))


@pytest.mark.parametrize("make", [sequential, functional, Subclassed])
def test_a_model_is_saved_and_loaded_whole_and_trains_on(make, tmp_path):
    model = make()
    keras_fit(model, keras.optimizers.Adam(0.01), "dense")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x, y = batches("dense")
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))
    for each in (model, loaded):
        each.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    np.testing.assert_allclose(array(loaded(x)), array(model(x)), atol=1e-6)
    for ours, theirs in zip(model.layers, loaded.layers, strict=True):
        if isinstance(ours, Partial):
            assert ours.parameter_table() == theirs.parameter_table()
            assert ours.get_config()["trainable_part"] == theirs.get_config()["trainable_part"]


@pytest.mark.parametrize("make", [sequential, functional])
def test_weights_are_saved_and_loaded_into_a_clone(make, tmp_path):
    model = make()
    keras_fit(model, momentum(), "dense")
    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    x, _ = batches("dense")
    assert (array(clone(x)) != array(model(x))).any()
    clone.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(array(clone(x)), array(model(x)))


def test_the_configuration_has_the_selector_as_text():
    layer = Partial(kl.Dense(4, name="a"), "filters(0.5) - biases()", "zero", 7, name="p")
    config = layer.get_config()
    assert config["trainable_part"]["selector"] == "filters(0.5) - biases()"
    assert (config["frozen"], config["seed"], config["name"]) == ("zero", 7, "p")
    twin = Partial.from_config(config)
    assert (twin.layer.name, twin.built, twin.name) == ("a", False, "p")
    twin.build((None, 3))
    assert [row.trainable for row in twin.parameter_table()] == [6, 0]


def test_positions_that_depend_on_values_are_those_of_the_saved_layer(tmp_path):
    model = sequential()
    chosen = model.layers[0].selection
    model.save(tmp_path / "model.keras")
    keras.utils.set_random_seed(99)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert dict(loaded.layers[0].selection.items()) == dict(chosen.items())


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="a SavedModel is TensorFlow's")
def test_a_saved_model_computes_the_same(tmp_path):
    import tensorflow as tf

    model = functional()
    keras_fit(model, momentum(), "dense")
    model.export(str(tmp_path / "served"), verbose=False)
    x, _ = batches("dense")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    served = loaded.serve(x.astype("float32"))
    np.testing.assert_allclose(np.asarray(served), array(model(x)), atol=1e-6)


def test_a_layer_built_while_keras_infers_shapes_has_the_values_of_its_seed():
    model = Subclassed()
    x, y = batches("dense")
    model.compile(keras.optimizers.SGD(0.0), loss())
    model.fit(x, y, verbose=0)  # builds the layers without an input
    one = Partial(kl.Dense(8, "relu", name="a"), "filters(0.5)", seed=2)
    one.build((None, 6))
    np.testing.assert_array_equal(
        assembled(model.a)["a/kernel"][:, 4:], assembled(one)["a/kernel"][:, 4:]
    )
    assert np.ptp(assembled(model.a)["a/kernel"][:, :4]) > 0


def test_an_lstm_keeps_the_initial_bias_that_no_seed_gives():
    layer = Partial(kl.LSTM(4, name="lstm"), "kernels()", seed=1)
    layer.build((None, 5, 3))
    np.testing.assert_array_equal(assembled(layer)["lstm/lstm_cell/bias"][4:8], 1)
    built = kl.LSTM(4, name="lstm")
    built.build((None, 5, 3))
    with pytest.raises(ValueError, match="requires a known initializer"):
        Partial(built, "kernels()")


def test_layers_of_other_names_and_seeds_draw_other_frozen_values():
    def drawn(name, seed):
        layer = Partial(kl.Dense(8, name=name), "filters(0.25)", seed=seed)
        layer.build((None, 3))
        return assembled(layer)[f"{name}/kernel"][:, 2:]

    np.testing.assert_array_equal(drawn("a", 1), drawn("a", 1))
    assert (drawn("a", 1) != drawn("b", 1)).all()
    assert (drawn("a", 1) != drawn("a", 2)).all()


def test_regularizers_and_activity_losses_count_once_in_each_step():
    def net(wrap):
        layer = kl.Dense(8, kernel_regularizer="l2", activity_regularizer="l2", name="a")
        layer.build((None, 6))
        layer.set_weights([np.full((6, 8), 0.5), np.zeros(8)])
        head = kl.Dense(3, kernel_initializer="zeros")
        return chain((6,), Partial(layer, "filters(0.5)", "keep") if wrap else layer, head)

    x, y = batches("dense")
    losses = []
    for wrap in (True, False):
        model = net(wrap)
        model.compile(keras.optimizers.SGD(0.0), loss())
        fitted = model.fit(x, y, batch_size=BATCH, shuffle=False, epochs=3, verbose=0)
        losses.append([*fitted.history["loss"], model.evaluate(x, y, verbose=0)])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_masks_and_several_inputs_reach_the_layer():
    tokens = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    embedding = kl.Embedding(5, 4, mask_zero=True, name="tokens")
    recurrent = kl.GRU(3, name="gru")
    attention = kl.MultiHeadAttention(2, 3, name="mha")
    inputs = keras.Input((4,), dtype="int32")
    x = embedding(inputs)
    plain = keras.Model(inputs, [recurrent(x), attention(x, x, use_causal_mask=True)])

    inputs = keras.Input((4,), dtype="int32")
    x = Partial(embedding, "rows(0.5) | random(0.5)", "keep")(inputs)
    gru = Partial(recurrent, "filters(0.5)", "keep")(x)
    mha = Partial(attention, "random(0.5)", "keep")
    model = keras.Model(inputs, [gru, mha(x, x, use_causal_mask=True)])
    for ours, theirs in zip(model(tokens), plain(tokens), strict=True):
        np.testing.assert_allclose(array(ours), array(theirs), atol=1e-6)


def test_switching_trainable_off_and_on_trains_the_same_parameters_again():
    model = rebuilt(build("dense"), PARTS)
    before = [v.path for v in model.trainable_variables]
    model.trainable = False
    assert model.trainable_variables == []
    model.trainable = True
    assert [v.path for v in model.trainable_variables] == before


def test_statistics_are_states_of_the_layer_and_frozen_ones_are_kept():
    x = np.random.default_rng(0).normal(3, 2, (16, 4)).astype("float32")
    moved = []
    for part, frozen in (("everything()", "keep"), ("last(1)", "keep"), ("last(1)", "random")):
        norm = kl.BatchNormalization(name="norm")
        inner = keras.Sequential([keras.Input((4,)), norm, kl.Dense(3, name="d")])
        model = keras.Sequential([keras.Input((4,)), Partial(inner, part, frozen)])
        model.compile("sgd", "mse")
        model.fit(x, np.ones((16, 3)), verbose=0)
        states = model.layers[0].layer.layers[0].moving_mean
        moved.append(bool(np.abs(array(states)).max() > 0))
    assert moved == [True, False, True]


def test_a_norm_of_whole_filters_is_kept_and_other_constraints_are_refused():
    def partial(part, constraint):
        layer = Partial(kl.Dense(4, kernel_constraint=constraint, name="a"), part, "keep")
        layer.build((None, 6))
        return layer

    layer = partial("filters(0.5)", keras.constraints.MaxNorm(0.1))
    model = chain((6,), layer, kl.Dense(3))
    keras_fit(model, momentum(), "dense")
    norms = np.linalg.norm(assembled(layer)["a/kernel"], axis=0)
    assert (norms[:2] <= 0.1001).all()
    assert (norms[2:] > 0.1001).all()
    partial("random(0.5)", "non_neg")
    with pytest.raises(ValueError, match="constraint MaxNorm of 'a/kernel' needs the whole weight"):
        partial("random(0.5)", keras.constraints.MaxNorm(1.0))


class Unsaved(keras.layers.Layer):
    def __init__(self, thing):
        super().__init__()
        self.dense = kl.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Partial(3, 0.5), TypeError, "`layer` must be a keras.Layer, got int"),
        (lambda: Partial(Unsaved(object()), 0.5), ValueError, WITHOUT_CONFIG),
        (lambda: Partial(kl.Dense(2), 0.5, "auto"), ValueError, "`frozen` must be one of"),
        (lambda: Partial(kl.ReLU(), 0.5).build((None, 2)), ValueError, "must have trainable weigh"),
        (lambda: Partial(kl.Dense(2), "head()").build((None, 2)), ValueError, "select"),
        (lambda: Partial(kl.Dense(2), 0.5).parameter_table(), ValueError, "is not built yet"),
    ],
)
def test_errors_name_what_is_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_number_selects_filters_because_the_layer_is_no_head():
    layer = Partial(kl.Dense(8, name="a"), 0.25)
    layer.build((None, 3))
    assert [row.trainable for row in layer.parameter_table()] == [6, 2]


def test_a_built_layer_needs_no_input():
    layer = Partial(build("dense").get_layer("a"), "filters(0.5)", "keep")
    assert layer.built
    assert [row.trainable for row in layer.parameter_table()] == [24, 4]
    assert layer.count_params() == 56
    x, _, _ = data("dense")
    assert tuple(layer(x[0]).shape) == (BATCH, 8)
