"""Promises of a network, as a test class to derive from for each registered function."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import frozenfit
from frozenfit import architectures
from frozenfit.isolation import isolated
from frozenfit.layout import Survey
from frozenfit.selectors import as_selector, head


class NetworkContract:
    """Derive a class and set `name` and `input_shape`; pytest runs every promise on them.

    For example::

        class TestResidualMLP(NetworkContract):
            name = "residual_mlp"
            input_shape = (8,)
            params = {"width": 16}
    """

    name: str
    input_shape: tuple[int, ...]
    params: dict[str, Any] = {}

    def build(self, n_outputs: int = 3) -> keras.Model:
        # Names and random numbers that depend on what was built before would differ in a file.
        with isolated(0):
            return architectures.build(self.name, self.input_shape, n_outputs, **self.params)

    def samples(self, n: int = 4) -> np.ndarray:
        """Return samples; override it for a network that takes token ids."""
        return np.random.default_rng(0).random((n, *self.input_shape)).astype("float32")

    @pytest.mark.parametrize("n_outputs", [1, 3, 10])
    def test_outputs_are_finite_logits(self, n_outputs):
        model = self.build(n_outputs)
        outputs = keras.ops.convert_to_numpy(model(self.samples(), training=False))
        assert outputs.shape == (4, n_outputs) and np.isfinite(outputs).all()
        last = getattr(model.layers[-1], "activation", keras.activations.linear)
        assert last is keras.activations.linear

    def test_two_builds_have_equal_names_paths_and_shapes(self):
        first, second = (
            architectures.build(self.name, self.input_shape, 3, **self.params) for _ in range(2)
        )
        assert Survey(first).layout == Survey(second).layout
        # Keras numbers inputs, which are not part of any path.
        names = [[layer.name for layer in model.layers[1:]] for model in (first, second)]
        assert names[0] == names[1]

    def test_head_finds_the_outputs_and_a_number_freezes_parameters(self):
        layout = Survey(self.build(3)).layout
        selection = head().resolve(layout)
        assert any(layout[path].n_outputs == 3 for path, _ in selection.items())
        assert 0 < as_selector(0.1).resolve(layout).n_trainable < selection.total

    def test_the_configuration_builds_the_same_network(self):
        model = self.build()
        again = keras.Model.from_config(model.get_config())
        again.set_weights(model.get_weights())
        assert Survey(again).layout == Survey(model).layout
        outputs = [m(self.samples(), training=False) for m in (model, again)]
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, outputs))

    def test_an_estimator_is_restored_from_a_file(self, tmp_path):
        X, y = self.samples(12), np.arange(12) % 3
        clf = frozenfit.PartialNetClassifier(
            self.name, model_params=self.params, epochs=1, random_state=0
        )
        clf.fit(X, y)
        frozenfit.save(clf, tmp_path / "network.frozenfit")
        again = frozenfit.load(tmp_path / "network.frozenfit")
        np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
