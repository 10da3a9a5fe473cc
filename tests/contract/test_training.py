"""Each network kind x selector x fill: what training moves, and by which gradient."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from contract_networks import array, build, data, flags, loss, masks, same_bits, train, values

from frozenfit import PartialModel
from frozenfit.draws import draw
from frozenfit.layout import describe
from frozenfit.partial import weights_of
from frozenfit.selectors import Context, as_selector, forms, mask, where

HALF = "filters(0.5) | head()"
ENTRIES = "random(0.3, seed=1)"


def two_units(info):
    return 2 if info.role in ("kernel", "bias") else None


def one_entry():
    array = np.zeros((8, 5), bool)
    array[3, 2] = True
    return mask({"b/kernel": array})


CASES = [
    ("dense", HALF, "keep"),
    ("dense", HALF, "zero"),
    ("dense", ENTRIES, "random"),
    ("dense", ENTRIES, "zero"),
    ("dense", "inputs(0.5) | head()", "random"),
    ("dense", "everything()", "zero"),
    ("dense", where(two_units), "random"),
    ("dense", one_entry(), "keep"),
    ("conv_norm", HALF, "random"),
    ("conv_norm", "conv_filters(0.5) | head()", "zero"),
    ("conv_norm", "batch_norm() | head()", "random"),
    ("conv_norm", 'block("block2")', "keep"),
    ("conv_norm", "everything()", "keep"),
    ("nested", 'layers("inner/*")', "keep"),
    ("shared", HALF, "zero"),
    ("lstm", ENTRIES, "keep"),
    ("gru", HALF, "random"),
    ("attention", "filters(0.5) | biases()", "random"),
    ("embedding", HALF, "zero"),
    ("embedding", 'layers("tokens/*")', "keep"),
    ("separable", HALF, "random"),
    ("conv1d", HALF, "keep"),
    ("transposed", HALF, "zero"),
    ("conv3d", "columns(1) | head()", "keep"),
    ("einsum", HALF, "random"),
    ("subclassed", HALF, "keep"),
    ("subclassed", "everything()", "keep"),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0]}-{c[1]}-{c[2]}")
def trained(request):
    return train(*request.param)


def test_frozen_parameters_keep_every_bit(trained):
    for path, trainable in masks(trained.model):
        before, after = trained.before[path][~trainable], trained.after[path][~trainable]
        assert before.tobytes() == after.tobytes(), path


def test_every_trainable_weight_changes(trained):
    for path, trainable in masks(trained.model):
        if trainable.any():
            assert (trained.before[path] != trained.after[path])[trainable].any(), path


def test_the_base_keeps_its_values_and_flags(trained):
    assert same_bits(trained.base_before, values(trained.base))
    assert trained.flags_before == flags(trained.base)


def test_gradients_are_those_of_the_plain_model(trained):
    x, y, _ = data(trained.kind)
    plain = trained.plain
    # One step of plain gradient descent with rate 1 moves each weight by its gradient.
    plain.compile(keras.optimizers.SGD(1.0), loss(), run_eagerly=True)
    names = [info.path for info in describe(plain).weights]
    before = {p: array(v) for p, v in zip(names, plain.trainable_variables, strict=True)}
    plain.train_on_batch(x[0], y[0])
    full = {p: before[p] - array(v) for p, v in zip(names, plain.trainable_variables, strict=True)}
    selection = trained.model.selection
    paths = [p for p, form in selection.items() if not isinstance(form, forms.Nothing)]
    for path, gradient in zip(paths, trained.gradients, strict=True):
        expected = forms.take(selection[path], full[path])
        np.testing.assert_allclose(gradient, expected, atol=1e-5, err_msg=path)


def test_trainable_and_frozen_parameters_add_up(trained):
    table = trained.model.parameter_table()
    total = sum(int(np.prod(v.shape)) for v in trained.base.trainable_variables)
    trainable = sum(int(np.prod(v.shape)) for v in trained.model.trainable_variables)
    assert sum(row.total for row in table) == total == trained.model.selection.total
    assert sum(row.trainable for row in table) == trainable == trained.model.selection.n_trainable


def test_adam_allocates_two_values_for_each_trainable_parameter(trained):
    scalars = 2  # steps and learning rate
    optimizer_state = sum(int(np.prod(v.shape)) for v in trained.trainer.optimizer.variables)
    assert optimizer_state == 2 * trained.model.selection.n_trainable + scalars


def frozen_value(model, info, base):
    """What a whole weight would hold if nothing of it were learned."""
    weights = weights_of(model)
    if weights.frozen == "random":
        return draw(info.initializer, info.shape, weights.seed, info.path)
    norm = info.role in ("scale", "offset")
    return base if norm or weights.frozen == "keep" else np.zeros_like(base)


def test_frozen_parameters_have_the_values_that_frozen_selects(trained):
    model = trained.model
    weights = zip(masks(model), model.selection.layout.weights, strict=True)
    for ((path, trainable), info), base in zip(
        weights, trained.base.trainable_variables, strict=True
    ):
        if not trainable.all():
            expected = frozen_value(model, info, array(base))
            np.testing.assert_array_equal(trained.after[path][~trainable], expected[~trainable])


def test_the_plain_model_computes_the_same(trained):
    x, _, _ = data(trained.kind)
    exported = trained.model.to_keras()
    np.testing.assert_allclose(
        array(exported(x[0], training=False)),
        array(trained.model(x[0], training=False)),
        atol=1e-6,
    )


def test_the_base_can_still_be_trained_alone():
    base = build("dense")
    model = PartialModel(base, ENTRIES)
    assert len(base.trainable_variables) == 6
    base.compile("sgd", loss(), run_eagerly=True)
    x, y, _ = data("dense")
    start = dict(model.assembled())
    before = values(base)
    base.train_on_batch(x[0], y[0])
    assert all((a != b).any() for a, b in zip(before, values(base), strict=True))
    # The frozen parameters are the base's, so they follow it; the learned ones stay.
    for path, trainable in masks(model):
        np.testing.assert_array_equal(
            dict(model.assembled())[path][trainable], start[path][trainable]
        )


def test_a_resolved_subset_is_taken_as_it_is():
    base = build("dense")
    layout = describe(base)
    selection = as_selector(HALF).resolve(layout, Context())
    assert PartialModel(base, selection).selection is selection
