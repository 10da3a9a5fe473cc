"""Promises of a FeatureStage, as a test class to derive from for each stage."""

from __future__ import annotations

import copy
import pickle

import keras
import numpy as np
import pytest
from sklearn.base import clone

from frozenfit.elm import FeatureStage
from frozenfit.elm.stages.base import apply_stage


class StageContract:
    """Derive a class, set `stage` and `X`; pytest runs every promise on them.

    For example::

        class TestRandomProducts(StageContract):
            stage = RandomProducts(10)
            X = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")
    """

    stage: FeatureStage
    X: np.ndarray
    has_keras_form = True
    can_be_stored = True

    @property
    def y(self) -> np.ndarray:
        return np.arange(len(self.X)) % 3

    def fitted(self) -> FeatureStage:
        stage = copy.copy(self.stage)
        stage.check(self.X.shape[1:])
        return stage.fit(self.X, self.y, np.random.default_rng(3))

    def test_fit_returns_the_object_it_was_called_on(self):
        stage = copy.copy(self.stage)
        assert stage.fit(self.X, self.y, np.random.default_rng(3)) is stage

    def test_fitting_a_copy_leaves_the_parameters_and_the_original_unchanged(self):
        before = dict(vars(self.stage))
        self.fitted()
        assert vars(self.stage).keys() == before.keys()
        assert all(vars(self.stage)[name] is before[name] for name in before)

    def test_features_are_one_row_of_finite_numbers_per_sample(self):
        features = apply_stage(self.fitted(), self.X)
        assert features.ndim == 2 and len(features) == len(self.X)
        assert np.isfinite(features).all()

    def test_two_fits_with_equal_random_streams_are_equal(self):
        first, second = (apply_stage(self.fitted(), self.X) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_the_features_of_a_row_do_not_depend_on_the_other_rows(self):
        stage = self.fitted()
        whole = apply_stage(stage, self.X)
        np.testing.assert_allclose(apply_stage(stage, self.X[3:7]), whole[3:7], atol=1e-5)

    def test_calls_change_neither_the_stage_nor_the_samples(self):
        stage, X = self.fitted(), self.X.copy()
        first = np.array(apply_stage(stage, self.X))
        np.testing.assert_array_equal(apply_stage(stage, self.X), first)
        np.testing.assert_array_equal(self.X, X)

    def test_passes_samples_means_that_values_are_unchanged(self):
        if self.stage.passes_samples:
            rows = self.X.reshape(len(self.X), -1)
            np.testing.assert_array_equal(apply_stage(self.fitted(), self.X), rows)

    def test_a_mask_has_one_row_per_feature_and_one_column_per_unit(self):
        stage = self.fitted()
        mask = stage.mask(5, 0, "hidden_1")
        if mask is not None:
            assert mask.dtype == bool
            assert mask.shape == (apply_stage(stage, self.X).shape[1], 5)
            assert mask.any(axis=0).all()
            np.testing.assert_array_equal(stage.mask(5, 0, "hidden_1"), mask)

    def test_pickles_and_clones_compute_the_same(self):
        features = apply_stage(self.fitted(), self.X)
        again = pickle.loads(pickle.dumps(self.fitted()))
        np.testing.assert_array_equal(apply_stage(again, self.X), features)
        new = clone(self.stage).fit(self.X, self.y, np.random.default_rng(3))
        np.testing.assert_array_equal(apply_stage(new, self.X), features)

    def test_the_keras_form_computes_the_same_or_is_refused(self):
        stage = self.fitted()
        assert stage.has_keras_form is self.has_keras_form
        inputs = keras.Input(self.X.shape[1:], dtype="float32")
        if not self.has_keras_form:
            with pytest.raises(ValueError, match="Keras form.*Pipeline"):
                stage.to_keras(inputs)
            return
        # Keras before 3.15 accepts no model whose output is its input.
        outputs = keras.layers.Identity()(stage.to_keras(inputs))
        model = keras.Model(inputs, outputs)
        outputs = keras.ops.convert_to_numpy(model(self.X.astype("float32"), training=False))
        expected = apply_stage(stage, self.X)
        np.testing.assert_allclose(outputs.reshape(expected.shape), expected, atol=1e-4)

    def test_the_table_lists_frozen_arrays(self):
        for row in self.fitted().parameter_table():
            assert row.trainable == 0 and row.total == np.prod(row.shape) > 0

    def test_its_state_restores_it_or_is_refused(self):
        stage = self.fitted()
        if not self.can_be_stored:
            with pytest.raises(ValueError, match="cannot be stored"):
                stage.state()
            return
        state = stage.state()
        again = copy.copy(self.stage).restore(state, self.X.shape[1:])
        np.testing.assert_array_equal(apply_stage(again, self.X), apply_stage(stage, self.X))
        assert again.state().keys() == state.keys()
        for missing in state:
            broken = {key: value for key, value in state.items() if key != missing}
            with pytest.raises((ValueError, KeyError)):
                copy.copy(self.stage).restore(broken, self.X.shape[1:])
