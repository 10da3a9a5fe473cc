"""Bad input: one clear sentence before any training, and a fitted estimator stays as it was."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from estimator_data import classifier, given_net, images, regressor, small_cnn, table, targets
from keras import layers

from frozenfit import selectors
from frozenfit.training import loop

X, Y = table()
IMAGES, _ = images()


def spoiled(value, shape=(48, 4)):
    bad = np.array(X[: shape[0], : shape[1]])
    bad[3, 1] = value
    return bad


def no_model(input_shape, n_outputs):
    return "a text"


def unbuilt(input_shape, n_outputs):
    return keras.Sequential([layers.Dense(n_outputs)])


BAD_SETTINGS = {
    "empty selector": ({"trainable": selectors.nothing()}, "nothing|empty|no entr"),
    "empty intersection": ({"trainable": "batch_norm()"}, "nothing|no |empty"),
    "glob without match": ({"trainable": "layers('dens2*')"}, "dens2.*dense1"),
    "no such selector": ({"trainable": "filter(0.1)"}, "filter.*filters"),
    "code in a selector": ({"trainable": "__import__('os')"}, "__import__"),
    "trainable 0": ({"trainable": 0}, "0"),
    "trainable -0.1": ({"trainable": -0.1}, "-0.1"),
    "trainable 1.5": ({"trainable": 1.5}, "1.5"),
    "fraction of a selector": ({"trainable": "filters(1.5)"}, "1.5"),
    "learned nan": ({"trainable": float("nan")}, "nan"),
    "trainable False": ({"trainable": False}, "False"),
    "learned None": ({"trainable": None}, "trainable"),
    "zero epochs": ({"epochs": 0}, "epochs.*0"),
    "half an epoch": ({"epochs": 1.5}, "epochs.*1.5"),
    "empty batches": ({"batch_size": 0}, "batch_size.*0"),
    "rate 0": ({"learning_rate": 0.0}, "learning_rate.*0.0"),
    "rate a word": ({"learning_rate": "fast"}, "learning_rate.*fast"),
    "negative decay": ({"weight_decay": -1.0}, "weight_decay.*-1"),
    "unknown fill": ({"frozen": "ones"}, "frozen.*ones"),
    "unknown schedule": ({"lr_schedule": "linear"}, "schedule.*linear"),
    "statistics a word": ({"freeze_statistics": "sometimes"}, "freeze_statistics.*sometimes"),
    "fraction 0": ({"validation_fraction": 0.0}, "validation_fraction"),
    "no patience": ({"patience": 0}, "patience.*0"),
    "unknown network": ({"model": "mpl"}, "mpl.*mlp"),
    "no network": ({"model": 3}, "model.*3"),
    "unknown parameter": ({"model_params": {"hidden": (3,)}}, "'hidden'.*hidden_layer_sizes"),
    "parameters a list": ({"model_params": [1]}, "model_params"),
    "bad parameter": ({"model_params": {"hidden_layer_sizes": (0,)}}, "hidden_layer_sizes.*0"),
    "network from nowhere": ({"model": no_model}, "no_model.*must return a keras.Model.*str"),
    "unknown optimizer": ({"optimizer": "adan"}, "adan.*adam"),
    "optimizer around one": (
        {"optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())},
        "LossScaleOptimizer.*inner_optimizer",
    ),
    "wrong callback": ({"callbacks": [print]}, "`callbacks` must be keras.callbacks.Callback"),
    "unknown class": ({"class_weight": {9: 1.0}}, "`class_weight` contains .9.*0, 1, 2"),
    "weights a word": ({"class_weight": "even"}, "class_weight.*even"),
    "unknown augmentation": ({"augment": "crop+turn"}, "augment.*crop.turn"),
    "images wanted": ({"augment": "crop"}, "augment='crop' needs images.*image_shape"),
    "augment a number": ({"augment": [3]}, "augment.*3"),
    "image of another size": ({"image_shape": (3, 3, 1)}, "image_shape=.3, 3, 1.*got.*4"),
    "image shape of words": ({"image_shape": ("a", 1)}, "image_shape.*'a'"),
    "image shape of zero": ({"image_shape": (0, 4)}, "image_shape.*0"),
    "initial distribution": ({"weight_init": "heavy"}, "heavy"),
    "random state a word": ({"random_state": "chance"}, "random_state.*chance"),
    "negative random state": ({"random_state": -1}, "random_state|[Ss]eed"),
    "two outputs": (
        {"model": given_net(n_outputs=2)},
        "must have 3 outputs.*classes of y.*shape .2,",
    ),
    "another input": ({"model": given_net(n_features=7)}, "does not accept samples of shape .4,"),
    "network not built": (
        {"model": keras.Sequential([layers.Dense(3)])},
        "not built|no weights|build",
    ),
}


@pytest.fixture
def trained(monkeypatch):
    """Counts the steps of training; a refusal comes before the first."""
    steps = []
    inner = loop.Trainer.run

    def counting(self, *args):
        steps.append(1)
        return inner(self, *args)

    monkeypatch.setattr(loop.Trainer, "run", counting)
    return steps


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text.strip(), text
    assert len(text) < 600


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_a_bad_setting_is_refused_and_nothing_is_lost(name, trained):
    params, words = BAD_SETTINGS[name]
    estimator = classifier().fit(X, Y)
    before = estimator.predict_proba(X)
    trained.clear()
    if "model" in params:
        estimator.set_params(model_params=None)
    with pytest.raises((ValueError, TypeError), match=words) as error:
        estimator.set_params(**params).fit(X, Y)
    one_sentence(error)
    assert not trained
    estimator.set_params(image_shape=None)
    assert np.array_equal(estimator.predict_proba(X), before)


BAD_DATA = {
    "NaN": (spoiled(np.nan), Y, "NaN"),
    "infinity": (spoiled(np.inf), Y, "infinity"),
    "too large for a float": (X.astype("float64") * 1e300, Y, "too large"),
    "one dimension": (X[:, 0], Y, "2D array"),
    "one class": (X, np.ones(48), "at least 2 classes, got one class: .1.0"),
    "fewer labels": (X, Y[:9], "inconsistent numbers of samples"),
    "no samples": (X[:0], Y[:0], "0 sample"),
    "no columns": (X[:, :0], Y, "0 feature"),
    "labels of several columns": (X, np.arange(96).reshape(48, 2) % 3, "multiclass-multioutput"),
    "numbers that are no classes": (X, np.linspace(0, 1, 48), "continuous"),
    "missing labels": (X, np.where(Y > 0, Y, np.nan), "NaN"),
    "no labels": (X, None, "requires y"),
    "words": (np.array([["a"] * 4] * 48), Y, "could not convert|dtype"),
    "complex": (X + 1j, Y, "[Cc]omplex"),
    "images in which something is missing": (np.full((48, 2, 2, 1), np.nan), Y, "NaN"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_are_refused_and_nothing_is_lost(name, trained):
    bad, labels, words = BAD_DATA[name]
    estimator = classifier().fit(X, Y)
    before = vars(estimator).copy(), estimator.predict_proba(X)
    trained.clear()
    with pytest.raises(ValueError, match=words):
        estimator.fit(bad, labels)
    assert not trained
    assert vars(estimator).keys() == before[0].keys()
    assert np.array_equal(estimator.predict_proba(X), before[1])


def test_one_class_of_weight_is_one_class():
    with pytest.raises(ValueError, match="at least 2 classes, got one class: .2."):
        classifier().fit(X, Y, sample_weight=Y == 2)


@pytest.mark.parametrize(
    "bad, words",
    [
        (X[:, :3], "X has 3 features, but PartialNetClassifier is expecting 4"),
        (X[0], "2D array"),
        (spoiled(np.nan), "NaN"),
        (IMAGES, r"samples of shape \(4,\), as in `fit`, got \(8, 8, 1\)"),
        (X[:0], "0 sample"),
    ],
)
def test_predict_refuses_other_data(bad, words):
    with pytest.raises(ValueError, match=words):
        classifier().fit(X, Y).predict(bad)


def test_a_failed_first_fit_leaves_an_unfitted_estimator():
    estimator = classifier()
    with pytest.raises(ValueError):
        estimator.fit(spoiled(np.nan), Y)
    assert vars(estimator) == vars(classifier())


@pytest.mark.parametrize("which", ["var_names", "var_list"])
def test_weights_excluded_from_decay_are_refused_if_copies_lose_them(which, trained):
    optimizer = keras.optimizers.AdamW(0.01)
    network = given_net()
    chosen = ["bias"] if which == "var_names" else network.trainable_variables[:1]
    optimizer.exclude_from_weight_decay(**{which: chosen})
    with pytest.raises(ValueError, match="Keras does not keep.*__init__ of a subclass"):
        classifier(model=network, optimizer=optimizer).fit(X, Y)
    assert not trained


def test_a_table_for_a_network_of_images_is_refused():
    with pytest.raises(ValueError, match=r"does not accept samples of shape \(4,\).*image_shape"):
        classifier(model=lambda shape, n: small_cnn((8, 8, 1), n)).fit(X, Y)


def test_lenet_refuses_a_table():
    with pytest.raises(ValueError, match="lenet5"):
        classifier(model="lenet5").fit(X, Y)


@pytest.mark.parametrize(
    "held, words",
    [
        ((X, None), "`X_val` and `y_val` must be given together"),
        ((None, Y), "`X_val` and `y_val` must be given together"),
        ((X[:, :2], Y), "X has 2 features"),
        ((spoiled(np.nan), Y), "NaN"),
        ((X, Y + 1), "labels .3., which are not among the classes"),
        ((X[:0], Y[:0]), "0 sample"),
    ],
)
def test_bad_held_out_data_are_refused(held, words, trained):
    with pytest.raises(ValueError, match=words):
        classifier().fit(X, Y, X_val=held[0], y_val=held[1])
    assert not trained


def test_too_few_samples_for_validation_are_refused(trained):
    with pytest.raises(ValueError, match="early stopping needs .* early_stopping=False"):
        classifier(early_stopping=True).fit(X[:2], Y[:2])
    assert not trained


def test_a_regressor_refuses_strings():
    with pytest.raises(ValueError):
        regressor().fit(X, np.array(["a"] * 48))


def test_a_regressor_refuses_missing_targets():
    A, b = targets()
    with pytest.raises(ValueError, match="NaN"):
        regressor().fit(A, np.where(b > b.mean(), np.nan, b))


def test_a_regressor_refuses_a_network_of_another_size():
    A, b = targets(n_targets=2)
    with pytest.raises(ValueError, match="must have 2 outputs.*targets of y.*shape .3,"):
        regressor(model=given_net(), model_params=None).fit(A, b)


def test_a_regressor_may_end_in_softmax():
    A, b = targets(n_targets=3)
    network = given_net(activation="softmax")
    assert regressor(model=network, model_params=None).fit(A, b).predict(A).shape == (48, 3)


def test_an_unbuilt_network_of_a_callable_is_built():
    assert classifier(model=unbuilt).fit(X, Y).predict(X).shape == (48,)


@pytest.mark.parametrize("trainable", ["head()", "head() | biases()", "biases()"])
def test_zeros_that_hide_the_samples_from_the_trained_parameters_are_refused(trainable):
    estimator = classifier(frozen="zero", trainable=trainable)
    with pytest.raises(ValueError, match=r"`frozen='zero'` requires .*, got trainable='.*\(\)'"):
        estimator.fit(X, Y)
    classifier(frozen="zero", trainable=f"filters(0.5) | {trainable}", epochs=1).fit(X, Y)
    classifier(frozen="random", trainable=trainable, epochs=1).fit(X, Y)


def test_zeros_beside_a_direct_way_to_the_head_are_not_refused():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(4, "relu", name="hidden")(inputs)
    outputs = keras.layers.Dense(3, name="out")(keras.layers.Concatenate()([inputs, hidden]))
    wide = keras.Model(inputs, outputs)
    options = {"trainable": "head()", "epochs": 40, "learning_rate": 0.05}
    fitted = classifier(model=wide, frozen="zero", **options).fit(X, Y)
    assert fitted.score(X, Y) > 0.9
