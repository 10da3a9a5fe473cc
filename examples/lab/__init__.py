"""What the experiments share: declarations, records, statistics, figures and pages.

A script declares an `Experiment` and passes it to `main`.
"""

import os

# Before Keras is imported: the records of one experiment come from one backend.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from .data import Data, drawn, shrunk
from .experiment import Arm, Claim, Experiment, Published, Results, Row, Table, pick
from .runner import Run, file_size, main, measure

__all__ = [
    "Arm",
    "Claim",
    "Data",
    "Experiment",
    "Published",
    "Results",
    "Row",
    "Run",
    "Table",
    "drawn",
    "file_size",
    "main",
    "measure",
    "pick",
    "shrunk",
]
