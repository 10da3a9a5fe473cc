"""Iterative magnitude pruning against a reference in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from estimator_data import classifier, given_net, images, regressor, small_cnn, table, targets

from frozenfit import ELMClassifier, analysis
from frozenfit.layout import Survey
from frozenfit.selectors import forms
from frozenfit.utils.arrays import to_numpy

NET = {
    "model_params": {"hidden_layer_sizes": (8,)},
    "epochs": 3,
    "learning_rate": 0.05,
    "lr_schedule": "cosine",
}


def weights(model):
    return {path: to_numpy(value) for path, value in Survey(model).weights.items()}


def smallest(array, kept, share):
    """The kept positions without a share of those that are smallest in absolute value."""
    values = np.where(kept, np.abs(array), np.inf).ravel()
    removed = np.argsort(values, kind="stable")[: round(share * int(kept.sum()))]
    left = kept.copy()
    left.flat[removed] = False
    return left


def test_every_round_removes_the_smallest_of_what_remains():
    X, y = table()
    tickets = analysis.lottery_ticket(classifier(**NET), X, y, rounds=2, X_val=X, y_val=y)
    dense = classifier(**NET, trainable=1.0).fit(X, y)
    masks = {path: np.ones(v.shape, bool) for path, v in weights(dense.to_keras()).items()}
    fitted = dense
    assert tickets[0].score == dense.score(X, y)
    for number in (1, 2):
        final = weights(fitted.to_keras())
        for path, share in (("dense1/kernel", 0.2), ("head/kernel", 0.1)):
            masks[path] = smallest(final[path], masks[path], share)
        fitted = tickets.to_estimator(number).fit(X, y)
        assert tickets[number].score == fitted.score(X, y)
        assert tickets[number].n_trainable == sum(m.sum() for m in masks.values())
        for path, value in weights(fitted.to_keras()).items():
            assert (value[~masks[path]] == 0).all()
            assert (value[masks[path]] != 0).all()
    kernels = masks["dense1/kernel"].sum() + masks["head/kernel"].sum()
    assert tickets[2].remaining == pytest.approx(kernels / (32 + 24))


def test_sizes_are_the_published_ones():
    X, y = table()
    wide = {"model_params": {"hidden_layer_sizes": (300, 100)}, "epochs": 1}
    tickets = analysis.lottery_ticket(classifier(**wide), X, y, rounds=7)
    shares = [np.round(each.remaining, 3) for each in tickets]
    np.testing.assert_allclose(
        shares, [1, 0.8, 0.641, 0.513, 0.411, 0.329, 0.264, 0.211], atol=2e-3
    )


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_rounds_rewind_to_an_epoch_of_the_first(epochs):
    X, y = table()
    taken = []

    class Record(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            taken.append(weights(self.model.to_keras()))

    dense = classifier(**NET, trainable=1.0, callbacks=Record()).fit(X, y)
    expected = [weights(dense.base_.to_keras()), *taken][epochs]
    tickets = analysis.lottery_ticket(classifier(**NET), X, y, rounds=1, rewind_to=epochs)
    ticket = tickets.to_estimator().fit(X, y)
    start = analysis.fitted.initial_values(ticket.part_)
    chosen = {path: forms.to_mask(f, start[path].shape) for path, f in masks_of(ticket)}
    for path, value in expected.items():
        np.testing.assert_array_equal(start[path], np.where(chosen[path], value, 0))


def masks_of(estimator):
    return estimator.part_.selection.items()


def test_a_reinitialized_ticket_has_the_same_parameters_and_other_values():
    X, y = table()
    tickets = analysis.lottery_ticket(classifier(**NET), X, y, rounds=1)
    ticket = tickets.to_estimator().fit(X, y)
    control = tickets.to_estimator(reinitialize=True, random_state=1).fit(X, y)
    assert dict(masks_of(ticket)) == dict(masks_of(control))
    starts = [analysis.fitted.initial_values(each.part_) for each in (ticket, control)]
    kernel = dict(masks_of(ticket))["dense1/kernel"].array
    assert (starts[0]["dense1/kernel"][kernel] != starts[1]["dense1/kernel"][kernel]).all()
    assert tickets.to_estimator().random_state == 0


def test_statistics_are_rewound_and_norms_are_not_pruned():
    X, y = images()
    # Without a refresh at the end of the fit, the statistics are those of its epochs.
    settings = {"model": small_cnn, "epochs": 3, "refresh_statistics": False}
    tickets = analysis.lottery_ticket(classifier(**settings), X, y, rounds=1, rewind_to=1)
    one = classifier(**settings, trainable=1.0, callbacks=Stop(1)).fit(X, y)
    states = analysis.fitted.trained_values(one.part_)
    start = analysis.fitted.initial_values(tickets.to_estimator().fit(X, y).part_)
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        np.testing.assert_array_equal(start[f"norm/{name}"], states[f"norm/{name}"])
    assert tickets[0].n_trainable - tickets[1].n_trainable == round(0.2 * 36) + round(0.1 * 8)


class Stop(keras.callbacks.Callback):
    """Stop after some epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 == self.epochs


def test_a_given_network_and_a_regressor():
    X, y = targets()
    net = given_net(n_outputs=1)
    before = weights(net)
    settings = {"model": net, "model_params": None, "epochs": 2}
    tickets = analysis.lottery_ticket(regressor(**settings), X, y, rounds=2, X_val=X, y_val=y)
    for path, value in weights(net).items():
        np.testing.assert_array_equal(value, before[path])
    assert list(tickets.to_frame().columns) == ["remaining", "n_trainable", "score"]
    with pytest.raises(ValueError, match="requires a model given by name or as a callable"):
        tickets.to_estimator(reinitialize=True)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"rounds": 0}, r"`rounds` must be an int in \[1, inf\), got 0"),
        ({"rewind_to": -1}, r"`rewind_to` must be an int in \[0, inf\), got -1"),
        ({"rewind_to": 4}, "`rewind_to` must be at most the number of epochs, 3, got 4"),
        ({"prune": 1.0}, r"`prune` must be a float in \[0, 1\), got 1.0"),
        ({"prune_head": -0.1}, r"`prune_head` must be a float in \[0, 1\), got -0.1"),
        ({"X_val": np.ones((2, 4))}, "`X_val` and `y_val` must be given together"),
    ],
    ids=["rounds", "rewind", "epochs", "prune", "head", "validation"],
)
def test_bad_arguments(change, error):
    X, y = table()
    with pytest.raises(ValueError, match=error):
        analysis.lottery_ticket(classifier(**NET), X, y, **change)
    with pytest.raises(TypeError, match="must be a PartialNetClassifier or PartialNetRegressor"):
        analysis.lottery_ticket(ELMClassifier(), X, y)
