"""Random functional networks for images: every layer by which dead units are followed."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers as kl

IMAGE = (6, 6, 3)
# The last three do not map zero to zero.
ACTIVATIONS = (
    *("relu", "relu", "relu", "relu", "tanh", "gelu", "leaky_relu"),
    *("sigmoid", "softplus", "exponential"),
)


class RandomNetwork:
    """A callable that builds the network of a seed, as `PartialNetClassifier` takes it."""

    def __init__(self, seed: int):
        self.seed = seed

    def __call__(self, input_shape, n_outputs):
        """Build the network."""
        return _Builder(self.seed).build(input_shape, n_outputs)


class _Builder:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.shared = {}

    def build(self, input_shape, n_outputs):
        inputs = keras.Input(input_shape)
        tensors = [self.conv(inputs)]
        for _ in range(int(self.rng.integers(4, 9))):
            tensors.append(self.step(tensors))
        x = self.pick([tensors[-1], kl.Concatenate()(self.of_one_size(tensors))])
        return keras.Model(inputs, self.end(x, n_outputs))

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def conv(self, x):
        values = self.pick(["zeros", "random_normal"])
        size = self.pick([6, 8])
        layer = kl.Conv2D(
            size, 3, padding="same", activation=self.activation(), bias_initializer=values
        )
        return self.norm(layer(x)) if self.rng.random() < 0.7 else layer(x)

    def activation(self):
        return self.pick([None, None, *ACTIVATIONS])

    def norm(self, x):
        beta = self.pick(["zeros", "zeros", "random_normal"])
        mean = self.pick(["zeros", "zeros", "zeros", "random_normal"])
        norm = kl.BatchNormalization(
            beta_initializer=beta, moving_mean_initializer=mean, momentum=0.8
        )
        return kl.Activation(self.pick(ACTIVATIONS))(norm(x))

    def step(self, tensors):
        x = tensors[-1]
        kinds = [
            *(self.conv, self.conv, self.conv, self.add, self.add, self.concatenate),
            *(self.depthwise, self.shared_conv, self.relu, self.dropout, self.function),
            *(self.spatial, self.other),
        ]
        kind = self.pick(kinds)
        return kind(tensors) if kind in (self.add, self.concatenate, self.function) else kind(x)

    def of_one_size(self, tensors):
        x = tensors[-1]
        same = [t for t in tensors if t.shape[1:3] == x.shape[1:3]]
        return [x, self.pick(same)]

    def add(self, tensors):
        x, y = self.of_one_size(tensors)
        if x.shape != y.shape:
            y = kl.Conv2D(x.shape[-1], 1)(y)
        return kl.ReLU()(self.pick([kl.Add, kl.Subtract, kl.Maximum, kl.Multiply])()([x, y]))

    def function(self, tensors):
        x, y = self.of_one_size(tensors)
        if x.shape != y.shape:
            return keras.ops.relu(x)
        return keras.ops.relu(x + y) if self.rng.random() < 0.5 else x + y + 1.0

    def concatenate(self, tensors):
        return kl.Concatenate(axis=self.pick([-1, 3]))(self.of_one_size(tensors))

    def depthwise(self, x):
        multiplier = self.pick([1, 2]) if x.shape[-1] < 16 else 1
        return kl.DepthwiseConv2D(
            3, padding="same", depth_multiplier=multiplier, activation=self.activation()
        )(x)

    def shared_conv(self, x):
        size = x.shape[-1]
        if size not in self.shared:
            self.shared[size] = kl.Conv2D(size, 1, activation=self.activation())
        return self.shared[size](self.shared[size](x))

    def relu(self, x):
        return self.pick([kl.ReLU(), kl.ReLU(6.0), kl.LeakyReLU(), kl.ELU()])(x)

    def dropout(self, x):
        return self.pick([kl.Dropout, kl.SpatialDropout2D])(0.2, seed=1)(x)

    def spatial(self, x):
        rows, columns, channels = x.shape[1:]
        flat = kl.Reshape((rows * columns, 1, channels))
        if self.rng.random() < 0.2:
            return kl.Reshape((rows, columns, channels))(flat(x))
        layers = [kl.UpSampling2D(), kl.ZeroPadding2D(1)]
        if x.shape[1] >= 4:
            layers += [kl.MaxPooling2D(), kl.AveragePooling2D(3, 1, "same"), kl.Cropping2D(1)]
        return self.pick(layers if x.shape[1] <= 8 else layers[2:])(x)

    def other(self, x):
        """Return the output of a layer through which units are not followed."""
        size = x.shape[-1]
        layers = [
            kl.LayerNormalization(),
            kl.Rescaling(0.5, offset=0.1),
            kl.PReLU(shared_axes=(1, 2)),
            kl.SeparableConv2D(size, 3, padding="same"),
            kl.GaussianNoise(0.1, seed=1),
            keras.Sequential([keras.Input(x.shape[1:]), kl.Conv2D(size, 1, activation="relu")]),
        ]
        return self.pick(layers)(x)

    def end(self, x, n_outputs):
        if self.rng.random() < 0.5:
            x = self.pick([kl.GlobalAveragePooling2D, kl.GlobalMaxPooling2D])()(x)
        else:
            x = kl.Flatten()(kl.MaxPooling2D(2)(x) if x.shape[1] > 3 else x)
        if self.rng.random() < 0.5:
            x = kl.Dense(12, activation=self.activation())(x)
            x = kl.Dropout(0.2, seed=2)(kl.Dense(6, activation="relu")(x))
        return kl.Dense(n_outputs)(x)
