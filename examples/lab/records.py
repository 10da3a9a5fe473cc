"""Records of runs: one line of JSON for each, appended when the run ends.

A killed experiment therefore loses the run that was interrupted, and nothing else.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("frozenfit", "keras", "numpy", "scikit-learn", "tensorflow-cpu", "jax", "torch")
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
ROOT = Path(__file__).resolve().parents[2]


class Records:
    """The records of one experiment, in a file or, without a path, in memory.

    Parameters
    ----------
    path : Path or None
        The file, which need not exist. A last line that was cut off is dropped.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.all: list[dict[str, Any]] = []
        if path is not None and path.exists():
            text = path.read_bytes()
            self._size = text.rfind(b"\n") + 1
            self.all = [json.loads(line) for line in text[: self._size].splitlines()]

    def of(self, budget: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the records of a budget.

        Raises
        ------
        ValueError
            If a record was made with other settings than `settings`.
        """
        found = [record for record in self.all if record["budget"] == budget]
        for record in found:
            if record["settings"] != plain(settings):
                raise ValueError(
                    f"Records of budget {budget!r} in {self.path} were made with other settings: "
                    f"{record['settings']}, now {plain(settings)}. Remove them to run again."
                )
        return found

    def append(self, record: dict[str, Any]) -> None:
        """Add a record, and write it to the file."""
        record = plain(record)
        self.all.append(record)
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            # What stands behind the last whole line is the rest of a run that was killed.
            file.truncate(getattr(self, "_size", file.tell()))
            file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self._size = file.tell()


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back: tuples become lists, and names of keys texts."""
    return json.loads(json.dumps(value))


def row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the factors, the seed and the measured values of a record in one mapping."""
    return {**record["arm"], "seed": record["seed"], **record["values"]}


@cache
def environment() -> dict[str, Any]:
    """Describe where a run takes place."""
    return {
        "commit": _commit(),
        "cpu": _processor(),
        "os": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "backend": os.environ["KERAS_BACKEND"],
        "versions": _versions(),
        "threads": {name: os.environ.get(name, "default") for name in THREADS},
        "date": date.today().isoformat(),
    }


def _commit() -> str:
    """Return the commit of the working tree, with "+" where tracked files differ from it."""

    def git(*command: str) -> str:
        done = subprocess.run(
            ("git", "-C", str(ROOT), *command), capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "examples", "frozenfit")
        return git("rev-parse", "HEAD")[:12] + ("+" if changed else "") or "unknown"
    except OSError:  # no git
        return "unknown"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        if package in PACKAGES[4:] and not package.startswith(os.environ["KERAS_BACKEND"]):
            continue
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # TensorFlow under another name
            continue
    return versions
