"""Max pooling on JAX has the values and the gradients of Keras's own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from contract_networks import CLASSES, chain
from keras import layers as kl

from frozenfit import PartialModel
from frozenfit.training.backends import Trainer, jax_pooling
from frozenfit.training.objective import Objective

pytestmark = pytest.mark.skipif(keras.config.backend() != "jax", reason="a gradient on JAX")
CASES = {
    "1d, a rest": ((2, 9, 3), (2,)),
    "2d": ((2, 6, 6, 3), (2, 2)),
    "2d, oblong, a rest": ((2, 7, 7, 3), (2, 3)),
    "3d": ((1, 4, 4, 4, 2), (2, 2, 2)),
}


def values_and_gradient(pool, x, upstream):
    import jax

    y, backward = jax.vjp(pool, x)
    return np.asarray(y), np.asarray(backward(upstream(y.shape))[0])


@pytest.mark.parametrize(("shape", "sizes"), CASES.values(), ids=CASES)
def test_values_and_gradients_have_the_bits_of_keras(shape, sizes):
    rng = np.random.default_rng(0)
    # Few distinct values: most windows have several maxima, of which the first one counts.
    x = np.maximum(rng.integers(-3, 4, shape), 0).astype("float32")

    def own(x):
        return jax_pooling.max_pool(x, sizes)

    def kerass(x):
        return keras.ops.max_pool(x, sizes, sizes, "valid", "channels_last")

    def upstream(shape):
        return np.random.default_rng(1).normal(size=shape).astype("float32")

    found, expected = (values_and_gradient(f, x, upstream) for f in (own, kerass))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))


def pooling_network():
    return chain(
        (9, 8, 2),
        kl.Conv2D(3, 2, name="conv"),
        kl.MaxPooling2D(name="halves"),
        kl.MaxPooling2D(2, strides=1, name="overlapping"),
        kl.MaxPooling2D(2, padding="same", name="padded"),
        kl.AveragePooling2D(2, padding="same", name="average"),
        kl.Flatten(),
        kl.Dense(CLASSES, name="out"),
    )


def gradients(replaced: bool) -> list[np.ndarray]:
    base = pooling_network()
    for seed, variable in enumerate(base.variables):
        variable.assign(np.random.default_rng(seed).normal(size=variable.shape))
    trainer = Trainer(
        PartialModel(base, "everything()"), keras.optimizers.SGD(), Objective("classification")
    )
    if not replaced:
        trainer._pooling = []
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, (4, 9, 8, 2)).astype("float32")
    return trainer.gradients(x, np.arange(4) % CLASSES, np.ones(4, "float32"))


def test_a_network_has_the_gradients_of_keras():
    pairs = zip(gradients(True), gradients(False), strict=True)
    assert all(np.allclose(a, b, rtol=1e-6, atol=1e-7) for a, b in pairs)


def test_windows_that_overlap_are_left_to_keras():
    names = [layer.name for layer in jax_pooling.pooling_layers(pooling_network())]
    assert names == ["halves", "padded"]


def test_layers_are_unchanged_after_the_block():
    network = pooling_network()
    layers = jax_pooling.pooling_layers(network)
    before = [dict(layer.__dict__) for layer in layers]
    with pytest.raises(RuntimeError), jax_pooling.pooled(layers):
        assert all("call" in layer.__dict__ for layer in layers)
        raise RuntimeError
    assert [layer.__dict__ for layer in layers] == before
