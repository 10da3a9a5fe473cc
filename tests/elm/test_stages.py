"""Every feature stage keeps the promises of FeatureStage, and so can a stage of a user."""

from __future__ import annotations

import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from stage_contract import StageContract

import frozenfit
from frozenfit import ELMClassifier, ELMFeatures, ELMRegressor
from frozenfit.elm import FeatureStage, frozen_row, register_stage
from frozenfit.elm.stages import as_stage, registered_stages
from frozenfit.elm.stages.base import array_of
from frozenfit.elm.stages.patches import Patches
from frozenfit.elm.stages.receptive_fields import ReceptiveFields

DIGITS = load_digits()
X, Y = DIGITS.data[:300].astype("float32") / 16, DIGITS.target[:300]
IMAGES = X[:40].reshape(-1, 8, 8)
COLORS = np.random.default_rng(0).random((30, 9, 8, 3)).astype("float32")


@register_stage("tests.whitened")
class Whitened(FeatureStage):
    """Random projections of centered samples: parameters, randomness, state, Keras form."""

    def __init__(self, n_components: int = 12):
        self.n_components = n_components

    def fit(self, X, y, rng):
        rows = X.reshape(len(X), -1)
        self.mean_ = rows.mean(axis=0)
        kernel = rng.standard_normal((rows.shape[1], self.n_components))
        self.kernel_ = kernel.astype("float32")
        return self

    def __call__(self, X):
        return (X.reshape(len(X), -1) - self.mean_) @ self.kernel_

    def to_keras(self, inputs):
        return keras.ops.matmul(inputs - self.mean_, self.kernel_)

    def parameter_table(self):
        return [frozen_row("projection/kernel", self.kernel_)]

    def state(self):
        return {"mean": self.mean_, "kernel": self.kernel_}

    def restore(self, state, input_shape):
        self.mean_ = array_of(state, "mean", 1)
        self.kernel_ = array_of(state, "kernel", 2)
        return self


class Squares(FeatureStage):
    """The least a user can write."""

    def fit(self, X, y, rng):
        return self

    def __call__(self, X):
        return np.hstack([X, X**2])


def network():
    init = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(9, kernel_initializer=init)])


class TestIdentity(StageContract):
    stage, X = as_stage(None), X[:40]


class TestReceptiveFields(StageContract):
    stage, X = ReceptiveFields(), IMAGES


class TestPatches(StageContract):
    stage, X = Patches(n_filters=6, patch_size=(2, 3), pool=2, stride=2), IMAGES


class TestWhitenedPatches(StageContract):
    stage = Patches(6, 3, whiten=True, rectifier="two-sided", threshold=0.2, grid=2, root=False)
    X = COLORS


class TestTransformer(StageContract):
    stage, X = as_stage(PCA(5, random_state=0)), X[:40]
    has_keras_form = can_be_stored = False


class TestKerasFeatures(StageContract):
    X = X[:40]

    @property
    def stage(self):
        self.__dict__.setdefault("_stage", as_stage(network()))
        return self._stage


class TestStageOfAUser(StageContract):
    stage, X = Whitened(), X[:40]


class TestSmallestStageOfAUser(StageContract):
    stage, X = Squares(), X[:40]
    has_keras_form = can_be_stored = False


def test_every_stage_in_the_folder_has_a_contract_test():
    contracts = [kind for name, kind in globals().items() if name.startswith("Test")]
    tested = {type(contract().stage).__module__.rpartition(".")[2] for contract in contracts}
    folder = Path(frozenfit.__file__).parent / "elm" / "stages"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__", "base"} <= tested


def test_features_are_turned_into_stages_by_name_and_by_kind():
    assert isinstance(as_stage("patches", {"n_filters": 3}), Patches)
    assert as_stage("patches", {"n_filters": 3}).n_filters == 3
    own = Squares()
    assert as_stage(own) is own
    assert {"patches", "receptive_fields", "tests.whitened"} <= set(registered_stages())
    with pytest.raises(ValueError, match="Did you mean 'patches'"):
        as_stage("patchs")
    with pytest.raises(TypeError, match="`features` must be"):
        as_stage(3)


def test_a_name_belongs_to_one_class():
    with pytest.raises(ValueError, match="'patches' is registered"):
        register_stage("patches")(Squares)
    assert registered_stages()["patches"] is Patches


@pytest.mark.parametrize("features", [Whitened(20), "tests.whitened", Squares()])
def test_a_stage_of_a_user_works_in_an_estimator(features):
    clf = ELMClassifier((60,), features=features, random_state=0).fit(X[:200], Y[:200])
    assert clf.score(X[200:], Y[200:]) > 0.7
    again = clone(clf).fit(X[:200], Y[:200])
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    copied = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(copied.predict_proba(X), clf.predict_proba(X))
    parts = (
        clone(clf).partial_fit(X[:80], Y[:80], classes=range(10)).partial_fit(X[80:200], Y[80:200])
    )
    np.testing.assert_allclose(parts.predict_proba(X), clf.predict_proba(X), atol=1e-6)


def test_a_stage_of_a_user_works_in_a_regressor_and_a_transformer():
    assert ELMRegressor((60,), features=Squares(), random_state=0).fit(X, Y).score(X, Y) > 0.5
    assert ELMFeatures((6,), features=Whitened(), random_state=0).fit_transform(X).shape[1] == 6


def test_fitting_does_not_change_the_stage_of_the_user():
    stage = Whitened(5)
    ELMClassifier((20,), features=stage, random_state=0).fit(X, Y)
    assert vars(stage) == {"n_components": 5}


def test_the_parameters_of_a_stage_can_be_searched():
    clf = ELMClassifier((30,), features=Whitened(), random_state=0)
    search = GridSearchCV(clf, {"features__n_components": [1, 30]}, cv=3).fit(X, Y)
    assert search.best_params_ == {"features__n_components": 30}


@pytest.mark.parametrize("features", [Whitened(20), "tests.whitened"])
@pytest.mark.parametrize("include_frozen", [False, True])
def test_a_registered_stage_is_saved_and_loaded(tmp_path, features, include_frozen):
    clf = ELMClassifier((30,), features=features, random_state=0).fit(X, Y)
    frozenfit.save(clf, tmp_path / "elm.frozenfit", include_frozen=include_frozen)
    again = frozenfit.load(tmp_path / "elm.frozenfit")
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert again.parameter_table() == clf.parameter_table()
    assert clf.parameter_table()[0].path == "projection/kernel"


def test_a_stage_that_is_not_registered_is_refused_before_a_file_is_written(tmp_path):
    clf = ELMClassifier((30,), features=Squares(), random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="register_stage"):
        frozenfit.save(clf, tmp_path / "elm.frozenfit")
    assert not list(tmp_path.iterdir())


def test_a_stage_without_a_state_is_refused_before_a_file_is_written(tmp_path, monkeypatch):
    monkeypatch.delattr(Whitened, "state")
    clf = ELMClassifier((30,), features=Whitened(), random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"implement state\(\)"):
        frozenfit.save(clf, tmp_path / "elm.frozenfit")
    assert not list(tmp_path.iterdir())


def test_a_file_of_a_stage_that_is_not_registered_here_is_refused(tmp_path, monkeypatch):
    clf = ELMClassifier((30,), features=Whitened(), random_state=0).fit(X, Y)
    frozenfit.save(clf, tmp_path / "elm.frozenfit")
    monkeypatch.delitem(frozenfit.elm.stages.base._named, "tests.whitened")
    with pytest.raises(frozenfit.StorageError, match="import the module that registers it"):
        frozenfit.load(tmp_path / "elm.frozenfit")


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_a_file_with_another_state_is_refused(change):
    clf = ELMClassifier((30,), features=Whitened(), random_state=0).fit(X, Y)
    meta, arrays = clf._fitted_state(False)
    arrays = dict(arrays)
    if change == "missing":
        del arrays["input_features/kernel"]
    elif change == "extra":
        arrays["input_features/other"] = np.zeros(2)
    else:
        arrays["input_features/kernel"] = np.zeros((64,))
    with pytest.raises(ValueError, match="missing|unexpected keys|on 2 axes"):
        ELMClassifier(**clf.get_params(deep=False))._restore(meta, arrays)


def test_the_keras_model_of_a_stage_computes_the_same_or_is_refused():
    clf = ELMClassifier((30,), features=Whitened(), random_state=0).fit(X, Y)
    logits = keras.ops.convert_to_numpy(clf.to_keras()(X, training=False))
    np.testing.assert_allclose(logits, clf._logits(X), atol=2e-3)
    with pytest.raises(ValueError, match="features=Squares has no Keras form"):
        ELMClassifier((30,), features=Squares(), random_state=0).fit(X, Y).to_keras()


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda X: X[:3], "one row of features"),
        (lambda X: X[:, 0], "one row of features"),
        (lambda X: X * np.nan, "finite"),
    ],
)
def test_features_of_a_wrong_form_are_refused(monkeypatch, returned, words):
    monkeypatch.setattr(Squares, "__call__", lambda self, X: returned(X))
    with pytest.raises(ValueError, match=words):
        ELMClassifier((30,), features=Squares(), random_state=0).fit(X, Y)
