"""Checkpoints: a fit that was killed continues bit for bit, and only the same fit continues."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from checkpointed_fits import FITS, counted_epochs, weights_digest
from estimator_data import classifier, given_net, regressor, same, table, targets

import frozenfit
from frozenfit import Checkpoint
from frozenfit.training import checkpoint as module

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "support" / "checkpointed_fits.py"


class Killed(BaseException):
    """Stands for the end of the process in tests that stay in one."""


def killed():
    raise Killed


def begin(estimator, data, epoch):
    """Fit until the middle of an epoch."""
    with pytest.raises(Killed), counted_epochs(epoch, killed):
        estimator.fit(*data)
    frozenfit.clear_workspace()


def in_a_process(name, path, epoch=0):
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(SCRIPT), name, str(path), str(epoch)]
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "training.checkpoint")


# The epochs in which the processes are killed, and how many are left.
@pytest.mark.parametrize(
    ("name", "epoch", "left"), [("dropout", 5, 4), ("freezing", 6, 3), ("ensemble", 6, 5)]
)
def test_a_fit_that_was_killed_ends_with_the_same_bits(name, epoch, left, path, tmp_path):
    whole = FITS[name](None)
    uninterrupted = weights_digest(whole[0].fit(*whole[1]))
    run = in_a_process(name, path, epoch)
    assert run.returncode == -signal.SIGKILL, run.stderr
    if name == "dropout":  # and continues in another process
        shutil.copy(path, f"{path}-2")
        run = in_a_process(name, f"{path}-2")
        assert run.stdout.strip() == uninterrupted, run.stderr
    frozenfit.clear_workspace()
    estimator, data = FITS[name](path)
    with counted_epochs() as begun:
        estimator.fit(*data)
    assert weights_digest(estimator) == uninterrupted
    assert begun[0] == left
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["freezing", "unfreezing", "schedule", "averaged", "kernel forms", "many steps"]
)
@pytest.mark.parametrize("epoch", [2, 4])
def test_every_kind_of_state_is_restored(name, epoch, path):
    uninterrupted, data = FITS[name](None)
    uninterrupted.fit(*data)
    begin(*FITS[name](path), epoch)
    estimator, data = FITS[name](path)
    with counted_epochs() as begun:
        estimator.fit(*data)
    assert weights_digest(estimator) == weights_digest(uninterrupted)
    assert begun[0] == uninterrupted.n_iter_ - (epoch - 1)


def test_history_continues(path):
    data = table()
    uninterrupted = classifier(epochs=4, early_stopping=True).fit(*data)
    begin(classifier(epochs=4, early_stopping=True, checkpoint=path), data, 3)
    estimator = classifier(epochs=4, early_stopping=True, checkpoint=path).fit(*data)
    assert estimator.history_ == uninterrupted.history_
    assert list(estimator.history_) == list(uninterrupted.history_)


def test_a_fit_that_is_killed_twice_continues_twice(path):
    uninterrupted, data = classifier(epochs=6).fit(*table()), table()
    begin(classifier(epochs=6, checkpoint=path), data, 3)
    begin(classifier(epochs=6, checkpoint=path), data, 2)
    with counted_epochs() as begun:
        estimator = classifier(epochs=6, checkpoint=path).fit(*data)
    assert begun[0] == 3 and same(estimator, uninterrupted)


def test_a_warm_start_continues_with_its_optimizer(path):
    data = table()
    settings = {"warm_start": True, "learning_rate": 0.01, "epochs": 3}
    uninterrupted = classifier(**settings).fit(*data).fit(*data)
    estimator = classifier(**settings).fit(*data).set_params(checkpoint=path)
    begin(estimator, data, 2)
    estimator.fit(*data)
    assert same(estimator, uninterrupted) and estimator.n_iter_ == 6
    assert estimator.history_ == uninterrupted.history_


def test_a_large_fit_may_write_less_often(path):
    data, checkpoint = table(), Checkpoint(path, every=3)
    begin(classifier(epochs=8, checkpoint=checkpoint), data, 6)
    with counted_epochs() as begun:
        estimator = classifier(epochs=8, checkpoint=checkpoint).fit(*data)
    assert begun[0] == 8 - 3 and same(estimator, classifier(epochs=8).fit(*data))


def test_a_file_that_is_kept_has_the_end_of_the_fit(path):
    data, checkpoint = table(), Checkpoint(Path(path), keep=True)
    estimator = classifier(epochs=3, checkpoint=checkpoint).fit(*data)
    assert os.path.exists(path)
    with counted_epochs() as begun:
        again = classifier(epochs=3, checkpoint=checkpoint).fit(*data)
    assert begun[0] == 0 and same(estimator, again) and again.history_ == estimator.history_


def test_members_that_are_kept_have_a_file_each(path, tmp_path):
    member = classifier(epochs=1, checkpoint=Checkpoint(path, keep=True))
    ensemble = frozenfit.CheapEnsembleClassifier(member, n_estimators=2, random_state=0)
    ensemble.fit(*table())
    names = {"training.base.checkpoint"} | {f"training.member-{i}.checkpoint" for i in (0, 1)}
    assert {found.name for found in tmp_path.iterdir()} == names
    assert all(m.checkpoint is None for m in ensemble.estimators_)


def test_a_fit_that_is_interrupted_keeps_its_file(path):
    def interrupt():
        raise KeyboardInterrupt

    data = table()
    with pytest.raises(KeyboardInterrupt), counted_epochs(3, interrupt):
        classifier(epochs=4, checkpoint=path).fit(*data)
    assert same(classifier(epochs=4, checkpoint=path).fit(*data), classifier(epochs=4).fit(*data))


def other_data():
    X, y = table()
    held = {"X_val": X[:6], "y_val": y[:6]}
    weight = np.linspace(1, 2, len(X))
    moved = X.copy()
    moved[0, 0] += 1e-3
    return {
        "X": ((moved, y), {}),
        "y": ((X, np.roll(y, 1)), {}),
        "sample_weight": ((X, y, weight), {}),
        "X_val; y_val": ((X, y), held),
    }


@pytest.mark.parametrize("name", other_data())
def test_other_data_are_refused_and_named(name, path):
    begin(classifier(epochs=3, checkpoint=path), table(), 2)
    before = Path(path).read_bytes()
    args, kwargs = other_data()[name]
    with counted_epochs() as begun, pytest.raises(ValueError) as error:
        classifier(epochs=3, checkpoint=path).fit(*args, **kwargs)
    expected = f"is the checkpoint of another fit, which differs in {name}. Fit with"
    assert expected in str(error.value)
    assert begun[0] == 0 and Path(path).read_bytes() == before


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"epochs": 5}, r"parameter 'epochs' \(3, not 5\)"),
        ({"random_state": 1}, r"parameter 'random_state' \(0, not 1\)"),
        ({"optimizer": "sgd"}, r"parameter 'optimizer' \('adam', not 'sgd'\)"),
        ({"model": given_net()}, r"parameter 'model' \('mlp', not Functional\).*network"),
        ({"trainable": 0.5}, r"parameter 'trainable' \(0.1, not 0.5\)"),
    ],
)
def test_other_settings_are_refused_and_named(params, text, path):
    begin(classifier(epochs=3, checkpoint=path), table(), 2)
    with pytest.raises(ValueError, match=text):
        classifier(**{"epochs": 3, "checkpoint": path, **params}).fit(*table())


def test_other_values_of_a_given_network_are_refused(path):
    begin(classifier(model=given_net(), epochs=3, checkpoint=path), table(), 2)
    with pytest.raises(ValueError, match="differs in network; parameters at the start"):
        classifier(model=given_net(seed=5), epochs=3, checkpoint=path).fit(*table())


def test_another_version_is_refused_and_named(path, monkeypatch):
    begin(classifier(epochs=3, checkpoint=path), table(), 2)
    monkeypatch.setattr(frozenfit, "__version__", "9.0")
    with pytest.raises(ValueError, match=r"version 'frozenfit' \(.*, not 9.0\)"):
        classifier(epochs=3, checkpoint=path).fit(*table())


def test_what_changes_no_weight_may_change(path):
    begin(classifier(epochs=3, checkpoint=path), table(), 3)
    checkpoint = Checkpoint(path, every=2)
    with counted_epochs() as begun:
        classifier(epochs=3, checkpoint=checkpoint, verbose=1).fit(*table())
    assert begun[0] == 1


@pytest.mark.parametrize("damage", ["cut", "changed", "text", "estimator"])
def test_a_file_that_is_no_whole_checkpoint_is_refused(damage, path):
    if damage == "estimator":
        frozenfit.save(classifier(epochs=1).fit(*table()), path)
    elif damage == "text":
        Path(path).write_text("not a checkpoint, and longer than any header")
    else:
        begin(classifier(epochs=3, checkpoint=path), table(), 2)
        data = bytearray(Path(path).read_bytes())
        data[-5] ^= 1
        Path(path).write_bytes(data[:-3] if damage == "cut" else data)
    before = Path(path).read_bytes()
    with counted_epochs() as begun, pytest.raises(ValueError) as error:
        classifier(epochs=3, checkpoint=path).fit(*table())
    text = str(error.value)
    assert text.startswith(f"`checkpoint`={path!r} ") and "\n" not in text
    assert text.endswith("Remove the file to train from the beginning.")
    assert begun[0] == 0 and Path(path).read_bytes() == before


def test_a_path_that_cannot_be_written_is_refused_before_training(tmp_path):
    with counted_epochs() as begun, pytest.raises(ValueError, match="No such file or directory"):
        classifier(checkpoint=tmp_path / "missing" / "file").fit(*table())
    assert begun[0] == 0


@pytest.mark.parametrize("ensemble", [False, True])
def test_callbacks_are_refused(ensemble, path):
    estimator = classifier(callbacks=keras.callbacks.TerminateOnNaN(), checkpoint=path)
    if ensemble:
        estimator = frozenfit.CheapEnsembleClassifier(estimator, random_state=0)
    with counted_epochs() as begun:
        with pytest.raises(ValueError, match="`checkpoint` cannot be combined with callbacks"):
            estimator.fit(*table())
    assert begun[0] == 0


def test_callbacks_of_scikit_learn_are_refused(path):
    callback = pytest.importorskip("sklearn.callback").ProgressBar()
    with pytest.raises(ValueError, match="`checkpoint` cannot be combined with callbacks"):
        classifier(checkpoint=path).set_callbacks(callback).fit(*table())


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_seed_is_required(ensemble, path):
    estimator = classifier(checkpoint=path, random_state=0 if ensemble else None)
    if ensemble:
        estimator = frozenfit.CheapEnsembleClassifier(estimator, random_state=None)
    with pytest.raises(ValueError, match="`checkpoint` requires an int as `random_state`"):
        estimator.fit(*table())


def test_partial_fit_writes_no_checkpoint(path, monkeypatch):
    X, y = targets()
    monkeypatch.setattr(module.CheckpointFile, "__init__", None)
    regressor(checkpoint=path, random_state=None).partial_fit(X, y).partial_fit(X, y)
    assert not os.path.exists(path)


def test_settings_of_a_checkpoint_are_validated():
    with pytest.raises(ValueError, match="`every` must be an int >= 1, got 0"):
        Checkpoint("a", every=0)
    with pytest.raises(TypeError, match="`keep` must be a bool, got 1"):
        Checkpoint("a", keep=1)
    with pytest.raises(TypeError, match="`path` must be a str or path-like, got None"):
        Checkpoint(None)
    with pytest.raises(ValueError, match="'checkpoint' parameter of PartialNetClassifier"):
        classifier(checkpoint=3).fit(*table())


def test_a_saved_estimator_has_no_checkpoint(path, tmp_path):
    estimator = classifier(epochs=1, checkpoint=Path(path)).fit(*table())
    member = classifier(epochs=1, checkpoint=path)
    ensemble = frozenfit.CheapEnsembleClassifier(member, n_estimators=2, random_state=0)
    both = {"one": estimator, "both": ensemble.fit(*table())}
    frozenfit.save(both, tmp_path / "both")
    loaded = frozenfit.load(tmp_path / "both")
    assert loaded["one"].checkpoint is None
    assert loaded["both"].estimator.checkpoint is None
