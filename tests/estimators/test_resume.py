"""Learning goes on: partial_fit, warm_start with the same and another selector, early stopping."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from estimator_data import (
    classifier,
    given_net,
    images,
    regressor,
    same,
    small_cnn,
    table,
    targets,
    whole,
)

NAMES = np.array(["ant", "bee", "cat"])
TINY = 1e-30  # a rate at which float32 weights stay what they are, but for a zero


def unchanged(estimator, before):
    """Whether all weights are what they were, up to a step of the rate TINY."""
    return all(np.abs(v - before[p]).max() < 1e-20 for p, v in whole(estimator).items())


def test_partial_fit_needs_the_classes_first():
    X, y = table()
    with pytest.raises(ValueError, match="classes must be passed"):
        classifier().partial_fit(X, y)


def test_partial_fit_takes_one_pass_a_call():
    X, y = table()
    estimator = classifier(epochs=7).partial_fit(X, y, classes=[0, 1, 2])
    assert estimator.n_iter_ == 1
    estimator.partial_fit(X, y)
    assert estimator.n_iter_ == 2 and len(estimator.history_["loss"]) == 2


def test_partial_fit_trains_with_parts_that_lack_a_class():
    X, y = table()
    estimator = classifier(learning_rate=0.05)
    for _ in range(10):
        for c in range(3):
            estimator.partial_fit(X[y == c], NAMES[y[y == c]], classes=NAMES)
    assert estimator.score(X, NAMES[y]) > 0.6


def test_partial_fit_carries_the_optimizer_on():
    X, y = table()
    one_call_each = classifier(optimizer="adam").partial_fit(X, y, classes=[0, 1, 2])
    first = one_call_each.predict_proba(X)
    one_call_each.partial_fit(X, y)
    forgetful = classifier(optimizer="adam").partial_fit(X, y, classes=[0, 1, 2])
    assert np.array_equal(forgetful.predict_proba(X), first)
    del forgetful._optimizer_state
    forgetful.partial_fit(X, y)
    assert not same(one_call_each, forgetful)


def test_partial_fit_refuses_a_new_label_and_stays_as_it_was():
    X, y = table()
    estimator = classifier().partial_fit(X, NAMES[y], classes=NAMES)
    before = estimator.predict_proba(X)
    with pytest.raises(ValueError, match="'dog'.*'ant', 'bee', 'cat'"):
        estimator.partial_fit(X[:2], ["dog", "ant"])
    assert np.array_equal(estimator.predict_proba(X), before)
    assert estimator.n_iter_ == 1


def test_partial_fit_refuses_other_classes_later():
    X, y = table()
    estimator = classifier().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="is not the same as on last call"):
        estimator.partial_fit(X, y, classes=[0, 1, 2, 3])


def test_partial_fit_goes_on_after_fit():
    X, y = table()
    estimator = classifier().fit(X, y)
    before = whole(estimator)
    estimator.set_params(learning_rate=TINY).partial_fit(X, y)
    assert unchanged(estimator, before)


def test_partial_fit_of_a_regressor_keeps_the_first_scale():
    X, y = targets()
    estimator = regressor(learning_rate=TINY).partial_fit(X, y)
    before = estimator.predict(X)
    estimator.partial_fit(X, y * 1000)
    assert np.array_equal(estimator.predict(X), before)


def test_partial_fit_refuses_a_schedule_that_needs_an_end():
    X, y = table()
    with pytest.raises(ValueError, match="lr_schedule='cosine'.*partial_fit"):
        classifier(lr_schedule="cosine").partial_fit(X, y, classes=[0, 1, 2])


def test_history_keeps_one_value_for_every_epoch():
    X, y = table()
    estimator = classifier().fit(X, y, X_val=X[:6], y_val=y[:6]).partial_fit(X, y)
    assert {len(values) for values in estimator.history_.values()} == {3}
    assert np.isnan(estimator.history_["val_loss"][2])


def test_fit_again_starts_anew():
    X, y = table()
    estimator = classifier().fit(X, y)
    estimator.fit(X, y)
    assert estimator.n_iter_ == 2 and same(estimator, classifier().fit(X, y))


def test_a_warm_start_goes_on_where_it_stopped():
    X, y = table()
    estimator = classifier(warm_start=True).fit(X, y)
    before = whole(estimator)
    estimator.set_params(learning_rate=TINY).fit(X, y)
    assert unchanged(estimator, before)
    assert estimator.n_iter_ == 4


def test_a_warm_start_lowers_the_loss_further():
    X, y = table()
    estimator = classifier(warm_start=True, epochs=5).fit(X, y)
    first = estimator.history_["loss"][-1]
    assert estimator.fit(X, y).history_["loss"][-1] < first


@pytest.mark.parametrize("frozen", ["auto", "random", "zero", "keep"])
def test_another_subset_goes_on_from_the_weights_as_they_are(frozen):
    X, y = table()
    estimator = classifier(warm_start=True, trainable=0.5, frozen=frozen).fit(X, y)
    for trainable in ("head()", "random(0.2)", 1.0, "head()"):
        before = whole(estimator)
        estimator.set_params(trainable=trainable, learning_rate=TINY).fit(X, y)
        assert unchanged(estimator, before), trainable
        estimator.set_params(learning_rate=0.01).fit(X, y)
        assert not unchanged(estimator, before)


def test_another_subset_on_a_given_network_leaves_the_network_alone():
    X, y = table()
    network = given_net()
    before = network.get_weights()
    estimator = classifier(model=network, trainable="head()", frozen="random", warm_start=True)
    estimator.fit(X, y)
    weights = whole(estimator)
    estimator.set_params(trainable=1.0, learning_rate=TINY).fit(X, y)
    assert unchanged(estimator, weights)
    assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), before, strict=True))


def test_another_subset_takes_batch_statistics_along():
    X, y = images()
    estimator = classifier(model=small_cnn, trainable=1.0, warm_start=True).fit(X, y)
    before = whole(estimator)
    assert before["norm/moving_mean"].any()
    estimator.set_params(trainable="head()", learning_rate=TINY, freeze_statistics=True).fit(X, y)
    after = whole(estimator)
    assert np.array_equal(after["norm/moving_mean"], before["norm/moving_mean"])


def test_partial_fit_sees_another_subset_too():
    X, y = table()
    estimator = classifier(trainable="head()").fit(X, y)
    before = whole(estimator)
    estimator.set_params(trainable=1.0).partial_fit(X, y)
    assert estimator.freeze_fraction_ == 0
    assert not np.array_equal(whole(estimator)["dense1/kernel"], before["dense1/kernel"])


def test_a_subset_by_the_data_stays_in_a_warm_start():
    X, y = table()
    estimator = classifier(trainable="fisher(0.2)", warm_start=True).fit(X, y)
    frozen = whole(estimator)["dense1/kernel"]
    trainable = estimator.part_.delta.trained["dense1/kernel"].shape
    estimator.fit(X[:24], y[:24])
    assert estimator.part_.delta.trained["dense1/kernel"].shape == trainable
    unchanged = np.sum(whole(estimator)["dense1/kernel"] == frozen)
    assert unchanged >= frozen.size - trainable[0]


@pytest.mark.parametrize(
    "change", [{"model_params__hidden_layer_sizes": (9,)}, {"model": "lenet5"}]
)
def test_a_warm_start_refuses_another_network(change):
    X, y = table()
    estimator = classifier(warm_start=True).fit(X, y)
    before = estimator.predict_proba(X)
    with pytest.raises(ValueError, match="cannot change .* warm_start=False"):
        estimator.set_params(**change).fit(X, y)
    assert np.array_equal(estimator.predict_proba(X), before)


def test_a_warm_start_with_another_optimizer_does_not_take_the_old_slots():
    X, y = table()
    estimator = classifier(warm_start=True, optimizer="rmsprop").fit(X, y)
    estimator.set_params(optimizer="adagrad").fit(X, y)
    fresh = classifier(warm_start=True, optimizer="rmsprop").fit(X, y)
    del fresh._optimizer_state
    assert same(estimator, fresh.set_params(optimizer="adagrad").fit(X, y))


def stopping(**params):
    return classifier(
        early_stopping=True, patience=2, epochs=30, learning_rate=0.3, optimizer="sgd", **params
    )


def noise():
    rng = np.random.default_rng(3)
    return rng.normal(size=(60, 4)).astype("float32"), rng.integers(0, 2, 60)


def test_early_stopping_puts_the_best_weights_back():
    X, y = noise()
    estimator = stopping().fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    losses = estimator.history_["val_loss"]
    proba = estimator.predict_proba(X[40:])[np.arange(20), y[40:]]
    assert -np.log(proba).mean() == pytest.approx(min(losses), rel=1e-5)
    assert min(losses) < losses[-1]


def test_early_stopping_waits_for_its_patience():
    X, y = noise()
    losses = stopping().fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:]).history_["val_loss"]
    assert len(losses) == np.argmin(losses) + 1 + 2 < 30


def test_early_stopping_sets_its_own_fraction_aside():
    X, y = noise()
    estimator = stopping(validation_fraction=0.25).fit(X, y)
    assert len(estimator.history_["val_loss"]) == estimator.n_iter_


def test_held_out_data_are_watched_without_early_stopping():
    X, y = table()
    estimator = classifier().fit(X, y, X_val=X, y_val=y)
    assert estimator.history_["val_accuracy"][-1] == estimator.score(X, y)
    assert same(estimator, classifier().fit(X, y))


def test_a_regressor_stops_early():
    X, y = targets()
    estimator = regressor(early_stopping=True, patience=1, epochs=40, learning_rate=0.5).fit(X, y)
    assert estimator.n_iter_ < 40


def test_fit_is_longer_with_more_epochs_as_the_history_shows():
    estimator = classifier(epochs=4).fit(*table())
    assert estimator.n_iter_ == 4
    assert set(estimator.history_) == {"loss", "accuracy"}
    assert all(len(values) == 4 for values in estimator.history_.values())


def test_a_keras_optimizer_resumes_as_it_is():
    X, y = table()
    optimizer = keras.optimizers.SGD(TINY, momentum=0.9)
    estimator = classifier(optimizer=optimizer, warm_start=True).fit(X, y)
    before = whole(estimator)
    assert unchanged(estimator.fit(X, y), before)
