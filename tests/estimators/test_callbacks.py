"""Keras's callbacks, and those of the user."""

from __future__ import annotations

import pickle
import threading

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


def test_a_lambda_callback_receives_the_metrics_of_every_epoch():
    heard = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda e, logs: heard.append((e, {**logs}))
    )
    estimator = classifier(callbacks=[callback]).fit(*table())
    assert [epoch for epoch, _ in heard] == [0, 1]
    assert [logs["loss"] for _, logs in heard] == estimator.history_["loss"]


def test_a_lambda_callback_receives_every_batch():
    heard = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda b, logs: heard.append(("begin", b)),
        on_train_batch_end=lambda b, logs: heard.append(("end", b)),
    )
    classifier(callbacks=callback).fit(*table())
    once = [(word, batch) for batch in range(3) for word in ("begin", "end")]
    assert heard == once * 2


def test_a_callback_on_batches_does_not_change_training():
    X, y = table()
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: None)
    probabilities = classifier(callbacks=callback).fit(X, y).predict_proba(X)
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
    received: dict = {}

    def on_train_begin(self, logs=None):
        type(self).received = dict(self.params)


def test_a_callback_receives_the_length_of_training():
    classifier(callbacks=Facts()).fit(*table())
    assert Facts.received["epochs"] == 2 and Facts.received["steps"] == 3


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


def test_an_interrupt_in_the_second_epoch_keeps_the_trained_parameters():
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
def test_other_objects_are_refused_as_callbacks(wrong):
    with pytest.raises(TypeError, match="`callbacks` must be keras.callbacks.Callback"):
        classifier(callbacks=wrong).fit(*table())


MONITORS = {
    "stop": lambda _: keras.callbacks.EarlyStopping("val_accuracy", patience=1),
    "best": lambda _: keras.callbacks.EarlyStopping("accuracy", restore_best_weights=True),
    "plateau": lambda _: keras.callbacks.ReduceLROnPlateau("val_accuracy"),
    "checkpoint": lambda folder: keras.callbacks.ModelCheckpoint(
        folder / "best.keras", "val_accuracy", save_best_only=True
    ),
}


@pytest.mark.parametrize("kind", MONITORS)
def test_a_monitored_accuracy_is_better_when_it_is_larger(kind, tmp_path):
    X, y = table()
    estimator = classifier(epochs=3, callbacks=MONITORS[kind](tmp_path))
    estimator.fit(X, y, X_val=X[:9], y_val=y[:9])
    (fitted,) = estimator.callbacks_
    assert fitted.monitor_op is keras.ops.greater
    assert estimator.callbacks is not fitted


def test_a_checkpoint_of_the_whole_model_is_a_plain_keras_model(tmp_path):
    X, y = table()
    save = keras.callbacks.ModelCheckpoint(tmp_path / "last.keras")
    estimator = classifier(callbacks=save).fit(X, y)
    logits = keras.models.load_model(tmp_path / "last.keras").predict(X, verbose=0)
    expected = estimator.to_keras().predict(X, verbose=0)
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_a_checkpoint_of_weights_is_written(tmp_path):
    save = keras.callbacks.ModelCheckpoint(tmp_path / "last.weights.h5", save_weights_only=True)
    classifier(callbacks=save).fit(*table())
    assert (tmp_path / "last.weights.h5").stat().st_size > 0


def test_a_tensorboard_callback_runs(tmp_path):
    pytest.importorskip("tensorboard")
    classifier(callbacks=keras.callbacks.TensorBoard(tmp_path)).fit(*table())
    assert list(tmp_path.rglob("events*"))


def test_backups_are_refused_before_training(tmp_path):
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(ValueError, match="must not contain a BackupAndRestore.*warm_start=True"):
        classifier(callbacks=[backup]).fit(*table())


class Adds(keras.callbacks.Callback):
    """Adds a number to the logs from the second epoch on, and text to all."""

    def on_epoch_end(self, epoch, logs=None):
        logs["note"] = "text"
        if epoch:
            logs["extra"] = keras.ops.convert_to_tensor(float(epoch))


def test_numbers_that_callbacks_add_are_in_the_history():
    estimator = classifier(epochs=3, callbacks=Adds()).fit(*table())
    assert "note" not in estimator.history_
    np.testing.assert_array_equal(estimator.history_["extra"], [np.nan, 1, 2])


class Locked(keras.callbacks.Callback):
    """A callback that cannot be copied."""

    def __init__(self):
        super().__init__()
        self.lock, self.epochs = threading.Lock(), 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1


def test_a_callback_that_cannot_be_copied_is_used_itself():
    locked = Locked()
    with pytest.warns(UserWarning, match="Locked cannot be copied"):
        estimator = classifier(callbacks=locked).fit(*table())
    assert estimator.callbacks_ == [locked] and locked.epochs == 2


def test_fitted_callbacks_do_not_refer_to_a_network_and_are_not_pickled():
    X, y = table()
    estimator = classifier(callbacks=keras.callbacks.History()).fit(X, y)
    assert estimator.callbacks_[0].history["loss"] == estimator.history_["loss"]
    assert estimator.callbacks_[0].model is None
    again = pickle.loads(pickle.dumps(estimator))
    assert not hasattr(again, "callbacks_") and same(again, estimator)
