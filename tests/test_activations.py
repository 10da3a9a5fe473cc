"""Activations are dropped after the last layer that reads them, and outputs keep their bits."""

import weakref

import keras
import numpy as np
import pytest
from keras import layers as kl

from frozenfit import PartialModel
from frozenfit.activations import dropped_early

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "torch", reason="compiled functions do it by themselves"
)


class Seen:
    """What layers have seen; Keras would copy a dict."""

    def __init__(self):
        self.alive, self.most = [], 0


class Watch(kl.Layer):
    """Passes its input on, and counts the inputs of such layers that exist."""

    def __init__(self, seen, **kwargs):
        super().__init__(**kwargs)
        self.seen = seen

    def call(self, x):
        """Return another tensor with the values of x."""
        self.seen.alive = [r for r in self.seen.alive if r() is not None]
        self.seen.alive.append(weakref.ref(x))
        self.seen.most = max(self.seen.most, len(self.seen.alive))
        return x + 1


def chain(seen, shape=(4,)):
    x = keras.Input(shape)
    y = x
    for _ in range(8):
        y = Watch(seen)(y)
    return keras.Model(x, y)


def watched(kind, seen):
    if kind == "functional":
        return chain(seen)
    if kind == "sequential":
        return keras.Sequential([keras.Input((4,)), *[Watch(seen) for _ in range(8)]])
    x = keras.Input((4,))
    return keras.Model(x, kl.Dense(2)(chain(seen)(x)))


@pytest.mark.parametrize("kind", ["functional", "sequential", "nested"])
def test_few_activations_exist_at_a_time(kind):
    counts = []
    for early in (True, False):
        seen = Seen()
        model = watched(kind, seen)
        seen.most = 0
        x = keras.ops.ones((3, 4))
        if early:
            with dropped_early(model):
                model(x)
        else:
            model(x)
        counts.append(seen.most)
    # Input and output of a layer, and the input of the network, which its caller has.
    assert 1 <= counts[0] <= 3
    assert counts[1] == 8


def test_values_that_are_read_later_or_twice_are_kept():
    x, other = keras.Input((4,)), keras.Input((4,))
    y = kl.Dense(4, "tanh")(x)
    doubled = kl.Add()([y, y])
    late = kl.Concatenate()([kl.Dense(3)(doubled), x, other, y])
    model = keras.Model([x, other], {"late": kl.Dense(2)(late), "early": doubled})
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(5, 4)).astype("float32") for _ in range(2)]
    expected = model(X)
    with dropped_early(model):
        found = model(X)
    assert "_run_through_graph" not in vars(model)
    for name, value in expected.items():
        assert bool((found[name] == value).all())


def test_a_partial_model_drops_activations():
    seen = Seen()
    x = keras.Input((4,))
    base = keras.Model(x, kl.Dense(2)(chain(seen)(kl.Dense(4)(x))))
    model = PartialModel(base, "head()")
    seen.most = 0
    model(np.ones((3, 4), "float32"))
    assert 1 <= seen.most <= 3
