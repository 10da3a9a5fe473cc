"""Real processes on one study, and one of them killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
from search_fakes import Quick
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from frozenfit.search import FreezeSearchCV, open_storage, run_workers

optuna = pytest.importorskip("optuna")
X, y = load_iris(return_X_y=True)


class Slow(Quick):
    """Is slow and records its process; the first process may wait until it is killed."""

    def __init__(self, trainable=0.1, frozen="auto", learning_rate="auto", place=None, waits=False):
        super().__init__(trainable, frozen, learning_rate)
        self.place = place
        self.waits = waits

    def fit(self, X, y, sample_weight=None):
        with open(self.place, "a") as file:
            file.write(f"{os.getpid()}\n")
        with suppress(FileExistsError):
            with open(f"{self.place}-first", "x") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(60 if self.waits else 0)
        time.sleep(0.2)
        return super().fit(X, y, sample_weight)


KILL_FIRST = """
import os, pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])
while not (place.exists() and place.read_text().endswith("\\n")):
    time.sleep(0.02)
os.kill(int(place.read_text()), signal.SIGKILL)
print(place.read_text())
"""


@pytest.fixture
def killer(tmp_path):
    """A process that kills the first process that writes its number, and prints which."""
    words = [sys.executable, "-c", KILL_FIRST, str(tmp_path / "pids-first")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("name", ["journal.log", "study.db"])
def test_a_killed_worker_loses_only_its_trial(tmp_path, killer, name):
    place = str(tmp_path / "pids")
    storage = str(tmp_path / name)
    found = FreezeSearchCV(
        Slow(place=place, waits=True),
        n_trials=8,
        cv=2,
        storage=storage,
        heartbeat=1,
        random_state=0,
    )
    with pytest.warns(RuntimeWarning, match="was killed"):
        run_workers(found, X, y, n_workers=2)
    killed = killer.communicate(timeout=30)[0].strip()

    pids = (tmp_path / "pids").read_text().split()
    assert killed in pids and str(os.getpid()) in pids  # the refit is this process's
    states = [trial.state.name for trial in found.study_.trials]
    assert 8 <= states.count("COMPLETE") <= 9
    others = [state for state in states if state != "COMPLETE"]
    # A journal has no heartbeats; with a database another worker repeats the trial.
    assert others == (["RUNNING"] if name == "journal.log" else ["FAIL"])
    if name == "study.db":
        trials = found.study_.trials
        lost = next(t for t in trials if t.state.name == "FAIL")
        again = [
            t for t in found.study_.trials if t.system_attrs.get("failed_trial") == lost.number
        ]
        assert [t.state.name for t in again] == ["COMPLETE"]
        assert again[0].params == lost.params


def test_a_worker_is_replaced_after_so_many_trials(tmp_path):
    place = tmp_path / "pids"
    net = Slow(place=str(place))
    search = FreezeSearchCV(net, n_trials=4, cv=2, storage=tmp_path / "j.log", random_state=0)
    run_workers(search, X, y, n_workers=1, trials_per_worker=2)
    pids = place.read_text().split()
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [4, 4, 1]  # folds; the last refits
    params = [str(trial.params) for trial in search.study_.trials]
    assert len(set(params)) == 4


def test_workers_need_a_storage_they_can_share():
    with pytest.raises(ValueError, match="cannot share.*storage='journal.log'"):
        run_workers(FreezeSearchCV(Quick()), X, y)


@pytest.mark.parametrize("n_workers", [0, 1.5])
def test_the_number_of_workers_is_a_count(n_workers):
    with pytest.raises(ValueError, match="n_workers"):
        run_workers(FreezeSearchCV(Quick()), X, y, n_workers=n_workers)


def test_invalid_settings_raise_before_a_process_starts(tmp_path):
    search = FreezeSearchCV(Quick(), storage=tmp_path / "j.log", directions={"scor": "maximize"})
    with pytest.raises(ValueError, match="Unknown metric 'scor'"):
        run_workers(search, X, y)


class Broken(Quick):
    """Cannot be trained."""

    def fit(self, X, y, sample_weight=None):
        raise ValueError("the disk is full")


def test_an_error_in_a_worker_is_raised_here(tmp_path, capfd):
    search = FreezeSearchCV(Broken(), n_trials=4, cv=2, storage=tmp_path / "j.log")
    with pytest.raises(RuntimeError, match="A worker failed: ValueError: the disk is full"):
        run_workers(search, X, y, n_workers=1)


def test_the_command_searches_in_two_processes(tmp_path):
    words = "search --dataset digits --limit 150 --epochs 1 --trials 3 --folds 2 --workers 2"
    words += " --verbose 0"
    words += " --objectives score trainable --learning-rate 0.01 --frozen zero --random-state 0"
    places = {name: tmp_path / f"a.{name}" for name in ("log", "html", "frozenfit")}
    places_words = ["--storage", places["log"], "--report", places["html"]]
    run = subprocess.run(
        [sys.executable, "-m", "frozenfit.cli", *words.split(), *map(str, places_words)]
        + ["--out", str(places["frozenfit"])],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert re.search(r"score +0\.\d+ over 2 folds", run.stdout)
    assert "data:image/png;base64," in places["html"].read_text()
    assert places["frozenfit"].stat().st_size > 1000
    study = optuna.load_study(study_name="frozenfit", storage=open_storage(places["log"]))
    complete = [t for t in study.trials if t.state.name == "COMPLETE"]
    assert 3 <= len(complete) <= 4
    assert all(set(t.params) == {"kind", "fraction"} for t in complete)  # the rest was set
    assert np.isfinite([t.values for t in complete]).all()


class Weighed(Quick):
    """Requires sample weights."""

    def fit(self, X, y, sample_weight=None):
        if sample_weight is None:
            raise ValueError("no sample weights")
        return super().fit(X, y, sample_weight)


def test_workers_keep_scikit_learns_configuration(tmp_path):
    with config_context(enable_metadata_routing=True):
        asking = Weighed().set_fit_request(sample_weight=True)
        asking = asking.set_score_request(sample_weight=True)
        pipe = make_pipeline(FunctionTransformer(), asking)  # takes weights with routing alone
        pipe.set_score_request(sample_weight=True)  # required before scikit-learn 1.9
        search = FreezeSearchCV(pipe, n_trials=2, cv=2, space=_nothing, random_state=0)
        search.set_params(storage=tmp_path / "j.log")
        run_workers(search, X, y, n_workers=1, sample_weight=np.ones(150))
    assert len(search.study_.trials) == 2


def _nothing(trial, estimator):
    return {}
