"""How training goes: optimizers, learning rates, decay, augmentation, progress."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from estimator_data import classifier, images, regressor, same, small_cnn, table, targets, whole
from keras.optimizers.schedules import CosineDecay, PiecewiseConstantDecay
from sklearn.base import clone

from frozenfit.training import optimizers

CNN = {"model": small_cnn, "epochs": 1}


class Rates(keras.callbacks.Callback):
    """Keeps the learning rate after each step; the list is shared by copies."""

    seen: list[float] = []

    def on_train_begin(self, logs=None):
        type(self).seen = []

    def on_train_batch_end(self, batch, logs=None):
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        type(self).seen.append(float(rate))


def rates(**params):
    """The learning rate of each of the eight steps of four epochs."""
    X, y = table(32)
    classifier(epochs=4, callbacks=Rates(), **params).fit(X, y)
    return Rates.seen


def test_a_rate_is_kept():
    assert rates(learning_rate=0.02) == pytest.approx([0.02] * 8)


def test_a_rate_falls_along_a_cosine():
    expected = 0.02 * 0.5 * (1 + np.cos(np.pi * np.arange(8) / 8))
    assert rates(learning_rate=0.02, lr_schedule="cosine") == pytest.approx(expected)


def test_a_rate_falls_in_steps_at_a_half_and_three_quarters():
    expected = [0.02] * 4 + [0.002] * 2 + [0.0002] * 2
    assert rates(learning_rate=0.02, lr_schedule="steps") == pytest.approx(expected)


def test_a_keras_schedule_gives_the_rate():
    lr_schedule = PiecewiseConstantDecay([2, 5], [0.3, 0.2, 0.1])
    assert rates(lr_schedule=lr_schedule) == pytest.approx([0.3] * 3 + [0.2] * 3 + [0.1] * 2)


def test_an_optimizer_object_brings_its_schedule():
    lr_schedule = CosineDecay(0.1, 8)
    expected = [float(keras.ops.convert_to_numpy(lr_schedule(i))) for i in range(8)]
    assert rates(optimizer=keras.optimizers.SGD(lr_schedule)) == pytest.approx(expected)


def test_an_optimizer_object_brings_its_rate():
    assert rates(optimizer=keras.optimizers.SGD(0.25)) == pytest.approx([0.25] * 8)


def test_a_rate_of_ones_own_replaces_the_optimizers():
    sgd = keras.optimizers.SGD(CosineDecay(0.1, 8))
    assert rates(optimizer=sgd, learning_rate=0.5) == pytest.approx([0.5] * 8)


def test_the_automatic_rate_is_lower_without_decay():
    assert optimizers.automatic_rate(True) > optimizers.automatic_rate(False)


def test_an_optimizer_object_trains_with_its_own_settings():
    X, y = table()
    plain, heavy = (
        classifier(optimizer=keras.optimizers.SGD(0.1, momentum=m)).fit(X, y) for m in (0.0, 0.9)
    )
    assert not same(plain, heavy)
    assert same(plain, classifier(optimizer="sgd", learning_rate=0.1).fit(X, y))


@pytest.mark.parametrize("name", optimizers._NAMES)
def test_every_optimizer_trains_by_its_name(name):
    if name == "muon" and keras.__version__ < "3.15":
        pytest.skip("before 3.15 Keras may not find Muon by its name")
    X, y = table()
    estimator = classifier(optimizer=name, epochs=1).fit(X, y)
    assert not same(estimator, classifier(optimizer="sgd", learning_rate=1e-30).fit(X, y))


@pytest.mark.parametrize(
    "names, kept",
    [
        (["dense1/ker"], ["dense1/kernel"]),
        (["^kernel$"], ["dense1/kernel", "head/kernel"]),
        (["bias", "head"], ["head/kernel"]),
    ],
)
def test_an_optimizer_class_leaves_weights_out_of_its_decay_by_their_paths(names, kept):
    X, y = table()

    @keras.saving.register_keras_serializable("test")
    class Decaying(keras.optimizers.SGD):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.exclude_from_weight_decay(var_names=names)

    def kernels(decay):
        optimizer = Decaying(1e-6, weight_decay=decay)
        return whole(clone(classifier(optimizer=optimizer, trainable=1.0)).fit(X, y))

    before, after = kernels(None), kernels(1e5)
    still = [p for p in before if np.abs(after[p]).sum() > 0.99 * np.abs(before[p]).sum() > 0]
    assert [path for path in still if path.endswith("kernel")] == kept


def test_weight_decay_shrinks_trainable_parameters_only():
    X, y = table()
    tiny = {"learning_rate": 1e-6, "trainable": "filters(4)", "optimizer": "sgd"}
    plain = whole(classifier(**tiny).fit(X, y))["dense1/kernel"]
    decayed = whole(classifier(weight_decay=1000.0, **tiny).fit(X, y))["dense1/kernel"]
    assert np.array_equal(decayed[:, 4:], plain[:, 4:])
    assert np.abs(decayed[:, :4]).sum() < 0.999 * np.abs(plain[:, :4]).sum()


def test_a_network_that_diverges_is_an_error_and_nothing_is_lost():
    X, y = targets()
    estimator = regressor().fit(X, y)
    before = estimator.predict(X)
    estimator.set_params(learning_rate=1e30, optimizer="sgd", epochs=5)
    with pytest.raises(ValueError, match="diverged.*smaller learning_rate"):
        estimator.fit(X, y)
    assert np.array_equal(estimator.predict(X), before)


AUGMENTATIONS = {
    "crop+flip": "crop+flip",
    "crop": "crop",
    "flip": "flip",
    "layer": keras.layers.RandomFlip("horizontal", seed=1),
    "layers": [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)],
    "sequential": keras.Sequential([keras.layers.RandomRotation(0.2, seed=4)]),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_repeats_and_changes_training(name):
    X, y = images()
    augment = AUGMENTATIONS[name]
    first = classifier(**CNN, augment=augment).fit(X, y)
    assert same(first, classifier(**CNN, augment=augment).fit(X, y))
    assert not same(first, classifier(**CNN).fit(X, y))


def test_augmentation_changes_no_prediction_and_no_validation():
    X, y = images()
    plain = classifier(**CNN, learning_rate=1e-30, freeze_statistics=True)
    crop = classifier(**CNN, learning_rate=1e-30, freeze_statistics=True, augment="crop+flip")
    plain.fit(X, y, X_val=X, y_val=y)
    crop.fit(X, y, X_val=X, y_val=y)
    assert crop.history_["loss"] != plain.history_["loss"]
    assert crop.history_["val_accuracy"] == [crop.score(X, y)]
    assert np.array_equal(crop.predict_proba(X), crop.predict_proba(X))


def test_augmentation_layers_with_weights_are_refused():
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    X, y = images()
    with pytest.raises(ValueError, match="augment.*weights"):
        classifier(**CNN, augment=layer).fit(X, y)


def test_verbose_shows_a_bar(capsys):
    classifier(verbose=1).fit(*table())
    shown = capsys.readouterr().out
    assert "trained 32 of 67 parameters (47.8 %)\n" in shown
    assert "PartialNetClassifier" in shown and "2/2" in shown and "loss" in shown


def test_more_verbose_shows_a_line_for_each_epoch(capsys):
    classifier(verbose=2).fit(*table())
    shown = capsys.readouterr().out
    assert "epoch 1/2" in shown and "epoch 2/2" in shown


def test_silence_is_the_default(capsys):
    classifier().fit(*table())
    assert capsys.readouterr() == ("", "")
