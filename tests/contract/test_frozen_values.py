"""The values of frozen parameters; drawn values repeat in every process and on every backend."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from contract_networks import build, chain, masks, values
from keras import layers as kl

from frozenfit import PartialModel
from frozenfit.isolation import isolated
from frozenfit.training.base import Base
from frozenfit.training.network import Network
from frozenfit.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
DRAWN = "7c4a90003e72854b"
NAMED = "0c3bddbd6807d527"


def digest(arrays) -> str:
    """Fingerprint to four decimals: the last bit of a logarithm may differ between machines."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update((np.round(array.astype("float64"), 4) + 0.0).astype("<f8").tobytes())
    return whole.hexdigest()[:16]


def random_frozen(kind: str, seed: int) -> PartialModel:
    return PartialModel(build(kind), "head()", frozen="random", seed=seed)


def named_network() -> str:
    base = Base(Recipe("lenet5", (12, 12, 1), 4), seed=11)
    return digest(Network(base).values(base).values())


def test_random_frozen_values_are_the_same_on_every_backend_and_day():
    weights = random_frozen("attention", 7).assembled()
    assert digest(v for path, v in weights if not path.startswith("out/")) == DRAWN


def test_a_drawn_network_is_the_same_on_every_backend_and_day():
    assert named_network() == NAMED


def test_a_drawn_network_repeats_in_a_process_that_built_other_things_before():
    code = (
        "import keras, numpy, random; keras.layers.Dense(3)(numpy.ones((1, 2)));"
        "random.random(); numpy.random.rand(3); keras.utils.set_random_seed(9);"
        "keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)]);"
        "import test_frozen_values as t; print(t.named_network())"
    )
    paths = [str(ROOT), str(ROOT / "tests" / "contract"), str(ROOT / "tests" / "support")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stdout.split()[-1] == NAMED


def test_automatic_layer_names_do_not_decide_the_draw():
    def function(input_shape, n_outputs):
        return chain(input_shape, kl.Dense(4), kl.Dense(n_outputs))

    drawn = []
    for _ in range(2):
        base = Base(Recipe(function, (3,), 2), seed=1)
        drawn.append(digest(Network(base).values(base).values()))
        kl.Dense(2)  # moves Keras's counter of names on
    assert drawn[0] == drawn[1]


def test_another_seed_draws_other_values():
    one, other = (dict(random_frozen("dense", seed).assembled()) for seed in (1, 2))
    assert (one["a/kernel"] != other["a/kernel"]).any()


def test_two_weights_of_one_shape_get_different_values():
    with isolated(0):
        base = chain((4,), kl.Dense(4, name="a"), kl.Dense(4, name="b"), kl.Dense(2, name="out"))
    drawn = dict(PartialModel(base, "head()", frozen="random", seed=0).assembled())
    assert (drawn["a/kernel"] != drawn["b/kernel"]).any()


def test_trainable_parameters_start_from_the_base_for_all_frozen_values():
    base = build("dense")
    start = dict(PartialModel(base, "head()").assembled())
    for frozen in ("random", "zero"):
        model = PartialModel(base, "random(0.5, seed=1)", frozen=frozen, seed=3)
        for path, trainable in masks(model):
            value = dict(model.assembled())[path]
            np.testing.assert_array_equal(value[trainable], start[path][trainable])


def test_frozen_values_do_not_change_the_base():
    base = build("conv_norm")
    before = values(base)
    for frozen in ("random", "zero"):
        list(PartialModel(base, "head()", frozen=frozen, seed=1).assembled())
    assert all((a == b).all() for a, b in zip(before, values(base), strict=True))


def test_a_weight_with_an_unknown_initializer_cannot_be_drawn():
    def odd(shape, dtype=None):
        return keras.ops.ones(shape, dtype=dtype)

    with isolated(0):
        base = chain((4,), kl.Dense(3, kernel_initializer=odd, name="a"), kl.Dense(2, name="out"))
    with pytest.raises(ValueError, match="that of 'a/kernel' is not. Use frozen='keep'"):
        PartialModel(base, "head()", frozen="random", seed=0)
