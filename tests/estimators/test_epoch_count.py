"""``epochs="auto"``: a pilot run chooses the number on tables, and leaves no other trace."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from checkpointed_fits import counted_epochs
from estimator_data import classifier, given_net, regressor, same

import frozenfit
from frozenfit import CheapEnsembleClassifier
from frozenfit.training import epoch_count

N = 1000
QUICK = {"epochs": "auto", "batch_size": 250, "learning_rate": 0.05, "lr_schedule": "cosine"}
WIDE = {"model_params": {"hidden_layer_sizes": (64,)}, "trainable": 1.0}


def noise(n=N):
    """Samples that say nothing about their labels, so that every epoch overfits."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 8)).astype("float32"), rng.integers(0, 2, n)


def test_it_is_the_default():
    assert frozenfit.PartialNetClassifier().epochs == "auto"
    assert frozenfit.PartialNetRegressor().epochs == "auto"


def test_few_epochs_where_more_overfit():
    X, y = noise()
    few, all_of_them = (
        classifier(**{**QUICK, **WIDE, "epochs": epochs}).fit(X, y) for epochs in ("auto", 20)
    )
    new_X, new_y = (part[N:] for part in noise(3 * N))

    def loss(estimator):
        return -np.log(estimator.predict_proba(new_X)[np.arange(2 * N), new_y]).mean()

    assert few.n_iter_ < 10
    assert loss(few) < loss(all_of_them)


def test_twenty_epochs_where_each_one_improves():
    X, _ = noise()
    settings = {**QUICK, "learning_rate": 0.1, "optimizer": "sgd"}
    assert classifier(**settings).fit(X, X[:, 0] > 0).n_iter_ == epoch_count.MOST == 20


@pytest.mark.parametrize("make", [classifier, regressor], ids=["classifier", "regressor"])
def test_the_fit_is_that_of_the_chosen_number(make):
    X, y = noise()
    chosen = make(**QUICK).fit(X, y)
    given = make(**{**QUICK, "epochs": chosen.n_iter_}).fit(X, y)
    assert chosen.n_iter_ < 20
    assert same(chosen, given)
    assert chosen.history_ == given.history_


def test_random_layers_and_moving_statistics_start_anew():
    X, y = noise()
    params = {"hidden_layer_sizes": (8,), "dropout": 0.5, "batch_norm": True}
    chosen = classifier(**QUICK | {"model_params": params}).fit(X, y)
    given = classifier(**QUICK | {"model_params": params, "epochs": chosen.n_iter_}).fit(X, y)
    assert same(chosen, given)


def test_weights_stay_repetitions():
    X, y = noise(N + 100)
    weighted = classifier(**QUICK).fit(X, y, sample_weight=np.where(np.arange(len(y)) < 50, 2, 1))
    repeated = classifier(**QUICK).fit(np.concatenate([X, X[:50]]), np.concatenate([y, y[:50]]))
    assert weighted.n_iter_ == repeated.n_iter_
    assert same(weighted, repeated)


WITHOUT = {
    "few samples": (classifier, {}, 499),
    "early stopping": (classifier, {"early_stopping": True, "patience": 50}, N),
    "freeze schedule": (classifier, {"freeze_schedule": "FreezeOut(0.5)"}, N),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_no_pilot_run(case):
    make, params, n = WITHOUT[case]
    quick = {**QUICK, "lr_schedule": "auto"} if "freeze_schedule" in params else QUICK
    with counted_epochs() as begun:
        estimator = make(**{**quick, **params}).fit(*noise(n))
    assert estimator.n_iter_ == begun[0] == 20


def test_no_pilot_run_of_other_samples_than_tables():
    X, y = noise()
    with counted_epochs() as begun:
        images = classifier(**QUICK, image_shape=(4, 2)).fit(X, y)
    assert images.n_iter_ == begun[0] == 20


def test_no_pilot_run_where_training_continues():
    X, y = noise()
    estimator = classifier(**QUICK, warm_start=True).fit(X, y)
    first = estimator.n_iter_
    with counted_epochs() as begun:
        estimator.fit(X, y)
    assert begun[0] == 20 and estimator.n_iter_ == first + 20
    with counted_epochs() as begun:
        classifier(epochs="auto", batch_size=250).partial_fit(X, y, classes=[0, 1])
    assert begun[0] == 1


def test_a_given_network_and_its_copy_are_left_alone():
    X, y = noise()
    model = given_net(n_features=8, n_outputs=2)
    before = model.get_weights()
    chosen = classifier(model=model, trainable="head()", **QUICK).fit(X, y)
    given = classifier(model=model, trainable="head()", **QUICK | {"epochs": chosen.n_iter_})
    assert same(chosen, given.fit(X, y))
    assert all(map(np.array_equal, before, model.get_weights()))


def test_callbacks_and_metrics_see_the_fit_only():
    class Count(keras.callbacks.Callback):
        begun = 0

        def on_epoch_begin(self, epoch, logs=None):
            self.begun += 1

    X, y = noise()
    estimator = classifier(**QUICK, callbacks=Count(), metrics=["auc"]).fit(X, y)
    assert estimator.callbacks_[0].begun == estimator.n_iter_ < 20
    assert list(estimator.history_) == ["loss", "accuracy", "auc"]


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_as_many_classes_as_samples():
    X, _ = noise()
    estimator = classifier(**{**QUICK, "batch_size": 1000}).fit(X, np.arange(N))
    assert 1 <= estimator.n_iter_ <= 20


def test_an_interrupted_pilot_run_fits_nothing():
    def interrupt():
        raise KeyboardInterrupt

    estimator = classifier(**QUICK)
    with pytest.raises(KeyboardInterrupt), counted_epochs(3, interrupt):
        estimator.fit(*noise())
    assert not hasattr(estimator, "n_iter_")
    assert same(estimator.fit(*noise()), classifier(**QUICK).fit(*noise()))


def test_a_fit_that_was_killed_chooses_the_same_number(tmp_path):
    class Killed(BaseException):
        pass

    def killed():
        raise Killed

    data, path = noise(), tmp_path / "training.checkpoint"
    with counted_epochs() as begun:
        uninterrupted = classifier(**QUICK).fit(*data)
    with pytest.raises(Killed), counted_epochs(begun[0], killed):
        classifier(**QUICK, checkpoint=path).fit(*data)
    assert path.exists()
    frozenfit.clear_workspace()
    assert same(classifier(**QUICK, checkpoint=path).fit(*data), uninterrupted)


def test_members_of_an_ensemble_choose_their_own():
    X, y = noise()
    ensemble = CheapEnsembleClassifier(classifier(**QUICK), n_estimators=2, random_state=0)
    assert ensemble.fit(X, y).n_iter_ < 20
