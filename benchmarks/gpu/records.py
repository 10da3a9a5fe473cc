"""Records of finished arms: one JSON object per line, appended when an arm ends."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("keras", "jax", "torch", "tensorflow", "tensorflow-cpu", "numpy", "scikit-learn")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file; a line that a killed run left unfinished is not one."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def arms(path: Path, key: dict[str, Any]) -> set[str]:
    """Return the names of the arms with a record that agrees with `key`."""
    return {r["arm"] for r in read(path) if all(r[k] == value for k, value in key.items())}


def append(path: Path, record: dict[str, Any]) -> None:
    """Append a record, and let it reach the disk before the next arm starts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        complete = file.read().rpartition(b"\n")
        file.truncate(len(complete[0]) + len(complete[1]))
        file.write(json.dumps(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def environment(command: str) -> dict[str, Any]:
    """Return what a record states about how its numbers came about, except for the device."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    about = {"date": date.today().isoformat(), "commit": commit()}
    return {**about, "versions": versions, "command": command}


def commit() -> str | None:
    """Return the commit of the tree: that of git, or what `prepare.py` noted for a bare copy."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        return answer.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        noted = ROOT / "gpu-kit" / "commit.txt"
        return noted.read_text().strip() if noted.exists() else None
