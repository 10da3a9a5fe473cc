"""Steps that are recorded, or taken in a loop, equal plain steps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from contract_networks import CLASSES, array, build, chain, data, keras_fit, same_bits
from keras import layers as kl

from frozenfit import PartialModel
from frozenfit.training.augmentation import CropAndFlip
from frozenfit.training.backends import Trainer, torch_draws
from frozenfit.training.objective import Objective
from frozenfit.training.phases import Phase

BACKEND = keras.config.backend()
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="steps are recorded on torch")
HALF, ENTRIES = "filters(0.5) | head()", "random(0.3, seed=1)"
STEPS = 9


@pytest.fixture
def early(monkeypatch):
    """Record after two steps in place of many."""
    if BACKEND == "torch":
        monkeypatch.setattr("frozenfit.training.backends.torch_recorder.PATIENCE", 2)


def adamw():
    return keras.optimizers.AdamW(0.01, weight_decay=0.1)


def make(
    kind,
    trainable=HALF,
    optimizer=adamw,
    loss="classification",
    per_weight=False,
    augment=None,
) -> Any:
    base = build(kind) if isinstance(kind, str) else kind
    model = PartialModel(base, trainable, frozen="random", seed=5)
    phase = Phase(per_weight=per_weight)
    return Trainer(model, optimizer(), Objective(loss), phase=phase, augment=augment)


def recordings(trainer) -> list:
    """The recordings of each shape of batch, on torch."""
    return list(trainer._recorder._shapes.values())


def torch_generators() -> list[np.ndarray]:
    return [state.numpy() for state in torch_draws.generator_states()]


def plainly(trainer):
    """Make a trainer take its steps one by one."""
    if BACKEND == "torch":
        trainer._recorder = None
    elif BACKEND == "jax":
        trainer._loops = False
    else:
        loop = trainer._loop

        def one_by_one(*stacks):
            sums = [loop(*(stack[i : i + 1] for stack in stacks))[0] for i in range(STEPS)]
            return [sum(each) for each in zip(*sums, strict=True)], ()

        trainer._loop = one_by_one
    return trainer


def results(trainer, kind="dense", calls=2, regression=False):
    x, y, weight = data(kind, steps=STEPS)
    weight[:, 0] = 0.5
    if regression:
        y = np.random.default_rng(1).normal(size=(*y.shape, CLASSES)).astype("float32")
    scales = None
    if trainer.phase.per_weight:
        scales = np.linspace(0, 1, STEPS * len(trainer.variables), dtype="float32")
        scales = scales.reshape(STEPS, -1)
    rates = np.linspace(0.01, 0.001, STEPS, dtype="float32")
    moves = trainer.augment and trainer.augment.draw(weight, np.random.default_rng(6))
    sums = [trainer.run(x, y, weight, rates, scales, moves)[0] for _ in range(calls)]
    after = [*trainer.variables, *trainer.weights.state_variables, *trainer.optimizer.variables]
    return np.array(sums), [array(v) for v in after]


def agree(found, expected):
    if BACKEND == "torch":
        return same_bits([found[0], *found[1]], [expected[0], *expected[1]])
    pairs = zip((found[0], *found[1]), (expected[0], *expected[1]), strict=True)
    return all(np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in pairs)


def accumulating(rate=0.01, use_ema=False):
    options = {"global_clipnorm": 0.1, "use_ema": use_ema, "gradient_accumulation_steps": 3}
    return keras.optimizers.AdamW(rate, weight_decay=0.1, **options)


CASES = [
    ("dense", HALF, {}),
    ("dense", ENTRIES, {"per_weight": True}),
    ("dense", HALF, {"optimizer": keras.optimizers.RMSprop}),
    ("dense", HALF, {"optimizer": lambda: keras.optimizers.Adam(0.01, clipnorm=0.1)}),
    ("dense", HALF, {"optimizer": keras.optimizers.SGD}),
    ("dense", HALF, {"optimizer": lambda: keras.optimizers.SGD(0.01, 0.9, nesterov=True)}),
    ("conv_norm", HALF, {}),
    ("conv_norm", HALF, {"augment": CropAndFlip(("crop", "flip"))}),
    ("dense", HALF, {"optimizer": lambda: keras.optimizers.Adam(0.01, use_ema=True)}),
    ("dense", HALF, {"optimizer": lambda: accumulating(use_ema=True)}),
    ("embedding", ENTRIES, {}),
    ("gru", HALF, {}),
]


@pytest.mark.parametrize(("kind", "trainable", "options"), CASES)
def test_they_give_what_plain_steps_give(early, kind, trainable, options):
    fast, plain = make(kind, trainable, **options), plainly(make(kind, trainable, **options))
    assert agree(results(fast, kind), results(plain, kind))
    if BACKEND == "torch":
        # Where gradients are accumulated, steps of two kinds are recorded.
        kinds = 2 if fast.optimizer.gradient_accumulation_steps else 1
        assert [shape.proved for shape in recordings(fast)] == [True] * kinds


def test_they_give_the_same_for_targets(early):
    fast, plain = (make("dense", loss="regression") for _ in range(2))
    expected = results(plainly(plain), regression=True)
    assert agree(results(fast, regression=True), expected)


def test_a_second_training_gives_the_bits_of_the_first(early):
    trainer = make("conv_norm")
    start = trainer.model.delta()
    first = results(trainer, "conv_norm")
    trainer.reset()
    trainer.model.load_delta(start)
    second = results(trainer, "conv_norm")
    assert same_bits([first[0], *first[1]], [second[0], *second[1]])


OPTIMIZERS = (
    "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "Muon",
    "Nadam", "RMSprop", "SGD", "ScheduleFreeAdamW",
)  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_steps_of_every_optimizer_end_in_the_state_of_plain_steps(early, name):
    kind = getattr(keras.optimizers, name)
    fast, plain = make("dense", optimizer=kind), plainly(make("dense", optimizer=kind))
    assert agree(results(fast), results(plain))
    if BACKEND == "torch":
        assert [shape.proved for shape in recordings(fast)] == [True]


def test_no_optimizer_of_keras_is_missing_here():
    found = vars(keras.optimizers).values()
    base = keras.optimizers.Optimizer
    kinds = {k.__name__ for k in found if isinstance(k, type) and issubclass(k, base)}
    assert kinds - {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"} == set(OPTIMIZERS)


REPLACED = {
    "Adadelta": keras.optimizers.Adadelta,
    "Nadam": keras.optimizers.Nadam,
    "SGD": keras.optimizers.SGD,
    "accumulated": accumulating,
}


@pytest.mark.parametrize("name", REPLACED)
def test_an_optimizer_whose_update_is_replaced_equals_that_of_keras(name):
    def trained(ours):
        base = build("dense")
        kind = REPLACED[name]
        if ours:
            trainer = make(base, "everything()", optimizer=kind)
            x, y, weight = data("dense")
            trainer.run(x, y, weight, np.full(len(x), 0.01, "float32"))
            return [array(v) for v in trainer.model.to_keras().variables]
        network = PartialModel(base, "everything()", frozen="random", seed=5).to_keras()
        keras_fit(network, kind(0.01), "dense")
        return [array(v) for v in network.variables]

    pairs = zip(trained(True), trained(False), strict=True)
    assert all(np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in pairs)


@on_torch
def test_a_recording_made_late_is_right_from_the_first_step_on():
    # After so many steps the momentum schedule of Nadam is constant: a recording that contains
    # its value would agree with plain steps then, and not with the first ones.
    trainer, plain = (make("dense", optimizer=keras.optimizers.Nadam) for _ in range(2))
    start = trainer.model.delta()
    results(trainer, calls=9)
    assert [shape.proved for shape in recordings(trainer)] == [True]
    trainer.reset()
    trainer.model.load_delta(start)
    assert agree(results(trainer, calls=1), results(plainly(plain), calls=1))


@on_torch
def test_a_recording_follows_variables_whose_memory_is_replaced(early):
    fast, plain = make("dense"), plainly(make("dense"))
    for trainer in (fast, plain):
        results(trainer)
        # As `torch.nn.Module.to` does it; a recording contains views of the memory before.
        for variable in (*trainer.weights.base.variables, *trainer.weights.random.values()):
            variable.value.data = variable.value.data * 1.5
    assert agree(results(fast, calls=1), results(plain, calls=1))


@on_torch
def test_steps_that_overwrite_weights_now_and_then_are_not_recorded():
    options = {"use_ema": True, "ema_overwrite_frequency": 2}
    trainer = make("dense", optimizer=lambda: keras.optimizers.Adam(0.01, **options))
    assert trainer._recorder is None


def dropping(*layers):
    ends = kl.Dense(5, name="a"), kl.Dense(CLASSES, name="out")
    return chain((6,), ends[0], *layers, ends[1])


RANDOM = {
    "with a seed": lambda: dropping(kl.Dropout(0.5, seed=1)),
    "without a seed": lambda: dropping(kl.Dropout(0.5)),
    "both": lambda: dropping(kl.Dropout(0.3, seed=1), kl.Dropout(0.3)),
    "noise": lambda: dropping(kl.GaussianNoise(0.5, seed=1), kl.GaussianDropout(0.3)),
    "recurrent": lambda: chain(
        (4, 3), kl.GRU(3, dropout=0.3, seed=1, name="a"), kl.Dense(CLASSES, name="out")
    ),
}


@on_torch
@pytest.mark.parametrize("network", RANDOM.values(), ids=RANDOM)
def test_random_layers_are_recorded_and_draw_what_they_draw_in_plain_steps(early, network):
    base = network()
    kind = "gru" if len(base.input_shape) == 3 else "dense"
    fast, plain = make(base, "everything()"), plainly(make(base, "everything()"))
    before = torch_generators()
    assert agree(results(fast, kind), results(plain, kind))
    assert [shape.proved for shape in recordings(fast)] == [True]
    assert same_bits(list(fast.random_state().values()), list(plain.random_state().values()))
    assert same_bits(before, torch_generators())


@on_torch
def test_a_draw_that_is_recorded_as_a_constant_is_dropped(early, monkeypatch):
    recorded = torch_draws._recorded

    def with_constant_seed(name, seed, *rest):
        return recorded(name, keras.ops.zeros_like(seed), *rest)

    monkeypatch.setattr(torch_draws, "_recorded", with_constant_seed)
    base = dropping(kl.Dropout(0.5, seed=1))
    fast, plain = make(base, "everything()"), plainly(make(base, "everything()"))
    assert agree(results(fast), results(plain))
    assert not any(shape.proved for shape in recordings(fast))


def counting():
    seen = []

    def activation(x):
        seen.append(1)
        return x * (len(seen) % 2)

    return chain((6,), kl.Dense(5, activation, name="a"), kl.Dense(CLASSES, name="out"))


def with_lambda():
    return chain((6,), kl.Lambda(lambda x: x * 2), kl.Dense(CLASSES, name="out"))


def augmenting():
    images = kl.Reshape((2, 3, 1)), kl.RandomFlip(seed=1), kl.Flatten()
    return chain((6,), *images, kl.Dense(CLASSES, name="out"))


@on_torch
@pytest.mark.parametrize("network", [augmenting, counting, with_lambda], ids=lambda f: f.__name__)
def test_what_may_change_from_step_to_step_is_not_recorded(network):
    assert make(network(), "everything()")._recorder is None


@on_torch
def test_a_rate_read_while_recording_is_not_kept(early, monkeypatch):
    trainer = make("dense")
    apply = trainer._apply

    def at_a_number(gradients, scale):
        scaled = float(trainer._inner_optimizer.learning_rate.value)
        apply([g * scaled for g in gradients], scale)

    monkeypatch.setattr(trainer, "_apply", at_a_number)
    results(trainer)
    assert not any(shape.proved for shape in recordings(trainer))


@on_torch
def test_few_steps_are_not_recorded():
    trainer = make("dense")
    results(trainer)
    assert [shape.recorded for shape in recordings(trainer)] == [None]


@on_torch
def test_a_recording_that_differs_from_the_plain_step_is_dropped(early, monkeypatch):
    def wrong(step, batch):
        step(*batch)
        return lambda *batch: [2 * total for total in step(*batch)]

    monkeypatch.setattr("frozenfit.training.backends.torch_recorder.record", wrong)
    fast, plain = make("dense"), plainly(make("dense"))
    assert agree(results(fast), results(plain))
    assert not any(shape.proved for shape in recordings(fast))


@pytest.mark.skipif(BACKEND != "jax", reason="the choice is made on JAX")
@pytest.mark.parametrize(
    ("network", "loops"),
    [
        (lambda: build("dense"), True),
        (lambda: build("gru"), True),
        (lambda: build("conv_norm"), False),
        (lambda: chain((6, 2), kl.Conv1D(3, 2), kl.Flatten(), kl.Dense(CLASSES)), False),
        (lambda: chain((6, 6, 2), kl.DepthwiseConv2D(2), kl.Flatten(), kl.Dense(CLASSES)), False),
        (lambda: chain((6, 6, 2), kl.MaxPooling2D(), kl.Flatten(), kl.Dense(CLASSES)), True),
    ],
    ids=["dense", "gru", "conv_norm", "conv1d", "depthwise", "pooling"],
)
def test_steps_with_a_convolution_are_taken_one_by_one_on_a_cpu(network, loops):
    base = network()
    trainer = make(base, "everything()")
    x = np.zeros((2, 4, *base.input_shape[1:]), "float32")
    trainer.run(x, np.zeros((2, 4), int), np.ones((2, 4), "float32"), np.full(2, 0.01, "float32"))
    assert trainer._loops is loops
