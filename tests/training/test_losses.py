"""`loss` and `metrics` of the estimators are those of Keras on outputs of the network."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import losses, metrics, ops
from scipy.special import softmax
from sklearn.base import clone
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

import frozenfit
from frozenfit import CheapEnsembleClassifier, PartialNetClassifier, PartialNetRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 6)).astype("float32")
LABELS = np.array(["a", "b", "c"])[np.argmax(X[:, :3] + rng.normal(size=(200, 3)), axis=1)]
TWO = (X[:, 0] + rng.normal(size=200) > 0).astype(int)
TARGETS = 100 + 50 * (X[:, 0] + X[:, 1] ** 2 + rng.exponential(size=200))
WEIGHT = rng.uniform(0.5, 2, size=200)
STILL = {"learning_rate": 1e-30, "epochs": 2, "trainable": 1.0, "random_state": 0}


def classifier(**params):
    return PartialNetClassifier("mlp", **{**STILL, **params})


def regressor(**params):
    return PartialNetRegressor("mlp", **{**STILL, **params})


def close(found, expected, rtol=1e-5):
    np.testing.assert_allclose(found, [float(expected)] * len(found), rtol=rtol)


def focal(y_true, y_pred):
    chance = ops.softmax(y_pred)
    return ops.sum(y_true * (1 - chance) ** 2 * -ops.log(chance), axis=-1)


def pinball(y_true, y_pred):
    error = y_true - y_pred
    return ops.mean(ops.maximum(0.9 * error, -0.1 * error), axis=-1)


class Smooth(losses.Loss):
    """A loss whose configuration does not contain its parameter."""

    def __init__(self, power, name="smooth"):
        super().__init__(name=name)
        self.power = power

    def call(self, y_true, y_pred):
        return ops.sum(ops.abs(y_true - ops.softmax(y_pred)) ** self.power, axis=-1)


CATEGORICAL = {
    "categorical_crossentropy": losses.CategoricalCrossentropy(from_logits=True),
    "sparse_categorical_crossentropy": losses.SparseCategoricalCrossentropy(from_logits=True),
    "categorical_focal_crossentropy": losses.CategoricalFocalCrossentropy(from_logits=True),
    "categorical_hinge": losses.CategoricalHinge(),
}


CASES = {
    **{name: (name, reference) for name, reference in CATEGORICAL.items()},
    **{type(each).__name__: (each, each) for each in CATEGORICAL.values()},
    "smoothed": (losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),) * 2,
    "function": (focal, focal),
    "class": (Smooth(3), Smooth(3)),
}


@pytest.mark.parametrize(("loss", "reference"), CASES.values(), ids=CASES)
def test_the_loss_of_a_classifier(loss, reference):
    held = X[:50], LABELS[:50]
    clf = classifier(loss=loss).fit(X, LABELS, WEIGHT, X_val=held[0], y_val=held[1])
    logits = clf.decision_function(X).astype("float32")
    y = np.searchsorted(clf.classes_, LABELS)
    if not isinstance(reference, losses.SparseCategoricalCrossentropy):
        y = np.eye(3, dtype="float32")[y]
    call = reference.call if isinstance(reference, losses.Loss) else reference
    each = keras.ops.convert_to_numpy(call(ops.convert_to_tensor(y), ops.convert_to_tensor(logits)))
    close(clf.history_["loss"], np.average(each, weights=WEIGHT))
    close(clf.history_["val_loss"], np.mean(each[:50]))


@pytest.mark.parametrize(
    "loss",
    ["mae", "mean_squared_error", "huber", "log_cosh", losses.Huber(delta=0.3), pinball],
    ids=["mae", "mean_squared_error", "huber", "log_cosh", "Huber(0.3)", "pinball"],
)
def test_the_loss_of_a_regressor(loss):
    reg = regressor(loss=loss).fit(X, TARGETS, WEIGHT, X_val=X[:50], y_val=TARGETS[:50])
    mean = np.average(TARGETS, weights=WEIGHT)
    scale = np.sqrt(np.average((TARGETS - mean) ** 2, weights=WEIGHT))
    pair = ((a[:, None] - mean) / scale for a in (TARGETS, reg.predict(X)))
    function = {"mae": losses.mean_absolute_error, "log_cosh": losses.log_cosh}.get(loss, loss)
    function = losses.get(function) if isinstance(function, str) else function
    function = function.call if isinstance(function, losses.Loss) else function
    each = keras.ops.convert_to_numpy(
        function(*(ops.convert_to_tensor(a, "float32") for a in pair))
    )
    close(reg.history_["loss"], np.average(each, weights=WEIGHT), rtol=1e-4)
    close(reg.history_["val_loss"], np.mean(each[:50]), rtol=1e-4)


def test_training_minimizes_the_loss():
    narrow = {"hidden_layer_sizes": (20,)}  # too few units to learn the noise
    settings = {"learning_rate": 0.01, "epochs": 60, "model_params": narrow}
    upper = regressor(loss=pinball, **settings).fit(X, TARGETS)
    assert 0.8 < np.mean(upper.predict(X) > TARGETS) < 0.97
    absolute = regressor(loss="mae", **settings).fit(X, TARGETS)
    squared = regressor(**settings).fit(X, TARGETS)
    # The median is below the mean of this skewed noise.
    assert np.mean(absolute.predict(X)) < np.mean(squared.predict(X))


def test_losses_whose_configurations_are_equal_are_not_mixed_up():
    first, second = (classifier(loss=Smooth(power)).fit(X, LABELS) for power in (1, 2))
    assert first.history_["loss"][0] > second.history_["loss"][0] + 0.05


def test_metrics_of_several_classes():
    chosen = ["categorical_crossentropy", metrics.SparseTopKCategoricalAccuracy(2, name="top2")]
    clf = classifier(metrics=[*chosen, "accuracy", metrics.AUC(name="auc"), focal], batch_size=32)
    clf.fit(X, LABELS, WEIGHT, X_val=X[:50], y_val=LABELS[:50])
    names = ["loss", "accuracy", "categorical_crossentropy", "top2", "auc", "focal"]
    assert list(clf.history_) == [*names, *(f"val_{name}" for name in names)]
    close(clf.history_["categorical_crossentropy"], clf.history_["loss"][0])
    close(clf.history_["val_categorical_crossentropy"], clf.history_["val_loss"][0])
    chance, y = clf.predict_proba(X), np.searchsorted(clf.classes_, LABELS)
    in_top2 = y != chance.argmin(axis=1)
    close(clf.history_["top2"], np.average(in_top2, weights=WEIGHT))
    close(clf.history_["val_top2"], np.mean(in_top2[:50]))
    micro = roc_auc_score(np.eye(3)[y], chance, average="micro", sample_weight=WEIGHT)
    close(clf.history_["auc"], micro, rtol=0.01)  # Keras sums trapezoids of 200 thresholds


def test_metrics_of_two_classes_are_those_of_the_second():
    chosen = ["precision", "recall", metrics.AUC(name="auc"), metrics.F1Score(threshold=0.5)]
    clf = classifier(metrics=chosen, random_state=3).fit(X, TWO)
    predicted, chance = clf.predict(X), clf.predict_proba(X)[:, 1]
    both = np.sum(predicted & TWO)
    close(clf.history_["precision"], both / predicted.sum())
    close(clf.history_["recall"], both / TWO.sum())
    close(clf.history_["auc"], roc_auc_score(TWO, chance), rtol=0.01)


def test_metrics_of_targets_are_on_their_scale():
    y = np.column_stack([TARGETS, -TARGETS / 7])
    reg = regressor(metrics=["mae", metrics.R2Score(name="r2")]).fit(X, y)
    close(reg.history_["mae"], mean_absolute_error(y, reg.predict(X)))
    close(reg.history_["r2"], r2_score(y, reg.predict(X)), rtol=1e-3)


def test_metrics_describe_the_outputs_in_training():
    """Outputs come from before the step, of every batch, phase and cached prefix."""
    frozen = {"trainable": "head()", "cache_features": True, "learning_rate": 0.05}
    clf = classifier(metrics=["sparse_categorical_crossentropy"], batch_size=48, epochs=3, **frozen)
    clf.fit(X, LABELS)
    np.testing.assert_allclose(
        clf.history_["sparse_categorical_crossentropy"], clf.history_["loss"], rtol=1e-5
    )
    clf = classifier(
        metrics=["sparse_categorical_crossentropy"],
        freeze_schedule="GradualUnfreeze(2)",
        epochs=4,
        learning_rate=0.05,
    ).fit(X, LABELS)
    np.testing.assert_allclose(
        clf.history_["sparse_categorical_crossentropy"], clf.history_["loss"], rtol=1e-5
    )


def test_metrics_do_not_change_training():
    settings = {"learning_rate": 0.01, "epochs": 3, "random_state": 1}
    with_metrics = classifier(metrics=["auc"], **settings).fit(X, LABELS)
    np.testing.assert_allclose(
        with_metrics.predict_proba(X),
        classifier(**settings).fit(X, LABELS).predict_proba(X),
        atol=1e-6,
    )


def test_the_metrics_of_the_user_keep_their_state():
    auc = metrics.AUC(name="mine")
    auc.update_state([0, 1], [0.2, 0.9])
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in auc.variables]
    clf = classifier(metrics=[auc]).fit(X, TWO)
    assert "mine" in clf.history_
    for old, variable in zip(before, auc.variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(variable))


def test_callbacks_find_the_metrics():
    stop = keras.callbacks.EarlyStopping("val_auc", patience=1, mode="auto")
    clf = classifier(
        metrics=[metrics.AUC(name="auc")], callbacks=[stop], epochs=8, learning_rate=0.05
    )
    clf.fit(
        X, TWO, X_val=X[:60], y_val=1 - TWO[:60]
    )  # opposite labels: the best epoch is the first
    assert len(clf.history_["loss"]) < 8
    assert clf.callbacks_[0].best == max(clf.history_["val_auc"])


def test_members_of_an_ensemble_and_clones_use_them():
    estimator = classifier(loss="categorical_hinge", metrics=["auc"])
    ensemble = CheapEnsembleClassifier(clone(estimator), n_estimators=2, random_state=0).fit(X, TWO)
    for member in ensemble.estimators_:
        assert {"auc", "loss", "accuracy"} == set(member.history_)


def test_they_are_stored(tmp_path):
    smoothed = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    clf = classifier(loss=smoothed, metrics=["auc"]).fit(X, LABELS)
    frozenfit.save(clf, tmp_path / "clf")
    again = frozenfit.load(tmp_path / "clf")
    assert again.loss.get_config() == smoothed.get_config() and again.metrics == ["auc"]
    np.testing.assert_allclose(again.predict_proba(X), softmax(clf.decision_function(X), axis=1))
    frozenfit.save(regressor(loss=losses.Huber(delta=0.3)).fit(X, TARGETS), tmp_path / "reg")
    # Keras itself leaves it out of the configuration.
    assert frozenfit.load(tmp_path / "reg").loss._fn_kwargs == {"delta": 0.3}


ERRORS = {
    "unknown": ({"loss": "focall"}, "name of a Keras loss.*'focall'"),
    "probabilities": (
        {"loss": losses.CategoricalCrossentropy()},
        r"from logits.*Use CategoricalCrossentropy\(from_logits=True\)",
    ),
    "regression": ({"loss": "mse"}, "loss for classification.*'mse'.*'categorical_crossentropy'"),
    "one output": ({"loss": losses.BinaryCrossentropy(from_logits=True)}, "BinaryCrossentropy"),
    "sum": ({"loss": Smooth(1, "s")}, "reduction='sum'"),
    "scalar": ({"loss": lambda y, p: ops.mean(focal(y, p))}, "one value per sample"),
    "metric": ({"metrics": ["auk"]}, "'auk'. Did you mean 'auc'"),
    "twice": ({"metrics": ["auc", metrics.AUC(name="auc")]}, "different names.*'auc'"),
    "reserved": ({"metrics": [metrics.Precision(name="loss")]}, "different names.*'loss'"),
    "vector": ({"metrics": [metrics.F1Score(name="f1")]}, "single numbers, got 3 from 'f1'"),
    "type": ({"metrics": "auc"}, "'metrics' parameter"),
}
ERRORS["sum"][0]["loss"].reduction = "sum"


@pytest.mark.parametrize("case", ERRORS)
def test_what_is_refused(case):
    params, message = ERRORS[case]
    with pytest.raises(ValueError, match=message):
        classifier(**params).fit(X, LABELS)


@pytest.mark.parametrize("loss", ["poisson", "kl_divergence", "categorical_crossentropy"])
def test_losses_of_positive_targets_are_refused(loss):
    with pytest.raises(ValueError, match="loss for regression.*'huber'"):
        regressor(loss=loss).fit(X, TARGETS)
