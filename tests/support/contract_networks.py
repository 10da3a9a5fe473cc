"""Small networks of every kind, data for them, and what the contract tests ask of both."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from keras import layers as kl
from keras import ops

from frozenfit import PartialModel
from frozenfit.isolation import isolated
from frozenfit.selectors import forms
from frozenfit.training.backends import Trainer
from frozenfit.training.objective import Objective

CLASSES, BATCH, STEPS = 3, 8, 3


def chain(shape, *layers, dtype=None):
    x = inputs = keras.Input(shape, dtype=dtype)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def dense():
    return chain(
        (6,),
        kl.Dense(8, "relu", kernel_regularizer=keras.regularizers.L2(0.01), name="a"),
        kl.Dense(5, "tanh", name="b"),
        kl.Dense(CLASSES, name="out"),
    )


def conv_norm():
    layers = [
        keras.Input((6, 6, 2)),
        kl.Conv2D(4, 3, use_bias=False, kernel_regularizer="l2", name="block1_conv"),
        kl.BatchNormalization(momentum=0.8, name="block1_norm"),
        kl.ReLU(name="block1_relu"),
        kl.Conv2D(4, 3, name="block2_conv"),
        kl.BatchNormalization(momentum=0.8, name="block2_norm"),
        kl.GlobalAveragePooling2D(name="pool"),
        kl.Dense(CLASSES, name="out"),
    ]
    return keras.Sequential(layers, name="net")


def nested():
    inner = keras.Sequential(
        [keras.Input((5,)), kl.Dense(6, "relu", name="a"), kl.Dropout(0.3, seed=1, name="drop")],
        name="inner",
    )
    return chain((5,), inner, kl.LayerNormalization(name="norm"), kl.Dense(CLASSES, name="out"))


def shared():
    inputs = keras.Input((6,))
    twice = kl.Dense(5, "relu", name="twice")
    x = kl.Add(name="add")([twice(inputs[:, :3]), twice(inputs[:, 3:])])
    return keras.Model(inputs, kl.Dense(CLASSES, name="out")(x))


def lstm():
    cell = kl.LSTM(2, unit_forget_bias=False, name="lstm")
    return chain((4, 3), kl.Bidirectional(cell, name="both"), kl.Dense(CLASSES, name="out"))


def gru():
    return chain((4, 3), kl.GRU(3, name="gru"), kl.Dense(CLASSES, name="out"))


def attention():
    inputs = keras.Input((4, 6))
    x = kl.MultiHeadAttention(2, 3, name="mha")(inputs, inputs)
    x = kl.LayerNormalization(name="norm")(x)
    x = kl.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(inputs, kl.Dense(CLASSES, name="out")(x))


def embedding():
    return chain(
        (5,),
        kl.Embedding(7, 4, name="tokens"),
        kl.GlobalAveragePooling1D(name="pool"),
        kl.Dense(CLASSES, name="out"),
        dtype="int32",
    )


def separable():
    return chain(
        (5, 5, 2),
        kl.SeparableConv2D(4, 2, name="sep"),
        kl.DepthwiseConv2D(2, depth_multiplier=2, name="depth"),
        kl.GroupNormalization(2, name="norm"),
        kl.GlobalAveragePooling2D(name="pool"),
        kl.Dense(CLASSES, name="out"),
    )


def conv1d():
    pool = kl.GlobalAveragePooling1D(name="pool")
    return chain((6, 2), kl.Conv1D(4, 3, name="conv"), pool, kl.Dense(CLASSES, name="out"))


def transposed():
    pool = kl.GlobalAveragePooling2D(name="pool")
    layer = kl.Conv2DTranspose(4, 2, activation="tanh", name="conv")
    return chain((3, 3, 2), layer, pool, kl.Dense(CLASSES, name="out"))


def conv3d():
    layer = kl.Conv3D(4, 2, activation="tanh", name="conv")
    return chain((3, 3, 3, 1), layer, kl.Flatten(name="flat"), kl.Dense(CLASSES, name="out"))


def einsum():
    layer = kl.EinsumDense("abc,cde->abde", (3, 2, 3), bias_axes="de", name="ein")
    return chain((3, 4), layer, kl.Flatten(name="flat"), kl.Dense(CLASSES, name="out"))


class Custom(keras.Model):
    """A subclassed network that Keras cannot make again from its configuration."""

    def __init__(self, width):
        super().__init__(name="custom")
        self.first = kl.Dense(width, name="first")
        self.norm = kl.BatchNormalization(momentum=0.8, name="norm")
        self.out = kl.Dense(CLASSES, name="out")

    def call(self, x, training=None):
        return self.out(ops.tanh(self.norm(self.first(x), training=training)))

    def get_config(self):
        raise NotImplementedError("no configuration")


def subclassed():
    model = Custom(6)
    model(np.zeros((1, 5), "float32"))
    return model


NETWORKS = {
    f.__name__: f
    for f in (
        dense, conv_norm, nested, shared, lstm, gru, attention, embedding, separable, conv1d,
        transposed, conv3d, einsum, subclassed,
    )
}  # fmt: skip
# What an input of each network looks like; integers are tokens.
SHAPES = {
    "dense": (6,), "conv_norm": (6, 6, 2), "nested": (5,), "shared": (6,), "lstm": (4, 3),
    "gru": (4, 3), "attention": (4, 6), "embedding": (5,), "separable": (5, 5, 2),
    "conv1d": (6, 2), "transposed": (3, 3, 2), "conv3d": (3, 3, 3, 1), "einsum": (3, 4),
    "subclassed": (5,),
}  # fmt: skip


def build(kind: str, seed: int = 3) -> keras.Model:
    """Make a network whose every value is other than its initializer's: biases, norms, states."""
    with isolated(seed):
        model = NETWORKS[kind]()
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "float" in variable.dtype:
            value = array(variable)
            shifted = value + rng.uniform(0.02, 0.2, value.shape) * rng.choice([-1, 1], value.shape)
            variable.assign(np.abs(shifted) if "variance" in variable.path else shifted)
    return model


def data(kind: str, seed: int = 0, steps: int = STEPS):
    """Return stacked batches x, y, weight for a network."""
    rng = np.random.default_rng(seed)
    size = (steps, BATCH, *SHAPES[kind])
    x = rng.integers(0, 7, size) if kind == "embedding" else rng.normal(size=size)
    y = rng.integers(0, CLASSES, (steps, BATCH)).astype("int32")
    return x.astype("float32"), y, np.ones((steps, BATCH), "float32")


def array(variable):
    return np.array(ops.convert_to_numpy(variable))


def values(model: keras.Model) -> list[np.ndarray]:
    return [array(v) for v in model.variables]


def same_bits(a, b) -> bool:
    return all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def masks(model: PartialModel):
    """Yield path and boolean mask of what is trained of each weight."""
    for info in model.selection.layout.weights:
        yield info.path, forms.to_mask(model.selection[info.path], info.shape)


def batches(kind: str):
    """Return the same batches as `data` for Keras's own loop."""
    x, y, _ = data(kind)
    return x.reshape(-1, *x.shape[2:]), y.reshape(-1)


def run(model: PartialModel, optimizer, kind: str, rate: float = 0.01) -> Trainer:
    """Train on `data` by our own loop."""
    trainer = Trainer(model, optimizer, Objective("classification"))
    x, y, weight = data(kind)
    trainer.run(x, y, weight, np.full(STEPS, rate, "float32"))
    trainer.finish()
    return trainer


def keras_fit(model: keras.Model, optimizer, kind: str, **options) -> None:
    """Train on the same batches by Keras's own fit."""
    model.compile(optimizer, loss(), **options)
    x, y = batches(kind)
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def flags(model: keras.Model) -> list:
    layers = [(layer.path, layer.trainable) for layer in model._flatten_layers()]
    return layers + [(v.path, v.trainable) for v in model.variables]


@dataclasses.dataclass
class Trained:
    """A partial model before and after a few steps of our trainer."""

    kind: str
    base: keras.Model
    base_before: list
    flags_before: list
    model: PartialModel
    before: dict
    after: dict
    trainer: Trainer
    gradients: list
    plain: keras.Model


def train(kind: str, trainable, frozen: str) -> Trained:
    base = build(kind)
    before, marks = values(base), flags(base)
    # With stored statistics in a frozen prefix the gradients are not the plain model's.
    options = {"freeze_statistics": False, "rebuild": NETWORKS[kind]}
    model = PartialModel(base, trainable, frozen=frozen, seed=5, **options)
    plain = model.to_keras()
    start = dict(model.assembled())
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1, clipnorm=1.0)
    trainer = Trainer(model, optimizer, Objective("classification"))
    x, y, weight = data(kind)
    gradients = trainer.gradients(x[0], y[0], weight[0])
    trainer.run(x, y, weight, np.full(STEPS, 0.01, "float32"))
    after = dict(model.assembled())
    return Trained(kind, base, before, marks, model, start, after, trainer, gradients, plain)
