"""Helpers shared by the experiments: command line, data, seeds, statistics and results files."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
from scipy import stats

import frozenfit

Row = dict[str, Any]
# Okabe and Ito: distinguishable with color vision deficiency; markers for prints in gray.
COLORS = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000", "#8c8c8c"
MARKERS = "o", "s", "^", "D", "v", "P", "X", "*"
PACKAGES = ("frozenfit", "keras", "numpy", "scikit-learn", "tensorflow-cpu", "jax", "torch")


def arguments(doc: str | None, given: Sequence[str] | None, *more: tuple) -> argparse.Namespace:
    """Parse the options of all experiments, and `more` of one as pairs (flags, settings)."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument(
        "--budget", choices=("tiny", "cpu"), default="tiny", help="tiny only checks that it runs"
    )
    parser.add_argument("--seeds", type=int, help="number of seeds (default: 1 tiny, 3 cpu)")
    parser.add_argument("--data-dir", type=Path, help="folder of tensorflow-datasets")
    parser.add_argument("--out", type=Path, help="folder for NAME.json and NAME.png")
    parser.add_argument(
        "--redraw",
        action="store_true",
        help="read the runs in --out/NAME.json, and write its summary and figure again",
    )
    parser.add_argument("--verbose", type=int, default=1, help="0 hides the progress bar")
    for flags, settings in more:
        parser.add_argument(*flags, **settings)
    args = parser.parse_args(given)
    if args.redraw and args.out is None:
        parser.error("--redraw requires --out, the folder with the JSON file")
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

    The standard deviation is that of a sample (ddof=1), and 0 for a single seed. Values may be
    lists, which are averaged element by element.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    table = []
    for key, some in groups.items():
        table.append(dict(zip(by, key, strict=True)))
        for name in of:
            values = np.array([row[name] for row in some], float)
            table[-1][name] = values.mean(axis=0).round(5).tolist()
            spread = values.std(axis=0, ddof=min(1, len(some) - 1))
            table[-1][f"{name} sd"] = spread.round(5).tolist()
    return table


class Difference(NamedTuple):
    """Mean of a paired difference over seeds, with the 95 % interval of Student's t."""

    mean: float
    low: float
    high: float
    n: int

    def verdict(self, claim: str, margin: float = 0.01) -> str:
        """Judge a claim about the difference by a fixed rule.

        Parameters
        ----------
        claim : {"larger", "smaller", "equal", "not smaller"}
            The claimed relation of the first arm to the second one.
        margin : float, default=0.01
            A difference below the margin does not matter.

        Returns
        -------
        {"reproduced", "contradicted", "equal", "undetermined"}
            "larger" and "smaller" are reproduced if the interval lies on the claimed side of 0 and
            contradicted if it lies on the other one; "equal" is the verdict if it lies within the
            margin without being on the claimed side. "equal" and "not smaller" are reproduced if
            the interval lies within (above minus) the margin, and contradicted if it lies outside
            (below) it. Everything else is undetermined.
        """
        within = -margin < self.low and self.high < margin
        if claim == "equal":
            outside = self.low > margin or self.high < -margin
            return "reproduced" if within else "contradicted" if outside else "undetermined"
        if claim == "not smaller":
            below = self.high < -margin
            above = self.low > -margin
            return "reproduced" if above else "contradicted" if below else "undetermined"
        side = "larger" if self.low > 0 else "smaller" if self.high < 0 else None
        if side == claim:
            return "reproduced"
        return "equal" if within else "contradicted" if side else "undetermined"


def difference(
    rows: Sequence[Row], of: str | tuple[str, str], first: Mapping, second: Mapping
) -> Difference:
    """Compare two arms by the same seeds.

    `of` names the compared column, or one column for each arm. Of a list, the last element counts.
    """
    columns = (of, of) if isinstance(of, str) else of
    values = [
        {row["seed"]: float(np.ravel(row[column])[-1]) for row in pick(rows, **arm)}
        for column, arm in zip(columns, (first, second), strict=True)
    ]
    gaps = np.array([values[0][seed] - values[1][seed] for seed in values[0]])
    mean, n = float(gaps.mean()), len(gaps)
    half = float(stats.t.ppf(0.975, n - 1) * gaps.std(ddof=1) / n**0.5) if n > 1 else np.inf
    return Difference(mean, mean - half, mean + half, n)


def pick(table: Sequence[Row], **wanted: Any) -> list[Row]:
    """Select the rows whose columns equal `wanted`."""
    return [row for row in table if all(row.get(name) == wanted[name] for name in wanted)]


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
    for used in axes[:count]:
        used.set_prop_cycle(color=COLORS, marker=MARKERS)
    return made, axes[:count]


def finish(
    args: argparse.Namespace,
    name: str,
    settings: Any,
    rows: Sequence[Row],
    summarize: Callable[[Sequence[Row]], list[Row]],
    draw: Callable[[dict[str, Any]], Any],
) -> list[Row]:
    """Print and return the summary; write NAME.json and NAME.png if `--out` is given."""
    seconds = time.process_time() - args.start
    results = {
        "experiment": name,
        "command": _command(args, name),
        "date": date.today().isoformat(),
        "backend": os.environ["KERAS_BACKEND"],
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "versions": _versions(),
        "cpu_seconds": round(seconds),
        "seeds": args.seeds,
        "settings": settings,
        "summary": summarize(rows),
        "runs": list(rows),
    }
    show(results["summary"])
    print(f"{seconds:.0f} CPU seconds", flush=True)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        _store(args.out, results, draw)
    return results["summary"]


def redraw(
    args: argparse.Namespace,
    name: str,
    summarize: Callable[[Sequence[Row]], list[Row]],
    draw: Callable[[dict[str, Any]], Any],
) -> list[Row]:
    """Write summary and figure again from the runs in NAME.json."""
    results = json.loads((args.out / f"{name}.json").read_text())
    results["summary"] = summarize(results["runs"])
    show(results["summary"])
    _store(args.out, results, draw)
    return results["summary"]


def _store(folder: Path, results: dict[str, Any], draw: Callable[[dict[str, Any]], Any]) -> None:
    text = json.dumps(results, indent=1, default=str) + "\n"
    path = folder / f"{results['experiment']}.json"
    path.write_text(text)
    # From the text, so that a figure depends on nothing that a redrawing could not read.
    draw(json.loads(text)).savefig(path.with_suffix(".png"), dpi=100)


def _command(args: argparse.Namespace, name: str) -> str:
    """Return the command line, with folder names replaced by a placeholder."""
    parts = [f"python examples/{name}.py --budget {args.budget} --seeds {args.seeds}"]
    for option, value in vars(args).items():
        if isinstance(value, Path):
            parts.append(f"--{option.replace('_', '-')} FOLDER")
    return " ".join(parts)


def _versions() -> dict[str, str]:
    backend = os.environ["KERAS_BACKEND"]
    versions = {}
    for package in PACKAGES:
        if package in ("tensorflow-cpu", "jax", "torch") and not package.startswith(backend):
            continue
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # tensorflow under another name
            continue
    return versions
