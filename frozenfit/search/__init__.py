"""Hyperparameter search over how much of a network to train, built on Optuna.

`FreezeSearchCV` is the search estimator, `suggest` and `distributions` give its search space,
`run_workers` runs one search in several processes, and `open_storage` opens the storage that these
processes share. Optuna is imported on first use: ``pip install "frozenfit[search]"``.
"""

from frozenfit.search.freeze_search import FreezeSearchCV
from frozenfit.search.spaces import distributions, suggest
from frozenfit.search.storages import open_storage
from frozenfit.search.trials_table import TrialsTable
from frozenfit.search.workers import run_workers

__all__ = [
    "FreezeSearchCV",
    "TrialsTable",
    "distributions",
    "open_storage",
    "run_workers",
    "suggest",
]
