"""The epochs of a phase run on features that are computed from those of the phase before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from estimator_data import classifier, raw, table

from frozenfit import FreezeOut, FreezeSchedule, GradualUnfreeze, clear_workspace
from frozenfit.training import prefix

# Layers of 4 -> 7 -> 6 -> 5 -> 3 values, so that the width shows where features begin.
WIDTHS = {"model_params": {"hidden_layer_sizes": (7, 6, 5)}, "trainable": 1.0}
OUT = FreezeOut(0.4, "linear")  # times .4, .6, .8 and 1


@dataclass(frozen=True)
class Leaping(FreezeSchedule):
    """Freeze the first two layers, then three, then the first alone."""

    def active(self, n_layers, progress):
        waiting = 2 if progress < 0.3 else 3 if progress < 0.6 else 1
        return np.arange(n_layers) >= waiting


def fitted(cache, **params):
    X, y = table()
    # Two compiled paths are compared.
    clear_workspace()
    held = {"X_val": X[:10] + 0.1, "y_val": y[:10]}
    return classifier(**WIDTHS, cache_features=cache, **params).fit(X, y, **held)


@pytest.fixture
def computed(monkeypatch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The shapes of what features were computed from, and of the features."""
    seen = []
    inner = prefix.Prefix.features

    def features(self, data, *args, **kwargs):
        found = inner(self, data, *args, **kwargs)
        seen.append((data.X.shape, found.X.shape))
        return found

    monkeypatch.setattr(prefix.Prefix, "features", features)
    return seen


@pytest.mark.parametrize(
    ("schedule", "epochs"), [(OUT, 5), (GradualUnfreeze(2), 6), (Leaping(), 9)], ids=repr
)
def test_training_on_features_is_training_on_samples(schedule, epochs):
    cached, plain = (fitted(c, freeze_schedule=schedule, epochs=epochs) for c in ("auto", False))
    X, _ = table()
    np.testing.assert_allclose(raw(cached, X), raw(plain, X), atol=1e-5)
    for name in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(cached.history_[name], plain.history_[name], atol=1e-5)


def test_features_are_computed_from_those_of_the_phase_before(computed):
    fitted("auto", freeze_schedule=OUT, epochs=5)
    training = [shapes for shapes in computed if shapes[0][0] == 48]
    validation = [shapes for shapes in computed if shapes[0][0] == 10]
    # The last phase is a single epoch, which pays since most of its features exist.
    assert training == [((48, 4), (48, 7)), ((48, 7), (48, 6)), ((48, 6), (48, 5))]
    assert [b for _, b in validation] == [(10, 7), (10, 6), (10, 5)]


def test_features_of_a_smaller_prefix_are_computed_from_the_samples(computed):
    fitted("auto", freeze_schedule=Leaping(), epochs=9)
    training = [shapes for shapes in computed if shapes[0][0] == 48]
    assert training == [((48, 4), (48, 6)), ((48, 6), (48, 5)), ((48, 4), (48, 7))]


def test_features_that_do_not_fit_together_are_computed_from_the_samples(computed, monkeypatch):
    # Both of 7 and 6 values of 58 samples would take more.
    monkeypatch.setattr(prefix, "memory_limit", lambda: 4 * 58 * 12)
    fitted("auto", freeze_schedule=OUT, epochs=10)
    training = [shapes for shapes in computed if shapes[0][0] == 48]
    assert training == [((48, 4), (48, 7)), ((48, 4), (48, 6)), ((48, 6), (48, 5))]
