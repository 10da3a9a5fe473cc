"""Keras's callbacks, and those of the user."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from estimator_data import classifier, same, table

NAMES = np.array(["ant", "bee", "cat"])


def test_keras_early_stopping_stops():
    stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    assert classifier(epochs=9, callbacks=stop).fit(*table()).n_iter_ == 2


def test_keras_early_stopping_puts_its_best_weights_back():
    X, y = table()
    best = keras.callbacks.EarlyStopping("loss", min_delta=1e9, restore_best_weights=True)
    estimator = classifier(epochs=3, learning_rate=0.01, callbacks=best, patience=1).fit(X, y)
    assert same(estimator, classifier(epochs=1, learning_rate=0.01).fit(X, y))


def test_a_scheduler_sets_the_rate_of_each_epoch():
    X, y = table()
    still = keras.callbacks.LearningRateScheduler(lambda e, r: r if e < 1 else 1e-30)
    estimator = classifier(learning_rate=0.05, optimizer="sgd", epochs=3, callbacks=still)
    one = classifier(learning_rate=0.05, optimizer="sgd", epochs=1).fit(X, y)
    assert np.allclose(estimator.fit(X, y).predict_proba(X), one.predict_proba(X), atol=1e-7)


def test_reduce_on_plateau_lowers_the_rate():
    seen = []
    callbacks = [
        keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append(logs["learning_rate"])
        ),
    ]
    classifier(learning_rate=0.08, epochs=4, callbacks=callbacks).fit(*table())
    assert [float(rate) for rate in seen] == pytest.approx([0.08, 0.08, 0.04, 0.02])


def test_a_lambda_hears_of_every_epoch_and_its_figures():
    heard = []
    tell = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: heard.append((e, {**logs})))
    estimator = classifier(callbacks=[tell]).fit(*table())
    assert [epoch for epoch, _ in heard] == [0, 1]
    assert [logs["loss"] for _, logs in heard] == estimator.history_["loss"]


def test_a_lambda_hears_of_every_batch():
    heard = []
    tell = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda b, logs: heard.append(("begin", b)),
        on_train_batch_end=lambda b, logs: heard.append(("end", b)),
    )
    classifier(callbacks=tell).fit(*table())
    once = [(word, batch) for batch in range(3) for word in ("begin", "end")]
    assert heard == once * 2


def test_hearing_of_every_batch_changes_nothing():
    X, y = table()
    tell = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: None)
    probabilities = classifier(callbacks=tell).fit(X, y).predict_proba(X)
    assert np.allclose(probabilities, classifier().fit(X, y).predict_proba(X), atol=1e-6)


class WarmUp(keras.callbacks.Callback):
    """Sets the rate before each batch, as warm-up callbacks do."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = 1e-30


def test_a_rate_set_before_a_batch_is_the_rate_of_the_batch():
    X, y = table()
    still = classifier(optimizer="sgd", learning_rate=1e-30).fit(X, y)
    held = classifier(optimizer="sgd", learning_rate=0.5, callbacks=WarmUp()).fit(X, y)
    assert np.allclose(held.predict_proba(X), still.predict_proba(X), atol=1e-7)


class Facts(keras.callbacks.Callback):
    told: dict = {}

    def on_train_begin(self, logs=None):
        type(self).told = dict(self.params)


def test_a_callback_is_told_the_length_of_training():
    classifier(callbacks=Facts()).fit(*table())
    assert Facts.told["epochs"] == 2 and Facts.told["steps"] == 3


class Predicts(keras.callbacks.Callback):
    """Predicts with the live model in the midst of training."""

    shapes: list = []

    def on_epoch_end(self, epoch, logs=None):
        type(self).shapes.append(self.model(np.ones((5, 4), "float32")).shape)


def test_a_callback_can_call_the_live_model():
    Predicts.shapes = []
    X, y = table()
    estimator = classifier(callbacks=Predicts()).fit(X, y)
    assert [tuple(shape) for shape in Predicts.shapes] == [(5, 3), (5, 3)]
    assert same(estimator, classifier().fit(X, y))


def test_a_callback_that_fails_leaves_the_estimator_as_it_was():
    X, y = table()
    estimator = classifier().fit(X, y)
    before = estimator.predict_proba(X)

    def fail(epoch, logs):
        raise OSError("disk full")

    estimator.set_params(callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=fail)])
    with pytest.raises(OSError, match="disk full"):
        estimator.fit(X, y)
    assert np.array_equal(estimator.predict_proba(X), before)


def interrupting(when, at):
    def stop(n, logs):
        if n == at:
            raise KeyboardInterrupt

    return [keras.callbacks.LambdaCallback(**{when: stop})]


def test_an_interrupt_in_the_second_epoch_keeps_what_was_learned():
    X, y = table()
    estimator = classifier(epochs=5, callbacks=interrupting("on_epoch_begin", 1))
    with pytest.raises(KeyboardInterrupt, match="after 1 epochs"):
        estimator.fit(X, y)
    assert estimator.n_iter_ == 1 and estimator.predict(X).shape == (48,)
    estimator.set_params(callbacks=None).partial_fit(X, y)
    assert estimator.n_iter_ == 2


def test_an_interrupt_in_the_first_epoch_keeps_its_steps():
    X, y = table()
    estimator = classifier(callbacks=interrupting("on_train_batch_end", 1))
    with pytest.raises(KeyboardInterrupt, match="after 0 epochs"):
        estimator.fit(X, y)
    assert estimator.n_iter_ == 0
    still = classifier(learning_rate=1e-30, optimizer="sgd").fit(X, y)
    assert not np.allclose(estimator.predict_proba(X), still.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("when", ["on_train_begin", "on_epoch_begin", "on_train_batch_begin"])
def test_an_interrupt_before_the_first_step_leaves_a_fitted_estimator_as_it_was(when):
    X, y = table()
    estimator = classifier().fit(X, y)
    before = estimator.predict_proba(X)

    def stop(n=None, logs=None):
        raise KeyboardInterrupt

    estimator.set_params(callbacks=[keras.callbacks.LambdaCallback(**{when: stop})])
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert np.array_equal(estimator.predict_proba(X), before)


def test_an_interrupt_before_the_first_step_leaves_a_new_estimator_unfitted():
    estimator = classifier(callbacks=interrupting("on_epoch_begin", 0))
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(*table())
    assert not estimator.__sklearn_is_fitted__() and not hasattr(estimator, "classes_")


def test_an_interrupted_search_for_the_best_keeps_the_best():
    X, y = table()
    callbacks = interrupting("on_epoch_begin", 3)
    estimator = classifier(epochs=9, early_stopping=True, callbacks=callbacks)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y, X_val=X, y_val=y)
    proba = estimator.predict_proba(X)[np.arange(48), y]
    assert -np.log(proba).mean() == pytest.approx(min(estimator.history_["val_loss"]), rel=1e-5)


@pytest.mark.parametrize("wrong", [["text"], [keras.callbacks.EarlyStopping]])
def test_callbacks_that_are_none_are_refused(wrong):
    with pytest.raises(TypeError, match="`callbacks` must be keras.callbacks.Callback"):
        classifier(callbacks=wrong).fit(*table())
