"""Members that are trained in one compiled pass equal members trained one after the other."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from ensembles import cheap_ensemble
from keras import layers as kl

from frozenfit import CheapEnsembleRegressor, clear_workspace
from frozenfit.training import stacked_loop

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype("float32")
y = (X[:, :3] @ RNG.normal(size=(3, 3))).argmax(axis=1)
LABELS = (X[:, :3] > 0).astype(int)
TARGETS = X[:, :2] @ RNG.normal(size=(2, 2)) + 0.1 * RNG.normal(size=(120, 2))
SMALL = {"model_params": {"hidden_layer_sizes": (8, 8)}, "trainable": 0.25, "base": "frozen"}
SMALL |= {"epochs": 2, "batch_size": 32, "random_state": 0, "n_estimators": 3}


def ensemble(**params):
    return cheap_ensemble(**{**SMALL, **params})


def with_norms(input_shape, n_outputs):
    x = inputs = keras.Input(input_shape)
    for _ in range(2):
        x = kl.ReLU()(kl.BatchNormalization()(kl.Dense(8, use_bias=False)(x)))
    x = kl.Add()([x, kl.Dense(8, activation="tanh", kernel_regularizer="l2")(x)])
    return keras.Model(inputs, kl.Dense(n_outputs)(kl.LayerNormalization()(x)))


def with_dropout(input_shape, n_outputs):
    parts = [kl.Dense(8, activation="relu"), kl.Dropout(0.5), kl.Dense(n_outputs)]
    return keras.Sequential([keras.Input(input_shape), *parts])


def assert_equal(one, other):
    """Compare parameters, states, histories and predictions of members of two ensembles."""
    pairs = list(zip(one.estimators_, other.estimators_, strict=True))
    for ours, theirs in pairs:
        mine, its = ours.part_.delta, theirs.part_.delta
        for a, b in ((mine.trained, its.trained), (mine.states, its.states)):
            assert list(a) == list(b)
            for path in a:
                np.testing.assert_allclose(a[path], b[path], rtol=1e-3, atol=2e-5, err_msg=path)
        assert list(ours.history_) == list(theirs.history_)
        for name, values in ours.history_.items():
            np.testing.assert_allclose(values, theirs.history_[name], rtol=1e-3, err_msg=name)
        assert ours.n_iter_ == theirs.n_iter_
    values = [m.part_.delta.trained for m, _ in pairs]
    path = list(values[0])[-1]
    assert not np.array_equal(values[0][path], values[1][path])


CASES = {
    "leading": {},
    "trained base": {"base": "trained"},
    "disjoint": {"members": "disjoint"},
    "disjoint selector": {"members": "disjoint", "trainable": "kernels()"},
    "scattered": {"trainable": "random(0.3)"},
    "inputs": {"trainable": "inputs(0.25) | head()"},
    "everything": {"trainable": 1.0, "optimizer": "sgd"},
    "random": {"frozen": "random"},
    "norms": {"model": with_norms, "model_params": None},
    "norms refreshed": {"model": with_norms, "model_params": None, "refresh_statistics": True},
    "momentum": {"optimizer": keras.optimizers.SGD(0.05, momentum=0.9)},
    "decay": {"optimizer": "adamw", "weight_decay": 0.01},
    "rmsprop": {"optimizer": "rmsprop"},
    "small batches": {"batch_size": 50, "epochs": 3, "lr_schedule": "steps"},
    "a list": {"members": [0.25, 0.25, 0.25]},
}


@pytest.mark.parametrize("case", list(CASES))
def test_members_trained_together_equal_members_trained_apart(case):
    together = ensemble(vectorize=True, **CASES[case]).fit(X, y)
    clear_workspace()
    assert_equal(together, ensemble(vectorize=False, **CASES[case]).fit(X, y))


@pytest.mark.parametrize("target", ["regression", "multilabel", "weights"])
def test_targets_and_weights(target):
    arguments = {
        "regression": (TARGETS,),
        "multilabel": (LABELS,),
        "weights": (y, np.random.default_rng(1).random(len(y))),
    }[target]
    kind = {"kind": CheapEnsembleRegressor} if target == "regression" else {}
    together = ensemble(vectorize=True, **kind).fit(X, *arguments)
    clear_workspace()
    assert_equal(together, ensemble(vectorize=False, **kind).fit(X, *arguments))


def test_each_member_stops_early_by_itself():
    settings = {"early_stopping": True, "patience": 2, "epochs": 30, "learning_rate": 0.05}
    together = ensemble(vectorize=True, **settings).fit(X, y)
    clear_workspace()
    apart = ensemble(vectorize=False, **settings).fit(X, y)
    assert_equal(together, apart)
    assert len({member.n_iter_ for member in together.estimators_}) > 1


def test_validation_samples_may_be_given():
    settings = {"early_stopping": True, "patience": 2, "epochs": 12, "learning_rate": 0.05}
    held_out = {"X_val": X[80:], "y_val": y[80:]}
    together = ensemble(vectorize=True, **settings).fit(X[:80], y[:80], **held_out)
    clear_workspace()
    assert_equal(together, ensemble(vectorize=False, **settings).fit(X[:80], y[:80], **held_out))


def test_each_member_has_the_epochs_that_its_pilot_run_chooses():
    rng = np.random.default_rng(2)
    rows, classes = rng.normal(size=(500, 6)).astype("float32"), rng.integers(0, 3, 500)
    settings = {"epochs": "auto", "trainable": 1.0, "learning_rate": 0.02}
    together = ensemble(vectorize=True, **settings).fit(rows, classes)
    clear_workspace()
    assert_equal(together, ensemble(vectorize=False, **settings).fit(rows, classes))
    assert len({member.n_iter_ for member in together.estimators_}) > 1


def test_a_second_fit_on_another_base_uses_its_values():
    for seed in (0, 1):  # the second fit is on what the first one compiled
        together = ensemble(vectorize=True, **{**CASES["trained base"], "random_state": seed})
        together.fit(X, y)
    clear_workspace()
    apart = ensemble(vectorize=False, **{**CASES["trained base"], "random_state": 1}).fit(X, y)
    assert_equal(together, apart)


def test_warm_start_continues_each_member_with_its_optimizer():
    both = []
    for vectorize in (True, False):
        estimator = ensemble(vectorize=vectorize, warm_start=True).fit(X, y)
        both.append(estimator.fit(X, y))
        clear_workspace()
    assert_equal(*both)
    assert both[0].estimators_[0].n_iter_ == 4


def test_partial_fit_continues_each_member():
    both = []
    for vectorize in (True, False):
        estimator = ensemble(vectorize=vectorize)
        for start in (0, 60):
            rows = slice(start, start + 60)
            estimator.partial_fit(X[rows], y[rows], classes=np.arange(3))
        both.append(estimator)
        clear_workspace()
    assert_equal(*both)


def test_two_fits_have_the_same_bits():
    first, second = (ensemble(vectorize=True).fit(X, y) for _ in range(2))
    for ours, theirs in zip(first.estimators_, second.estimators_, strict=True):
        for path, value in ours.part_.delta.trained.items():
            assert value.tobytes() == theirs.part_.delta.trained[path].tobytes()


@pytest.mark.parametrize("members", ["same", "disjoint"])
def test_predictions_of_all_members_equal_those_of_each(members):
    estimator = ensemble(members=members).fit(X, y)
    each = estimator.predict_members(X)
    alone = [member.predict_proba(X) for member in estimator.estimators_]
    np.testing.assert_array_equal(each, alone)
    estimator.remove_member(0)
    np.testing.assert_array_equal(estimator.predict_members(X), each[1:])


def test_a_row_has_the_same_bits_alone_and_among_others():
    estimator = ensemble(model_params={"hidden_layer_sizes": (48, 40)}).fit(X, y)
    rows = np.random.default_rng(3).normal(size=(600, 6)).astype("float32")
    every = estimator.predict_proba(rows)
    for i in (0, 70, 599):
        np.testing.assert_array_equal(estimator.predict_proba(rows[i : i + 1])[0], every[i])


def test_an_interrupt_keeps_what_all_members_have_reached(monkeypatch):
    inner = stacked_loop._StackedLoop._train_epoch
    epochs = []

    def interrupted(self, active):
        epochs.append(active)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        inner(self, active)

    monkeypatch.setattr(stacked_loop._StackedLoop, "_train_epoch", interrupted)
    estimator = ensemble(vectorize=True, epochs=5)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert [member.n_iter_ for member in estimator.estimators_] == [1, 1, 1]


REFUSED = {
    "one member": ({"n_estimators": 1}, "at least two members"),
    "convolution": ({"model": "lenet5", "model_params": None}, "kernel all members share"),
    "dropout": ({"model": with_dropout, "model_params": None}, "a layer of class Dropout"),
    "callbacks": ({"callbacks": [keras.callbacks.TerminateOnNaN()]}, "no callbacks"),
    "metrics": ({"metrics": [keras.metrics.SparseTopKCategoricalAccuracy(2)]}, "metrics=None"),
    "clipping": ({"optimizer": keras.optimizers.Adam(clipnorm=1.0)}, "without clipping"),
    "optimizer": ({"optimizer": "adafactor"}, "got Adafactor"),
    "freezing": ({"freeze_schedule": "FreezeOut(0.5)"}, "freeze_schedule=None"),
    "prefix": ({"trainable": "head()"}, "frozen prefix"),
    "zero": ({"frozen": "zero", "trainable": 0.5}, "random or kept frozen values"),
    "forms": ({"members": [0.25, 0.5, 1.0]}, "equally many parameters"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_trained_together_is_refused_and_trained_apart(case):
    settings, words = REFUSED[case]
    samples = RNG.random((24, 28, 28, 1)).astype("float32") if case == "convolution" else X[:24]
    settings = {**settings, "epochs": 1}
    with pytest.raises(ValueError, match=f"`vectorize=True` requires .*{words}"):
        ensemble(vectorize=True, **settings).fit(samples, y[:24])
    auto = ensemble(vectorize="auto", **settings).fit(samples, y[:24])
    apart = ensemble(vectorize=False, **settings).fit(samples, y[:24])
    for ours, theirs in zip(auto.estimators_, apart.estimators_, strict=True):
        for path, value in ours.part_.delta.trained.items():
            assert value.tobytes() == theirs.part_.delta.trained[path].tobytes()


def test_sources_and_checkpoints_are_trained_apart(tmp_path):
    saved = {"checkpoint": tmp_path / "fit.checkpoint"}
    with pytest.raises(ValueError, match="`vectorize=True` requires checkpoint=None"):
        ensemble(vectorize=True, **saved).fit(X, y)
    with pytest.raises(ValueError, match="`vectorize=True` requires arrays"):
        ensemble(vectorize=True).fit(lambda: iter([(X, y)]))
    assert len(ensemble(**saved).fit(X, y).estimators_) == 3
