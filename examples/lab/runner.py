"""Run an experiment from the command line: resume it, choose learning rates, measure."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import frozenfit

from . import data, figures, pages
from .data import Data
from .experiment import Arm, Experiment, Results, Row
from .records import Records, environment, plain, row

BUDGETS = {
    "tiny": "seconds; its figures mean nothing",
    "cpu": "at most 20 CPU minutes",
    "long": "hours",
    "gpu": "the published networks, for a GPU",
}


class Run:
    """What the function of an experiment receives: settings, data and measurements.

    Attributes
    ----------
    settings : mapping
        The settings of the budget.
    """

    def __init__(self, settings: Any, options: argparse.Namespace, records: Sequence[dict]):
        self.settings = settings
        self._options = options
        self._chosen = {
            json.dumps(record["arm"]): (record["values"]["rate"], record["values"]["validation"])
            for record in records
            if "validation" in record["values"]
        }

    def images(
        self,
        seed: int,
        name: str | None = None,
        train: int | None = None,
        test: int | None = None,
        shrink: int | None = None,
    ) -> Data:
        """Draw a training sample of images; what is not given comes from the settings."""
        sizes = self.settings
        return data.images(
            name or sizes["data"],
            seed,
            train or sizes["train"],
            test or sizes["test"],
            shrink or sizes.get("shrink", 1),
            self._options.data_dir,
        )

    def table(self, seed: int, name: str, train: float) -> Data:
        """Draw a training sample of a table, or of time series, in the folder --tabular."""
        return data.table(name, seed, train, self._options.tabular)

    def texts(self, seed: int, name: str, train: float) -> Data:
        """Draw a training sample of texts in the folder --tabular."""
        return data.texts(name, seed, train, self._options.tabular)

    def choose(
        self, arm: Arm, make: Callable[[Any], Any], X: Any, y: Any, rates: Sequence[Any] = ()
    ) -> Row:
        """Choose a learning rate on a validation part, once for each arm.

        The rate with the highest accuracy on a fifth of the training sample of the first seed is
        used for all seeds; of equal accuracies, the one with the lower log loss. Test parts are not
        used.

        Returns
        -------
        dict
            "rate", and "validation" with the accuracy of each candidate.
        """
        arm = plain(arm)
        rates = rates or self.settings["rates"]
        if len(rates) == 1:
            return {"rate": rates[0]}
        key = json.dumps(arm)
        if key not in self._chosen:
            parts = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
            scores = {rate: _score(make(rate), *parts) for rate in rates}
            best = max(scores, key=lambda rate: scores[rate])
            self._chosen[key] = best, {str(rate): s[0] for rate, s in scores.items()}
        rate, validation = self._chosen[key]
        return {"rate": rate, "validation": validation}

    def fit(
        self,
        arm: Arm,
        make: Callable[[Any], Any],
        data: Data,
        rates: Sequence[Any] = (),
        stored: bool = True,
    ) -> tuple[Any, Row]:
        """Choose the rate, fit and measure.

        Returns
        -------
        model : estimator
        values : dict
            What `choose` and `measure` return.
        """
        values = self.choose(arm, make, data.X, data.y, rates)
        model = make(values["rate"])
        start = time.process_time()
        model.fit(data.X, data.y)
        values["cpu_seconds"] = time.process_time() - start
        return model, values | measure(model, data, stored)


def _score(model: Any, X: Any, X_val: Any, y: Any, y_val: Any) -> tuple[float, float]:
    model.fit(X, y)
    loss = log_loss(y_val, model.predict_proba(X_val), labels=model.classes_)
    return round(float(model.score(X_val, y_val)), 5), -float(loss)


def measure(model: Any, data: Data, stored: bool = True) -> Row:
    """Measure accuracy and log loss on the test part, trained parameters, and bytes of a file.

    Models on networks that a file cannot store are measured without bytes (`stored=False`).
    """
    probabilities = model.predict_proba(data.X_test)
    table = model.parameter_table() if hasattr(model, "parameter_table") else ()
    trained, total = sum(line[3] for line in table), sum(line[4] for line in table)
    values = {
        "accuracy": float((model.classes_[probabilities.argmax(1)] == data.y_test).mean()),
        "loss": float(log_loss(data.y_test, probabilities, labels=model.classes_)),
        "n_test": len(data.y_test),
    }
    if total:
        values |= {"parameters": trained, "fraction": trained / total}
        values |= {"bytes": file_size(model)} if stored else {}
    return values


def file_size(estimators: Any) -> int:
    """Return the size in bytes of a file with one estimator or a dict of estimators."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.frozenfit"
        frozenfit.save(estimators, path)
        return path.stat().st_size


def main(experiment: Experiment, given: Sequence[str] | None = None) -> Results:
    """Run the arms that have no record yet, print the tables, and draw the figure."""
    options = _options(experiment, given)
    path = options.out / f"{experiment.name}.jsonl" if options.out else None
    records = Records(path)
    settings = experiment.settings[options.budget]
    if not options.redraw:
        _run_all(experiment, settings, options, records)
    rows = [row(record) for record in records.of(options.budget, settings)]
    results = Results(experiment, options.budget, rows)
    print(pages.claims_table(results) + "\n" + pages.means_table(results), flush=True)
    if options.budget == "tiny":
        print("The budget tiny checks that the script runs; its figures mean nothing.")
    if path is not None and rows:
        name = pages.figure_name(experiment.name, options.budget)
        figures.save(experiment.figure(results), path.with_name(name))
    return results


def _run_all(experiment: Experiment, settings: Any, options: Any, records: Records) -> None:
    """Run all pairs of an arm and a seed; seeds are the outer loop, so that arms take turns."""
    from rich import progress

    done = records.of(options.budget, settings)
    finished = {(json.dumps(record["arm"]), record["seed"]) for record in done}
    arms = [a for a in experiment.arms(settings) if options.only.lower() in named(a).lower()]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    todo = [
        (arm, seed)
        for seed in seeds
        for arm in map(plain, arms)
        if (json.dumps(arm), seed) not in finished
    ]
    context = Run(settings, options, done)
    columns = ["{task.description}", progress.BarColumn(), progress.MofNCompleteColumn()]
    columns += [progress.TimeElapsedColumn()]
    with progress.Progress(*columns, disable=not options.verbose) as bar:
        task = bar.add_task(experiment.name, total=len(todo))
        for arm, seed in todo:
            bar.update(task, description=f"{experiment.name}: {named(arm)}, seed {seed}")
            start = time.process_time()
            values = experiment.run(arm, seed, context)
            record = {"budget": options.budget, "arm": arm, "seed": seed, "values": values}
            record["values"]["total_cpu_seconds"] = round(time.process_time() - start, 2)
            record["settings"] = plain(settings)
            record |= {"command": command(experiment, options), **environment()}
            records.append(record)
            bar.advance(task)


def named(arm: Arm) -> str:
    """Return the name of an arm: the values of its factors."""
    return ", ".join(str(value) for value in arm.values())


def command(experiment: Experiment, options: argparse.Namespace) -> str:
    """Return the command of a run, with placeholders for folders."""
    parts = [f"python examples/{experiment.name}.py --budget {options.budget}"]
    for option in ("data_dir", "tabular", "out"):
        if getattr(options, option) is not None:
            parts.append(f"--{option.replace('_', '-')} FOLDER")
    return " ".join(parts)


def _options(experiment: Experiment, given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=experiment.title, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    budgets = "; ".join(f"{name}: {BUDGETS[name]}" for name in experiment.settings)
    parser.add_argument("--budget", choices=experiment.settings, default="tiny", help=budgets)
    parser.add_argument("--seeds", type=int, help="number of seeds (default: 1 for tiny)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them")
    parser.add_argument("--only", default="", metavar="ARM", help="arms whose name contains ARM")
    parser.add_argument("--data-dir", type=Path, help="folder of tensorflow-datasets")
    parser.add_argument(
        "--tabular", type=Path, help="folder with tables, series and texts, NAME.npz or NAME.csv.gz"
    )
    parser.add_argument("--out", type=Path, help="folder for NAME.jsonl, NAME.png and NAME.svg")
    parser.add_argument(
        "--redraw", action="store_true", help="run nothing: tables and figure from the records"
    )
    parser.add_argument("--verbose", type=int, default=1, help="0 hides the progress bar")
    options = parser.parse_args(given)
    if options.redraw and options.out is None:
        parser.error("--redraw requires --out, the folder with the records")
    options.seeds = options.seeds or _seeds(experiment, options.budget)
    return options


def _seeds(experiment: Experiment, budget: str) -> int:
    if budget == "tiny":
        return 1
    return experiment.settings[budget].get("seeds", experiment.seeds)


# TensorFlow reports the instructions of the processor at every start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
