"""Search over how much to freeze, on Optuna: spaces, one search estimator, workers, a report.

`freeze_search` holds the estimator, `spaces` what is tried, `objectives` what is measured,
`study` where it is kept. Optuna is imported at use: ``pip install "frozenfit[search]"``.
"""

from frozenfit.search.freeze_search import FreezeSearchCV
from frozenfit.search.from_words import from_words
from frozenfit.search.report import importances, report
from frozenfit.search.results import table
from frozenfit.search.spaces import distributions, suggest
from frozenfit.search.storages import open_storage
from frozenfit.search.workers import run_workers

__all__ = [
    "FreezeSearchCV",
    "distributions",
    "from_words",
    "importances",
    "open_storage",
    "report",
    "run_workers",
    "suggest",
    "table",
]
