"""Helpers shared by the experiments: command line, data, seeds, summaries and results files."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np

import frozenfit

Row = dict[str, Any]
PACKAGES = ("frozenfit", "keras", "numpy", "scikit-learn", "tensorflow-cpu", "jax", "torch")


def arguments(doc: str | None, given: Sequence[str] | None, *more: tuple) -> argparse.Namespace:
    """Parse the options of all experiments, and `more` of one as pairs (flags, settings)."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--budget", choices=("tiny", "cpu"), default="tiny")
    parser.add_argument("--seeds", type=int, help="how many (default: 1 tiny, 3 cpu)")
    parser.add_argument("--data-dir", type=Path, help="folder of tensorflow-datasets")
    parser.add_argument("--out", type=Path, help="folder for the JSON and the picture")
    parser.add_argument("--verbose", type=int, default=1, help="0: no progress bar")
    for flags, settings in more:
        parser.add_argument(*flags, **settings)
    args = parser.parse_args(given)
    args.seeds = args.seeds or (1 if args.budget == "tiny" else 3)
    args.start = time.process_time()
    return args


def images(name: str, args: argparse.Namespace, train: int, test: int, shrink: int = 1) -> tuple:
    """Load the first training and test samples; `shrink` is the side of the averaged squares."""
    data = frozenfit.datasets.load(name, data_dir=args.data_dir)
    parts = [data.X_train[:train], data.y_train[:train], data.X_test[:test], data.y_test[:test]]
    parts[0], parts[2] = shrunk(parts[0], shrink), shrunk(parts[2], shrink)
    return tuple(parts)


def shrunk(images: np.ndarray, side: int) -> np.ndarray:
    """Average the images over squares of `side` by `side` pixels."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height // side, side, width // side, side, channels)
    return blocks.mean(axis=(2, 4)) if side > 1 else images


def each(args: argparse.Namespace, cases: Iterable, title: str) -> Iterator[tuple[Any, int]]:
    """Iterate over all pairs of a case and a seed, with a progress bar."""
    from rich import progress

    pairs = [(case, seed) for case in cases for seed in range(args.seeds)]
    columns = ["{task.description}", progress.BarColumn(), progress.MofNCompleteColumn()]
    columns += [progress.TimeElapsedColumn()]
    with progress.Progress(*columns, disable=not args.verbose) as bar:
        task = bar.add_task(title, total=len(pairs))
        for case, seed in pairs:
            yield case, seed
            bar.advance(task)


def trainable(estimator: Any) -> int:
    """Return the number of parameters that an estimator trained."""
    return sum(row[3] for row in estimator.parameter_table())


def total(estimator: Any) -> int:
    """Return the total number of parameters in an estimator's table."""
    return sum(row[4] for row in estimator.parameter_table())


def file_size(estimators: Any) -> int:
    """Return the size in bytes of a file with one estimator or a dict of estimators."""
    with tempfile.TemporaryDirectory() as folder:
        frozenfit.save(estimators, Path(folder) / "x.frozenfit")
        return (Path(folder) / "x.frozenfit").stat().st_size


def over_seeds(rows: Sequence[Row], by: Sequence[str], of: Sequence[str]) -> list[Row]:
    """Average over the seeds: mean and standard deviation of `of` for each combination of `by`.

    Values may be lists, which are averaged element by element.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    found = []
    for key, some in groups.items():
        found.append(dict(zip(by, key, strict=True)))
        for name in of:
            values = np.array([row[name] for row in some], float)
            found[-1][name] = values.mean(axis=0).round(5).tolist()
            found[-1][f"{name} sd"] = values.std(axis=0).round(5).tolist()
    return found


def pick(table: Sequence[Row], **wanted: Any) -> list[Row]:
    """Select the rows whose columns equal `wanted`."""
    return [row for row in table if all(row[name] == value for name, value in wanted.items())]


def show(table: Sequence[Row]) -> None:
    """Print a table as Markdown, with mean ± standard deviation; of a list, its last element."""
    names = [name for name in table[0] if not name.endswith(" sd")]
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
    for row in table:
        cells = []
        for name in names:
            value, spread = row[name], row.get(f"{name} sd")
            if isinstance(value, list):
                value, spread = value[-1], spread and spread[-1]
            text = str(value)
            if isinstance(value, float):
                text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
            cells.append(text if spread is None else f"{text} ± {spread:.2g}")
        print(f"| {' | '.join(cells)} |")


def figure(
    count: int = 1, width: float = 4.4, height: float = 3.6, columns: int | None = None
) -> tuple[Any, Sequence[Any]]:
    """Create a figure outside pyplot's registry, with `count` axes in rows of `columns`."""
    from matplotlib.figure import Figure

    columns = min(columns or count, count)
    rows = -(-count // columns)
    made = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.set_axis_off()
    return made, axes[:count]


def write(
    args: argparse.Namespace,
    name: str,
    settings: Any,
    summary: Sequence[Row],
    rows: Sequence[Row],
    picture: Any = None,
) -> None:
    """Print the summary; write NAME.json and NAME.png if `--out` is given."""
    seconds = time.process_time() - args.start
    show(summary)
    print(f"{seconds:.0f} CPU seconds", flush=True)
    if args.out is None:
        return
    args.out.mkdir(parents=True, exist_ok=True)
    about = {
        "experiment": name,
        "command": _command(args, name),
        "date": date.today().isoformat(),
        "backend": os.environ["KERAS_BACKEND"],
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "versions": _versions(),
        "cpu_seconds": round(seconds),
        "seeds": args.seeds,
        "settings": settings,
        "summary": list(summary),
        "runs": list(rows),
    }
    text = json.dumps(about, indent=1, default=str)
    (args.out / f"{name}.json").write_text(text + "\n")
    if picture is not None:
        picture.savefig(args.out / f"{name}.png", dpi=100)


def _command(args: argparse.Namespace, name: str) -> str:
    """Return the command line, with folder names replaced by a placeholder."""
    words = [f"python examples/{name}.py --budget {args.budget} --seeds {args.seeds}"]
    for option, value in vars(args).items():
        if isinstance(value, Path):
            words.append(f"--{option.replace('_', '-')} FOLDER")
    return " ".join(words)


def _versions() -> dict[str, str]:
    backend = os.environ["KERAS_BACKEND"]
    found = {}
    for package in PACKAGES:
        if package in ("tensorflow-cpu", "jax", "torch") and not package.startswith(backend):
            continue
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # tensorflow under another name
            continue
    return found
