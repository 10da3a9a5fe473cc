"""What the layout says of each layer kind, of a model's order, heads and states."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers as kl

from frozenfit.layout import Survey, describe


def functional(shape, *chain):
    x = inputs = keras.Input(shape)
    for layer in chain:
        x = layer(x)
    return keras.Model(inputs, x)


def rows(model):
    """Return (path, role, output, input and spatial axes) of every weight."""
    return [
        (w.path, w.role, w.output_axes, w.input_axes, w.spatial_axes)
        for w in describe(model).weights
    ]


KINDS = {
    "Dense": (
        (5,),
        kl.Dense(3, name="d"),
        [("d/kernel", "kernel", (1,), (0,), ()), ("d/bias", "bias", (0,), (), ())],
    ),
    "EinsumDense": (
        (4, 5),
        kl.EinsumDense("abc,cde->abde", (4, 2, 3), bias_axes="de", name="e"),
        [("e/kernel", "kernel", (1, 2), (0,), ()), ("e/bias", "bias", (0, 1), (), ())],
    ),
    "EinsumDense joining axes": (
        (2, 3),
        kl.EinsumDense("abc,bcd->ad", 5, bias_axes="d", name="e"),
        [("e/kernel", "kernel", (2,), (0, 1), ()), ("e/bias", "bias", (0,), (), ())],
    ),
    "EinsumDense with an ellipsis": (
        (4, 5),
        kl.EinsumDense("...x,xy->...y", 3, name="e"),
        [("e/kernel", "kernel", (1,), (0,), ())],
    ),
    "EinsumDense with a kernel for each group": (
        (2, 3),
        kl.EinsumDense("abc,bcd->abd", (2, 4), bias_axes="bd", name="e"),
        [("e/kernel", "kernel", (0, 2), (1,), ()), ("e/bias", "bias", (0, 1), (), ())],
    ),
    "EinsumDense with a bias over positions": (
        (4, 5),
        kl.EinsumDense("abc,cd->abd", (4, 3), bias_axes="b", name="e"),
        [("e/kernel", "kernel", (1,), (0,), ()), ("e/bias", "bias", (), (), ())],
    ),
    "Conv1D": (
        (8, 2),
        kl.Conv1D(4, 3, name="c"),
        [("c/kernel", "kernel", (2,), (1,), (0,)), ("c/bias", "bias", (0,), (), ())],
    ),
    "Conv2D": (
        (8, 8, 2),
        kl.Conv2D(4, 3, name="c"),
        [("c/kernel", "kernel", (3,), (2,), (0, 1)), ("c/bias", "bias", (0,), (), ())],
    ),
    "Conv3D": (
        (4, 4, 4, 2),
        kl.Conv3D(4, 3, use_bias=False, name="c"),
        [("c/kernel", "kernel", (4,), (3,), (0, 1, 2))],
    ),
    "Conv1DTranspose": (
        (8, 2),
        kl.Conv1DTranspose(4, 3, name="c"),
        [("c/kernel", "kernel", (1,), (2,), (0,)), ("c/bias", "bias", (0,), (), ())],
    ),
    "Conv2DTranspose": (
        (8, 8, 2),
        kl.Conv2DTranspose(4, 3, use_bias=False, name="c"),
        [("c/kernel", "kernel", (2,), (3,), (0, 1))],
    ),
    "DepthwiseConv1D": (
        (8, 2),
        kl.DepthwiseConv1D(3, depth_multiplier=2, name="c"),
        [("c/kernel", "kernel", (1, 2), (1,), (0,)), ("c/bias", "bias", (0,), (), ())],
    ),
    "DepthwiseConv2D": (
        (8, 8, 2),
        kl.DepthwiseConv2D(3, depth_multiplier=2, name="c"),
        [("c/kernel", "kernel", (2, 3), (2,), (0, 1)), ("c/bias", "bias", (0,), (), ())],
    ),
    "SeparableConv1D": (
        (8, 2),
        kl.SeparableConv1D(5, 3, use_bias=False, name="c"),
        [
            ("c/depthwise_kernel", "kernel", (1,), (1,), (0,)),
            ("c/pointwise_kernel", "kernel", (2,), (1,), (0,)),
        ],
    ),
    "SeparableConv2D": (
        (8, 8, 2),
        kl.SeparableConv2D(5, 3, name="c"),
        [
            ("c/depthwise_kernel", "kernel", (2,), (2,), (0, 1)),
            ("c/pointwise_kernel", "kernel", (3,), (2,), (0, 1)),
            ("c/bias", "bias", (0,), (), ()),
        ],
    ),
    "Embedding": (
        (4,),
        kl.Embedding(10, 3, name="e"),
        [("e/embeddings", "embedding", (1,), (0,), ())],
    ),
    "LSTM": (
        (4, 2),
        kl.LSTM(3, name="r"),
        [
            ("r/lstm_cell/kernel", "kernel", (1,), (0,), ()),
            ("r/lstm_cell/recurrent_kernel", "kernel", (1,), (0,), ()),
            ("r/lstm_cell/bias", "bias", (0,), (), ()),
        ],
    ),
    "GRU with two rows of biases": (
        (4, 2),
        kl.GRU(3, name="r"),
        [
            ("r/gru_cell/kernel", "kernel", (1,), (0,), ()),
            ("r/gru_cell/recurrent_kernel", "kernel", (1,), (0,), ()),
            ("r/gru_cell/bias", "bias", (1,), (), ()),
        ],
    ),
    "GRU with one row of biases": (
        (4, 2),
        kl.GRU(3, reset_after=False, name="r"),
        [
            ("r/gru_cell/kernel", "kernel", (1,), (0,), ()),
            ("r/gru_cell/recurrent_kernel", "kernel", (1,), (0,), ()),
            ("r/gru_cell/bias", "bias", (0,), (), ()),
        ],
    ),
    "BatchNormalization": (
        (4,),
        kl.BatchNormalization(name="n"),
        [("n/gamma", "scale", (0,), (), ()), ("n/beta", "offset", (0,), (), ())],
    ),
    "LayerNormalization": (
        (2, 4),
        kl.LayerNormalization(axis=(1, 2), name="n"),
        [("n/gamma", "scale", (1,), (), ()), ("n/beta", "offset", (1,), (), ())],
    ),
    "GroupNormalization": (
        (4,),
        kl.GroupNormalization(2, name="n"),
        [("n/gamma", "scale", (0,), (), ()), ("n/beta", "offset", (0,), (), ())],
    ),
    "RMSNormalization": (
        (4,),
        kl.RMSNormalization(name="n"),
        [("n/scale", "scale", (0,), (), ())],
    ),
    "PReLU, which the table does not know": (
        (2, 4),
        kl.PReLU(name="p"),
        [("p/alpha", "other", (1,), (), ())],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_axes_of_a_layer_kind(kind):
    shape, layer, expected = KINDS[kind]
    # The layers above are made once; a copy keeps their paths free of a first call elsewhere.
    model = functional(shape, type(layer).from_config(layer.get_config()))
    assert rows(model) == expected


@pytest.mark.parametrize(
    ("cell", "gates"), [(kl.LSTM, 4), (kl.GRU, 3), (kl.SimpleRNN, 1), (kl.ConvLSTM1D, 4)]
)
def test_a_recurrent_unit_counts_once_for_all_its_gates(cell, gates):
    convolution = cell is kl.ConvLSTM1D
    args = (5, 3) if convolution else (5,)
    model = functional((4, 6, 2) if convolution else (4, 2), cell(*args))
    for weight in describe(model).weights:
        assert (weight.gates, weight.n_outputs) == (gates, 5)


def test_a_bidirectional_layer_has_a_cell_for_each_direction():
    model = functional((4, 2), kl.Bidirectional(kl.GRU(3, name="g"), name="b"))
    assert describe(model).layers == ("b/forward_g/gru_cell", "b/backward_g/gru_cell")
    assert {w.gates for w in describe(model).weights} == {3}


def test_the_cells_of_an_rnn_are_its_layers():
    cells = [kl.LSTMCell(3, name="one"), kl.GRUCell(2, name="two")]
    layout = describe(functional((4, 2), kl.RNN(cells, name="r")))
    assert [layer.rsplit("/")[-1] for layer in layout.layers] == ["one", "two"]
    assert [w.gates for w in layout.weights] == [4, 4, 4, 3, 3, 3]


@pytest.mark.parametrize("grouped", [False, True])
def test_an_attention_counts_heads_and_its_output_counts_features(grouped):
    attention = (
        kl.GroupQueryAttention(3, 4, 2, name="a")
        if grouped
        else kl.MultiHeadAttention(4, 3, name="a")
    )
    inputs = keras.Input((5, 6))
    layout = describe(keras.Model(inputs, attention(inputs, inputs)))
    n_keys = 2 if grouped else 4
    expected = {"query": 4, "key": n_keys, "value": n_keys, "attention_output": 6}
    for name, count in expected.items():
        assert layout[f"a/{name}/kernel"].n_outputs == count
        assert layout[f"a/{name}/bias"].n_outputs == count
    assert layout["a/query/kernel"].output_axes == (1,)
    assert layout["a/query/bias"].output_axes == (0,)
    assert layout["a/attention_output/kernel"].input_axes == (0, 1)


def test_groups_of_a_convolution_are_described():
    weight = describe(functional((8, 8, 4), kl.Conv2D(6, 3, groups=2, name="c")))["c/kernel"]
    assert (weight.groups, weight.shape) == (2, (3, 3, 2, 6))


def test_a_subclass_counts_as_the_layer_it_derives_from():
    class Mine(kl.Conv2D):
        pass

    layout = describe(functional((8, 8, 1), Mine(2, 3, name="c")))
    assert layout["c/kernel"].layer_type == "Conv2D"
    assert layout.convolutional


class Custom(keras.Layer):
    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 3), name="kernel")
        self.bias = self.add_weight(shape=(3,), name="bias")
        self.table = self.add_weight(shape=(2, 5), name="table")
        self.gain = self.add_weight(shape=(), name="gain")

    def call(self, x):
        return (keras.ops.matmul(x, self.kernel) + self.bias) * self.gain


def test_an_unknown_layer_is_read_by_the_names_keras_gives():
    assert rows(functional((4,), Custom(name="c"))) == [
        ("c/kernel", "kernel", (1,), (0,), ()),
        ("c/bias", "bias", (0,), (), ()),
        ("c/table", "other", (1,), (), ()),
        ("c/gain", "other", (), (), ()),
    ]


def initializer(model, path):
    text = describe(model)[path].initializer
    return None if text is None else json.loads(text)


def test_an_initializer_is_described_without_its_seed():
    model = functional((4,), kl.Dense(3, kernel_initializer=keras.initializers.HeNormal(7)))
    initializer = json.loads(describe(model).weights[0].initializer)
    assert (initializer["class_name"], initializer["config"]["seed"]) == ("HeNormal", None)


@pytest.mark.parametrize(
    ("layer", "weight", "argument"),
    [
        (kl.DepthwiseConv1D(3, name="c"), "kernel", "depthwise_initializer"),
        (kl.SeparableConv1D(3, 3, name="c"), "depthwise_kernel", "depthwise_initializer"),
        (kl.SeparableConv1D(3, 3, name="c"), "pointwise_kernel", "pointwise_initializer"),
        (kl.SimpleRNN(3, name="c"), "simple_rnn_cell/recurrent_kernel", "recurrent_initializer"),
        (kl.SimpleRNN(3, name="c"), "simple_rnn_cell/bias", "bias_initializer"),
        (kl.BatchNormalization(name="c"), "gamma", "gamma_initializer"),
        (kl.PReLU(name="c"), "alpha", "alpha_initializer"),
    ],
)
def test_each_weight_is_described_with_its_initializer(layer, weight, argument):
    value = {"class_name": "Constant", "config": {"value": 0.25}}
    config = {**layer.get_config(), argument: keras.initializers.Constant(0.25)}
    assert initializer(functional((5, 2), type(layer)(**config)), f"c/{weight}") == value


@pytest.mark.parametrize("forget", [True, False])
def test_a_unit_forget_bias_has_no_initializer(forget):
    model = functional((4, 2), kl.LSTM(3, unit_forget_bias=forget, name="r"))
    assert (initializer(model, "r/lstm_cell/bias") is None) is forget


def test_a_function_is_not_described_as_an_initializer():
    model = functional((4,), kl.Dense(3, kernel_initializer=lambda *_, **__: np.ones((4, 3))))
    assert describe(model).weights[0].initializer is None


def test_a_custom_initializer_is_not_described():
    class Glorot(keras.initializers.GlorotUniform):
        pass

    model = functional((4,), kl.Dense(3, kernel_initializer=Glorot()))
    assert describe(model).weights[0].initializer is None


def test_einsum_counts_fans_on_the_axes_of_its_equation():
    x = keras.Input((5, 6))
    model = keras.Model(x, kl.MultiHeadAttention(4, 3, name="a")(x, x))
    query = initializer(model, "a/query/kernel")["config"]
    output = initializer(model, "a/attention_output/kernel")["config"]
    assert (query["input_axes"], query["output_axes"]) == ([0], [1, 2])
    assert (output["input_axes"], output["output_axes"]) == ([0, 1], [2])


def test_weights_come_in_the_order_of_the_model_and_layers_in_that_of_the_data():
    late, early = kl.Dense(3, name="late"), kl.Dense(4, name="early")
    layout = describe(functional((5,), early, kl.ReLU(), late))
    assert layout.layers == ("early", "late")

    class Sub(keras.Model):
        def __init__(self):
            super().__init__(name="sub")
            self.second, self.first = kl.Dense(2, name="second"), kl.Dense(3, name="first")

        def call(self, x):
            return self.second(self.first(x))

    model = Sub()
    model(np.zeros((1, 4), "float32"))
    assert describe(model).layers == ("second", "first")
    assert [w.path for w in describe(model).weights] == list(Survey(model).trainable)
    assert list(Survey(model).trainable.values()) == list(model.trainable_variables)


def test_a_nested_model_is_flattened_in_its_place():
    inner = keras.Sequential([kl.Dense(4, name="a"), kl.Dropout(0.1, name="b")], name="inner")
    model = functional((5,), kl.Dense(3, name="x"), inner, kl.Dense(2, name="y"))
    assert list(Survey(model).layers) == ["x", "inner/a", "inner/b", "y"]


def test_a_shared_layer_comes_once():
    shared, x = kl.Dense(5, name="shared"), keras.Input((5,))
    model = keras.Model(x, kl.Dense(2, name="out")(shared(shared(x))))
    assert list(Survey(model).layers) == ["shared", "out"]
    assert len(describe(model).weights) == 4


def test_branches_come_in_the_order_data_meets_them():
    x = keras.Input((4,))
    long = kl.Dense(3, name="long2")(kl.Dense(3, name="long1")(x))
    joined = kl.Add(name="add")([kl.Dense(3, name="short")(x), long])
    layers = describe(keras.Model(x, kl.Dense(1, name="out")(joined))).layers
    assert layers.index("long1") < layers.index("long2") < layers.index("out")
    assert layers[-1] == "out"


class Twins(keras.Model):
    def __init__(self):
        super().__init__(name="twins")
        self.one, self.two = kl.Dense(2, name="d"), kl.Dense(2, name="d")
        self.three = kl.BatchNormalization(name="d")

    def call(self, x):
        return self.three(self.two(self.one(x)))


def test_equal_paths_are_numbered():
    model = Twins()
    model(np.zeros((1, 2), "float32"))
    layout = describe(model)
    assert layout.layers == ("d", "d#2", "d#3")
    assert [w.path for w in layout.weights][:4] == [
        "d/kernel",
        "d/bias",
        "d/kernel#2",
        "d/bias#2",
    ]
    assert layout["d/kernel#2"].layer == "d#2"


def test_numbers_of_equal_paths_do_not_move_when_a_layer_is_frozen():
    model = Twins()
    model(np.zeros((1, 2), "float32"))
    model.one.trainable = False
    assert [w.path for w in describe(model).weights][:2] == ["d/kernel#2", "d/bias#2"]


def test_a_wrapped_weight_belongs_to_the_layer_that_made_it():
    wrapped = kl.SpectralNormalization(kl.Dense(3, name="inner"), name="wrapper")
    model = functional((4,), wrapped)
    assert [w.layer for w in describe(model).weights] == ["wrapper/inner"] * 2
    assert [info.kind for info in Survey(model).state_infos.values()] == ["statistic"]


def test_a_frozen_layer_has_neither_weights_nor_states():
    frozen = kl.Dense(3, name="frozen")
    frozen.trainable = False
    model = functional((4,), frozen, kl.Dense(2, name="out"))
    assert describe(model).layers == ("out",)
    assert Survey(model).states == {}


def test_a_wrapper_does_not_make_a_state_of_a_frozen_weight():
    inner = kl.Dense(3, name="inner")
    inner.trainable = False
    model = functional((4,), kl.SpectralNormalization(inner, name="wrapper"))
    assert describe(model).weights == ()
    assert list(Survey(model).states) == ["wrapper/vector_u"]


def test_a_frozen_normalization_keeps_its_statistics_as_states():
    norm = kl.BatchNormalization(name="n")
    model = functional((4,), norm)
    norm.trainable = False
    assert describe(model).weights == ()
    assert list(Survey(model).states) == ["n/moving_mean", "n/moving_variance"]


def test_states_are_described_by_kind():
    x = keras.Input((4, 3))
    y = kl.Dropout(0.1, name="drop")(kl.BatchNormalization(name="n")(x))
    found = {path: info.kind for path, info in Survey(keras.Model(x, y)).state_infos.items()}
    assert found == {
        "n/moving_mean": "statistic",
        "n/moving_variance": "statistic",
        "drop/seed_generator_state": "seed",
    }


def test_the_constants_of_a_preprocessing_normalization_are_not_statistics():
    model = functional((4,), kl.Normalization(name="data"))
    assert {info.kind for info in Survey(model).state_infos.values()} == {"other"}
    assert Survey(model).statistic_layers == {}


def test_any_other_state_is_other():
    class Counting(keras.Layer):
        def build(self, input_shape):
            self.count = self.add_weight(shape=(), trainable=False, name="count")

        def call(self, x):
            return x

    (info,) = Survey(functional((4,), Counting(name="c"))).state_infos.values()
    assert (info.path, info.kind, info.layer) == ("c/count", "other", "c")


def test_a_seed_is_named_after_its_layer_whatever_was_built_before():
    def paths():
        drops = [kl.Dropout(0.1, name="a"), kl.GaussianNoise(0.1, name="b")]
        return list(Survey(functional((4,), *drops)).states)

    assert paths() == paths() == ["a/seed_generator_state", "b/seed_generator_state"]


def test_statistic_layers_come_in_the_order_data_meets_them():
    chain = [kl.BatchNormalization(name="b"), kl.LayerNormalization(name="l")]
    model = functional((4,), *chain, kl.BatchNormalization(name="a"))
    found = Survey(model).statistic_layers
    assert list(found) == ["b", "a"]
    assert found["b"] is chain[0]


def test_the_head_is_the_last_layer_with_a_kernel():
    model = functional((4,), kl.Dense(3, name="d"), kl.BatchNormalization(), kl.Softmax())
    assert describe(model).heads == ("d",)


def test_each_output_has_its_head():
    x = keras.Input((4,))
    y = kl.Dense(3, name="body")(x)
    model = keras.Model(x, [kl.Dense(2, name="one")(y), kl.ReLU()(kl.Dense(1, name="two")(y))])
    assert describe(model).heads == ("one", "two")


def test_branches_that_meet_in_an_output_are_all_heads():
    x = keras.Input((4,))
    y = kl.Dense(3, name="body")(x)
    parts = [kl.Dense(2, name="one")(y), kl.Dense(1, name="two")(y)]
    assert describe(keras.Model(x, kl.Concatenate()(parts))).heads == ("one", "two")


def test_a_residual_sum_at_the_end_has_the_nearest_layer_for_its_head():
    x = keras.Input((4,))
    y = kl.Dense(4, name="body")(x)
    model = keras.Model(x, kl.Add()([kl.ReLU()(y), kl.Dense(4, name="last")(y)]))
    assert describe(model).heads == ("last",)


def test_operations_without_a_layer_are_passed_on_the_way_to_the_head():
    x = keras.Input((4,))
    y = keras.ops.reshape(kl.Dense(6, name="d")(x), (-1, 2, 3)) * 2
    assert describe(keras.Model(x, y)).heads == ("d",)


def test_a_nested_model_shows_its_heads():
    z = keras.Input((3,))
    hidden = kl.Dense(3, name="hidden")(z)
    outputs = [kl.Dense(2, name="one")(hidden), kl.Dense(2, name="two")(hidden)]
    inner = keras.Model(z, outputs, name="inner")
    x = keras.Input((4,))
    _, second = inner(kl.Dense(3, name="body")(x))
    assert describe(keras.Model(x, kl.ReLU()(second))).heads == ("inner/two",)


def test_a_name_is_looked_up_inside_nested_models_where_it_matches_no_path():
    inner = functional((3,), kl.Dense(3, name="hidden"), kl.Dense(3, name="last"))
    outer = functional((3,), inner, kl.Dense(2, name="last"))
    inner.name = "inner"
    layout = describe(outer)
    assert layout.match("hidden") == layout.match("hid*") == layout.match("inner/hidden")
    assert layout.match("hidden/kernel") == {"inner/hidden/kernel"}
    assert layout.match("last") == {"last/kernel", "last/bias"}
    with pytest.raises(ValueError, match="'kernel' matches no weight"):
        layout.match("kernel")


def test_a_nested_model_without_kernel_is_passed_on_the_way_to_the_head():
    inner = keras.Sequential([kl.ReLU(), kl.BatchNormalization(name="n")], name="inner")
    assert describe(functional((4,), kl.Dense(3, name="d"), inner)).heads == ("d",)


def test_a_model_cut_from_a_larger_one_stops_at_its_inputs():
    x = keras.Input((4,))
    y = kl.Dense(3, name="before")(x)
    assert describe(keras.Model(y, kl.BatchNormalization(name="n")(y))).heads == ()


def test_a_sequential_and_a_subclassed_model_have_the_last_layer_for_their_head():
    model = keras.Sequential(
        [keras.Input((4,)), kl.Dense(3, name="a"), kl.Dense(2, name="b"), kl.ReLU()], name="s"
    )
    assert [head.split("/")[-1] for head in describe(model).heads] == ["b"]
    twins = Twins()
    twins(np.zeros((1, 2), "float32"))
    assert describe(twins).heads == ("d#2",)


def test_a_frozen_head_is_still_the_head():
    head = kl.Dense(2, name="out")
    model = functional((4,), kl.Dense(3, name="d"), head)
    head.trainable = False
    assert describe(model).heads == ("out",)


def test_a_recurrent_head_is_its_cell():
    assert describe(functional((4, 2), kl.LSTM(3, name="r"))).heads == ("r/lstm_cell",)


@pytest.mark.parametrize(
    "layer", [kl.Conv2D(2, 1), kl.DepthwiseConv2D(1), kl.SeparableConv2D(2, 1)]
)
def test_a_model_with_a_convolution_is_convolutional(layer):
    fresh = type(layer).from_config(layer.get_config())
    assert describe(functional((4, 4, 1), fresh)).convolutional
    assert not describe(functional((4,), kl.Dense(3))).convolutional


@pytest.mark.parametrize("function", [describe, Survey])
def test_only_a_built_model_is_accepted(function):
    with pytest.raises(TypeError, match="must be a built keras.Model, got int"):
        function(3)
    with pytest.raises(ValueError, match="has no weights yet. Call it once"):
        function(keras.Sequential([kl.Dense(3)], name="unbuilt"))
