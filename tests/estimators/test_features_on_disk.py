"""Features of a frozen prefix that do not fit into memory are kept in a temporary file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from collections import namedtuple
from pathlib import Path

import keras
import numpy as np
import pytest
from estimator_data import classifier, table

from frozenfit import GradualUnfreeze
from frozenfit.estimators.base import TrainingInterrupted
from frozenfit.training import data as data_module
from frozenfit.training import feature_file, prefix

ROOT = Path(__file__).parents[2]
DEEP = {"trainable": "head()", "epochs": 3, "model_params": {"hidden_layer_sizes": (8, 8)}}


@pytest.fixture
def files(monkeypatch):
    """Let no features fit into memory, and collect the files that are made for them."""
    made = []

    class Watched(feature_file.FeatureFile):
        def __init__(self, *args):
            made.append(self)
            super().__init__(*args)

    monkeypatch.setattr(prefix, "FeatureFile", Watched)
    monkeypatch.setattr(prefix, "memory_limit", lambda: 100)
    return made


def same_weights(a, b):
    for path, value in a.part_.delta.trained.items():
        assert np.array_equal(value, b.part_.delta.trained[path]), path


def fit_in_memory(fit, **params):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "memory_limit", lambda: 2**30)
        X, y = table()
        return classifier(cache_features=True, **params).fit(X, y, **fit)


@pytest.mark.parametrize("validated", [False, True], ids=["plain", "validated"])
def test_weights_are_those_of_the_cache_in_memory(files, validated):
    X, y = table()
    fit = {"X_val": X[:9] + 0.1, "y_val": y[:9]} if validated else {}
    expected = fit_in_memory(fit, early_stopping=validated, **DEEP)
    assert files == []
    found = classifier(cache_features="disk", early_stopping=validated, **DEEP).fit(X, y, **fit)
    assert [len(file) for file in files] == ([len(X), 9] if validated else [len(X)])
    assert all(file.closed for file in files)
    same_weights(found, expected)
    assert found.history_ == expected.history_


def test_memory_is_used_while_it_suffices(files, monkeypatch):
    X, y = table()
    monkeypatch.setattr(prefix, "memory_limit", lambda: 2**30)
    classifier(cache_features="disk", **DEEP).fit(X, y)
    assert files == []


def test_no_file_is_written_unasked(files):
    X, y = table()
    classifier(cache_features="auto", **DEEP).fit(X, y)
    assert files == []
    with pytest.raises(ValueError, match="cache_features='disk'"):
        classifier(cache_features=True, **DEEP).fit(X, y)


def test_a_network_without_a_prefix_trains_as_with_auto(files):
    X, y = table()
    params = {"trainable": 0.5, "epochs": 2}
    found = classifier(cache_features="disk", **params).fit(X, y)
    same_weights(found, classifier(cache_features="auto", **params).fit(X, y))
    assert files == []


def test_one_file_is_open_at_a_time_while_a_schedule_unfreezes(files):
    X, y = table()
    open_at_once = []

    class Count(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            open_at_once.append(sum(not file.closed for file in files))

    schedule = {
        "model_params": {"hidden_layer_sizes": (8, 8, 8)},
        "freeze_schedule": GradualUnfreeze(),
        "callbacks": Count(),
        "trainable": 1.0,
        "epochs": 8,
    }
    found = classifier(cache_features="disk", **schedule).fit(X, y)
    assert len(files) >= 2
    assert max(open_at_once) == 1 and open_at_once[-1] == 0
    same_weights(found, fit_in_memory({}, **schedule))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_file_is_deleted_after_an_error(files, error):
    X, y = table()

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise error

    fit = classifier(cache_features="disk", callbacks=Stop(), **DEEP).fit
    with pytest.raises(TrainingInterrupted if error is KeyboardInterrupt else error):
        fit(X, y)
    assert [file.closed for file in files] == [True]


def test_the_file_is_deleted_where_its_features_fail(files, monkeypatch):
    X, y = table()

    def fail(self, x):
        raise RuntimeError("computing failed")

    monkeypatch.setattr(prefix.Predictor, "__call__", fail)
    with pytest.raises(RuntimeError, match="computing failed"):
        classifier(cache_features="disk", **DEEP).fit(X, y)
    assert [file.closed for file in files] == [True]


def test_too_small_a_disk_is_an_error_before_training(files, monkeypatch):
    X, y = table()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(feature_file.shutil, "disk_usage", lambda path: usage(100, 90, 10))
    before = classifier(**DEEP)
    with pytest.raises(OSError, match=r"'disk'` requires .* free\. Set the environment variable"):
        before.set_params(cache_features="disk").fit(X, y)
    assert not hasattr(before, "classes_")


KILLED = """
import os, signal, sys, tempfile
import keras, numpy as np
from frozenfit import PartialNetClassifier
from frozenfit.training import prefix

prefix.memory_limit = lambda: 100

class Killed(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        size = sum(
            os.stat(entry.path).st_size
            for entry in os.scandir("/proc/self/fd")
            if "(deleted)" in os.readlink(entry.path)
        )
        print("bytes", size, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

X = np.random.default_rng(0).normal(size=(4096, 4)).astype("float32")
params = dict(model_params={"hidden_layer_sizes": (32, 32)}, trainable="head()", epochs=2)
PartialNetClassifier(
    cache_features="disk", callbacks=Killed(), random_state=0, **params
).fit(X, (X[:, 0] > 0).astype(int))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts open files in /proc")
def test_nothing_is_left_of_a_killed_process(tmp_path):
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", KILLED]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr
    # The features of 4096 samples were in a file of the process when it ended.
    assert run.stdout.split()[0] == "bytes" and int(run.stdout.split()[1]) >= 4096 * 32 * 4
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("frozenfit")]


def test_neither_computing_nor_reading_the_features_needs_their_memory(files, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20480, 4)).astype("float32")
    y = (X[:, 0] > 0).astype(int)
    monkeypatch.setattr(prefix, "_PART_BYTES", 2**20)
    monkeypatch.setattr(data_module, "_STACK_BYTES", 2**20)
    params = {"model_params": {"hidden_layer_sizes": (512,)}, "trainable": "head()", "epochs": 2}
    clf = classifier(cache_features="disk", batch_size=512, **params)
    clf.fit(X[:1024], y[:1024])  # compiles
    tracemalloc.start()
    try:
        clf.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    features = files[-1]
    assert 4 * int(np.prod(features.shape)) == 40 * 2**20
    assert peak < 16 * 2**20


def test_rows_are_copies_that_outlive_the_file():
    values = np.arange(12, dtype="float32").reshape(4, 3)
    file = feature_file.FeatureFile((4, 3), [values[:3], values[3:]])
    rows = file[np.array([3, 0, 3])]
    assert file.dtype == "float32" and len(file) == 4
    file.close()
    assert np.array_equal(rows, values[[3, 0, 3]])
    with pytest.raises(ValueError, match="closed"):
        file[np.array([0])]
