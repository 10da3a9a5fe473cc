"""Real processes on one study, killed and interrupted."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from database import grpc, postgresql
from search_fakes import Quick, Waiting
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from frozenfit.search import FreezeSearchCV, open_storage, run_workers

optuna = pytest.importorskip("optuna")
X, y = load_iris(return_X_y=True)


def one_fraction(trial, estimator):
    """A space that, in contrast to the default one, imports no backend."""
    return {"trainable": trial.suggest_float("fraction", 0.05, 1.0)}


def until(condition, process=None):
    """Wait for a condition, up to two minutes."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "nothing happened for two minutes"
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.02)


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


@pytest.fixture(params=["journal.log", "study.db", "postgresql", "grpc"])
def storage(request, tmp_path):
    """What several processes can share: a file, a database, or a server in front of one."""
    if request.param not in ("postgresql", "grpc"):
        yield str(tmp_path / request.param)
        return
    with postgresql() as database:
        if request.param == "postgresql":
            yield database
        else:
            with grpc(database) as server:
                yield server


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_worker_loses_only_its_trial(tmp_path, killer, storage):
    place = str(tmp_path / "pids")
    found = FreezeSearchCV(
        Slow(place=place, waits=True),
        n_trials=8,
        space=one_fraction,
        cv=2,
        storage=storage,
        random_state=0,
    )
    with pytest.warns(RuntimeWarning, match="was killed"):
        run_workers(found, X, y, n_workers=2)
    killed = killer.communicate(timeout=30)[0].strip()

    pids = (tmp_path / "pids").read_text().split()
    assert killed in pids and str(os.getpid()) in pids  # the refit is this process's
    trials = found.study_.trials
    assert sorted(trial.state.name for trial in trials) == ["COMPLETE"] * 8 + ["FAIL"]
    lost = next(t for t in trials if t.state.name == "FAIL")
    again = [t for t in trials if t.system_attrs.get("failed_trial") == lost.number]
    assert [t.state.name for t in again] == ["COMPLETE"]
    assert again[0].params == lost.params


SEARCH = """
import pathlib, sys
from search_fakes import Waiting
from sklearn.datasets import load_iris
from frozenfit.search import FreezeSearchCV, run_workers

def nothing(trial, estimator):
    return {}

if __name__ == "__main__":
    place = pathlib.Path(sys.argv[1])
    net = Waiting(place=str(place))
    search = FreezeSearchCV(net, n_trials=4, space=nothing, cv=2, storage=place / "j.log")
    run_workers(search, *load_iris(return_X_y=True), n_workers=2)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_no_worker_outlives_its_parent(tmp_path, name):
    number = getattr(signal, name)
    script = tmp_path / "script.py"
    script.write_text(SEARCH)
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        try:
            until(lambda: len(Waiting.running(tmp_path)) == 2, parent)
            parent.send_signal(number)
            assert parent.wait(120) in (-number, -signal.SIGINT)
            until(lambda: not Waiting.running(tmp_path))
        finally:
            parent.kill()
            for pid in Waiting.running(tmp_path):
                os.kill(pid, signal.SIGKILL)
        assert "Process SpawnProcess" not in parent.stderr.read()  # no traceback of a worker
    study = optuna.load_study(study_name="frozenfit", storage=open_storage(tmp_path / "j.log"))
    assert [trial.state.name for trial in study.trials] == ["FAIL", "FAIL"]
    assert not any("error" in trial.user_attrs for trial in study.trials)  # they are not counted


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_an_interruption_while_workers_start_ends_them(tmp_path, monkeypatch):
    process = multiprocessing.get_context("spawn").Process
    start = process.start

    def interrupted(self):
        start(self)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    # The processes of joblib that an earlier test used are children too.
    others = set(multiprocessing.active_children())
    monkeypatch.setattr(process, "start", interrupted)
    search = FreezeSearchCV(Quick(), space=one_fraction, cv=2, storage=tmp_path / "j.log")
    # A process in the background of a shell ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_workers(search, X, y, n_workers=2)
        assert set(multiprocessing.active_children()) <= others
    finally:
        signal.signal(signal.SIGINT, before)
        for child in set(multiprocessing.active_children()) - others:
            child.kill()


def test_folds_in_parallel_processes_of_a_worker_end(tmp_path):
    search = FreezeSearchCV(Quick(), n_trials=1, space=one_fraction, cv=2, n_jobs=2)
    search.set_params(storage=tmp_path / "j.log", refit=False)
    # The processes of joblib end by themselves only after five minutes.
    work = threading.Thread(target=run_workers, args=(search, X, y), kwargs={"n_workers": 1})
    work.daemon = True
    work.start()
    work.join(120)
    assert not work.is_alive()
    assert len(search.cv_results_["params"]) == 1


def test_the_timeout_ends_workers_and_starts_no_trial_here(tmp_path):
    place = tmp_path / "pids"
    search = FreezeSearchCV(Slow(place=str(place)), n_trials=1000, space=one_fraction, cv=2)
    search.set_params(storage=tmp_path / "j.log", timeout=0.5)
    run_workers(search, X, y, n_workers=1, trials_per_worker=2)
    pids = place.read_text().split()
    assert pids.count(str(os.getpid())) == 1  # the refit
    assert len(search.study_.trials) < 10


def test_a_worker_is_replaced_after_so_many_trials(tmp_path):
    place = tmp_path / "pids"
    net = Slow(place=str(place))
    search = FreezeSearchCV(net, n_trials=4, space=one_fraction, cv=2, random_state=0)
    search.set_params(storage=tmp_path / "j.log")
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
    search = FreezeSearchCV(Broken(), n_trials=4, space=one_fraction, cv=2)
    search.set_params(storage=tmp_path / "j.log")
    with pytest.raises(RuntimeError, match="A worker failed: ValueError: the disk is full"):
        run_workers(search, X, y, n_workers=1)
    assert "Traceback" not in capfd.readouterr().err


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
    assert len(complete) == len(study.trials) == 3
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
