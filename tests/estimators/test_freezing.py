"""Freezing over time in the estimators: who moves when, how far, and what stays."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import pytest
from estimator_data import classifier, images, raw, same, small_cnn, table, whole
from schedule_contract import ScheduleContract
from sklearn.base import clone

import frozenfit
from frozenfit import FreezeSchedule
from frozenfit.partial import PartialModel
from frozenfit.training.backends import Trainer
from frozenfit.training.objective import Objective
from frozenfit.training.phases import Phase, PhasePlan
from frozenfit.training.schedules import FreezeOut, GradualUnfreeze, LayerwiseRates

DEEP = {"model_params": {"hidden_layer_sizes": (8, 8)}, "trainable": 1.0}


class Notes(keras.callbacks.Callback):
    """Notes trainable parameters and states after each epoch, where every copy of it writes to."""

    trainable: list = []
    states: list = []

    def on_epoch_end(self, epoch, logs=None):
        model = self.model
        for notes, variables in (
            (self.trainable, model.trainable_variables),
            (self.states, model.delta().states.values()),
        ):
            notes.append([keras.ops.convert_to_numpy(v).copy() for v in variables])


def epochs_of(**params):
    """The fitted estimator, and after each epoch the kernels of its three layers."""
    Notes.trainable = []
    X, y = table()
    estimator = classifier(**DEEP, callbacks=[Notes()], **params).fit(X, y)
    return estimator, [[a for a in arrays if a.ndim == 2] for arrays in Notes.trainable]


def moved(layers, epoch):
    """Whether each layer moved in an epoch."""
    pairs = zip(layers[epoch - 1], layers[epoch], strict=True)
    return [not np.array_equal(a, b) for a, b in pairs]


def test_freezeout_stops_the_first_layers_first():
    _, layers = epochs_of(epochs=8, freeze_schedule=FreezeOut(0.5, "linear", phases=2))
    assert moved(layers, 1) == moved(layers, 3) == [True, True, True]
    assert moved(layers, 5) == [False, True, True]
    assert moved(layers, 7) == [False, False, True]


def test_gradual_unfreezing_starts_at_the_head():
    _, layers = epochs_of(epochs=8, freeze_schedule=GradualUnfreeze(steps=2, until=0.5))
    assert moved(layers, 1) == [False, False, True]
    assert moved(layers, 3) == [False, True, True]
    assert moved(layers, 5) == [True, True, True]


def test_rates_of_one_for_every_layer_change_nothing():
    X, y = table()
    plain = classifier(**DEEP, epochs=3).fit(X, y)
    scaled = classifier(**DEEP, epochs=3, freeze_schedule=LayerwiseRates(1.0)).fit(X, y)
    assert np.allclose(raw(plain, X), raw(scaled, X), atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_smaller_rate_of_a_layer_is_a_smaller_step_of_it(optimizer):
    X, y = table(16)
    k = {**DEEP, "epochs": 1, "batch_size": 16, "optimizer": optimizer, "learning_rate": 0.01}
    start = whole(classifier(**{**k, "learning_rate": 1e-12}).fit(X, y))
    full = whole(classifier(**k).fit(X, y))
    half = whole(classifier(**k, freeze_schedule=LayerwiseRates(0.5)).fit(X, y))
    for i, path in enumerate(p for p in full if "kernel" in p):
        step, part = full[path] - start[path], half[path] - start[path]
        assert np.allclose(part, step * 0.5 ** (2 - i), atol=1e-6), path


@pytest.mark.parametrize(
    ("schedule", "scaled"), [(GradualUnfreeze(), False), (FreezeOut(), True)], ids=repr
)
def test_steps_are_scaled_where_a_schedule_has_rates_for_its_layers(schedule, scaled):
    plan = PhasePlan(schedule, PartialModel(dense_net(), 1.0), 10)
    assert plan.phase(0).per_weight == scaled
    assert (plan.multipliers(plan.phase(0), np.zeros(1)) is not None) == scaled


def test_optimizer_state_of_active_layers_is_carried_over():
    def run(cut):
        model = PartialModel(net(), "everything()")
        first = Trainer(model, keras.optimizers.Adam(), Objective("classification"))
        X, y = (a[None] for a in table(16))
        weight, rate = np.ones((1, 16), "float32"), np.full(1, 0.01, "float32")
        first.run(X, y, weight, rate)
        last = first
        if cut:
            last = Trainer(
                model, keras.optimizers.Adam(), Objective("classification"), Phase(WAITING)
            )
            last.take_over(first)
        last.run(X, y, weight, rate)
        return dict(model.assembled()), last

    def net():
        init = keras.initializers.GlorotUniform(seed=3)
        x = inputs = keras.Input((4,))
        for name, units in (("a", 5), ("b", 3)):
            x = keras.layers.Dense(units, name=name, kernel_initializer=init)(x)
        return keras.Model(inputs, x)

    WAITING = frozenset({"a/kernel", "a/bias"})
    (whole_run, _), (staged, last) = run(cut=False), run(cut=True)
    assert np.allclose(whole_run["b/kernel"], staged["b/kernel"], atol=1e-6)
    assert not np.allclose(whole_run["a/kernel"], staged["a/kernel"], atol=1e-4)
    assert len(last.variables) == 2
    sizes = sum(int(np.prod(v.shape)) for v in last.optimizer.variables)
    assert sizes == 2 + 2 * (5 * 3 + 3)


def test_statistics_of_finished_layers_stay():
    X, y = images()
    Notes.states = []
    net = {"model": small_cnn, "trainable": 1.0, "epochs": 4, "callbacks": [Notes()]}
    classifier(**net, freeze_schedule=FreezeOut(0.25, "linear")).fit(X, y)
    stays = [
        all(np.array_equal(a, b) for a, b in zip(*pair, strict=True))
        for pair in zip(Notes.states, Notes.states[1:], strict=False)
    ]
    # The convolution stops at .25 of the run, the norm behind it at .625 and so with epoch 3.
    assert stays == [False, False, True]


def test_history_contains_the_predicted_and_the_measured_saving():
    estimator, _ = epochs_of(epochs=6, freeze_schedule=FreezeOut(0.5, "linear", phases=2))
    history = estimator.history_
    assert {"seconds", "predicted_saving", "measured_saving"} <= set(history)
    saving = history["predicted_saving"]
    assert saving[0] == 0 and saving[2] == 0 and saving[3] > 0
    assert all(0 <= s < 1 for s in saving)


def test_predicted_savings_count_forward_and_backward_work():
    phases = PhasePlan(FreezeOut(0.5), PartialModel(dense_net(), 1.0), 10)
    costs = np.array([4 * 8 + 1, 8 * 6 + 1, 6 * 2 + 1])
    still = frozenset({"a/kernel", "a/bias"})
    expected = costs[0] / (2 * costs.sum())
    assert np.isclose(phases.predicted_saving(Phase(still, True)), expected)
    assert np.isclose(phases.predicted_saving(Phase(still, True, from_prefix=True)), 2 * expected)


def dense_net():
    x = inputs = keras.Input((4,))
    for name, units in (("a", 8), ("b", 6), ("c", 2)):
        x = keras.layers.Dense(units, name=name)(x)
    return keras.Model(inputs, x)


def test_two_fits_with_freezing_agree_bit_for_bit():
    X, y = table()
    policy = {"freeze_schedule": FreezeOut(0.5), "epochs": 5}
    a, b = (classifier(**DEEP, **policy).fit(X, y) for _ in range(2))
    assert same(a, b)


def test_the_best_parameters_of_early_stopping_are_complete():
    X, y = table()
    estimator = classifier(
        **DEEP, epochs=6, freeze_schedule=FreezeOut(0.4), early_stopping=True, patience=6
    ).fit(X, y, X_val=X[:9], y_val=y[:9])
    assert set(estimator.part_.delta.trained) == set(
        classifier(**DEEP).fit(X, y).part_.delta.trained
    )


def test_a_clone_keeps_the_schedule():
    estimator = classifier(freeze_schedule=FreezeOut(0.7, "squared"))
    assert clone(estimator).freeze_schedule == FreezeOut(0.7, "squared")


@dataclass(frozen=True)
class HeadFirst(FreezeSchedule):
    """A user's schedule: the head is trained alone until `start`."""

    start: float = 0.5

    def active(self, n_layers, progress):
        layers = np.full(n_layers, progress >= self.start)
        layers[-1] = True
        return layers


class TestHeadFirst(ScheduleContract):
    schedule = HeadFirst(0.25)


def test_a_schedule_of_the_user_trains_what_it_activates():
    _, layers = epochs_of(epochs=4, freeze_schedule=HeadFirst(0.5))
    assert moved(layers, 1) == [False, False, True]
    assert moved(layers, 3) == [True, True, True]


@pytest.mark.parametrize("schedule", [HeadFirst(0.5), "HeadFirst(start=0.5)"], ids=str)
def test_a_schedule_of_the_user_is_cloned_saved_and_loaded(schedule, tmp_path):
    X, y = table()
    estimator = clone(classifier(**DEEP, epochs=2, freeze_schedule=schedule)).fit(X, y)
    frozenfit.save(estimator, tmp_path / "net.frozenfit")
    loaded = frozenfit.load(tmp_path / "net.frozenfit")
    assert loaded.freeze_schedule == schedule and same(estimator, loaded)


def test_a_schedule_that_a_file_cannot_contain_is_refused_when_saving(tmp_path):
    class Plain(FreezeSchedule):
        def active(self, n_layers, progress):
            return np.ones(n_layers, bool)

    X, y = table()
    estimator = classifier(freeze_schedule=Plain()).fit(X, y)
    with pytest.raises(ValueError, match="make the schedule a dataclass"):
        frozenfit.save(estimator, tmp_path / "net.frozenfit")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"freeze_schedule": FreezeOut(), "lr_schedule": "cosine"},
            "requires `lr_schedule` to be None or 'auto'",
        ),
        ({"freeze_schedule": GradualUnfreeze(3), "epochs": 2}, "needs `epochs` >= 6, got 2"),
        (
            {"freeze_schedule": FreezeOut(), "optimizer": keras.optimizers.SGD(0.1, use_ema=True)},
            "averages weights",
        ),
        ({"freeze_schedule": "freezeout"}, "such as 'FreezeOut"),
        ({"freeze_schedule": 0.5}, "The 'freeze_schedule' parameter"),
    ],
)
def test_what_cannot_go_together_is_refused(params, words):
    X, y = table()
    with pytest.raises(ValueError, match=words):
        classifier(**params).fit(X, y)


def test_partial_fit_takes_layerwise_rates_only():
    X, y = table()
    classifier(freeze_schedule=LayerwiseRates(0.8)).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="not known in `partial_fit`"):
        classifier(freeze_schedule=FreezeOut()).partial_fit(X, y, classes=[0, 1, 2])
