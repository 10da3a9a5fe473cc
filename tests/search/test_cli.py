"""The words of the command ``search``."""

from __future__ import annotations

import pytest

from frozenfit.cli import main
from frozenfit.search import from_words
from frozenfit.search.spaces import make_space

from search_fakes import Quick  # isort: skip

pytest.importorskip("optuna")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objectives", "acuracy"], "no metric 'acuracy'"),
        (["--constraints", "trainable < 5"], "such as 'trainable <= 750'"),
        (["--workers", "2"], "--storage journal.log"),
        (["--workers", "0"], "--workers"),
        (["--trials", "0", "--limit", "100"], "n_trials"),
        (["--storage", "missing/folder/j.log", "--limit", "100"], "cannot be used"),
    ],
)
def test_wrong_words_are_told_in_one_sentence(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["search", *words]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and "Traceback" not in told


def test_what_was_set_is_not_searched():
    search = from_words(Quick(trainable=0.3), {"set_trainable": 0.3})
    assert set(make_space(search.estimator, **search.space).parts) == {"frozen", "learning_rate"}


def test_words_become_settings():
    words = {"trials": 7, "folds": 4, "objectives": ["score", "bytes"], "set_random_state": 5}
    search = from_words(Quick(), words)
    assert (search.n_trials, search.cv, search.random_state) == (7, 4, 5)
    assert search.directions == {"score": "maximize", "bytes": "minimize"}
