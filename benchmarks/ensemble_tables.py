"""Turn the measured ensembles into the tables of docs/ensembles.md.

    python benchmarks/ensemble_tables.py            # print
    python benchmarks/ensemble_tables.py --write    # put them in their places in the page

The records are docs/results/ensemble_choice.jsonl, ensemble_tables.jsonl and ensemble_images.jsonl.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parents[1] / "docs"
ONE, DEEP, TREES = "one network", "8 independent networks", "HistGradientBoosting"
ORDER = (
    *(ONE, "frozen, 128", "frozen, 256", "trained, 128", "joint, 128", "joint, 256", "TabM, 128"),
    *(DEEP, "bagging of 8", TREES),
)
IMAGE_MODELS = ("mean", "ensemble", "one network")
MOST = 16  # members
Cells = dict[tuple[str, str], float]


def records(name: str) -> list[dict]:
    """Read a file of measured runs."""
    text = (DOCS / "results" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def table_records(kind: str) -> list[dict]:
    """Read the runs on tables whose targets are classes, or numbers.

    A calibrated ensemble is another model in the same run.
    """
    found = []
    for row in records("ensemble_tables.jsonl"):
        if ("log_loss" in row) == (kind == "classes"):
            found.append(row)
            if "calibrated log_loss" in row:
                measures = {c: row[f"calibrated {c}"] for c in ("log_loss", "score", "ece")}
                found.append({**row, **measures, "model": f"{row['model']}, calibrated"})
    return sorted(found, key=lambda row: ORDER.index(row["model"].removesuffix(", calibrated")))


def means(rows: list[dict], column: str) -> Cells:
    """Return the mean over the seeds of each data set and model that has the column."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if column in row:
            found.setdefault((row["set"], row["model"]), []).append(row[column])
    return {key: float(np.mean(values)) for key, values in found.items()}


def names(cells: Cells, place: int) -> list[str]:
    """Return the data sets (0) or models (1), in their order."""
    return list(dict.fromkeys(key[place] for key in cells))


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def by_set() -> str:
    """Return the log losses: data sets by models, and the mean over the sets."""
    rows = [row for row in table_records("classes") if "calibrated" not in row["model"]]
    cells = means(rows, "log_loss")
    sets, models = sorted(names(cells, 0)), names(cells, 1)
    lines = [[name, *(number(cells.get((name, model)), 3) for model in models)] for name in sets]
    last = [mean_over(cells, model, sets) for model in models]
    return markdown(["log loss", *models], [*lines, ["mean", *last]])


def seeds_of(rows: list[dict], model: str) -> set[int]:
    """Return the seeds with which a model was run."""
    return {row["seed"] for row in rows if row["model"] == model}


def number(value: float | None, digits: int) -> str:
    """Format a number, without the zero before the point."""
    if value is None:
        return ""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.{digits}f}")


def mean_over(cells: Cells, model: str, sets: list[str], digits: int = 3) -> str:
    """Return the mean over all sets, or nothing where one is missing."""
    if any((name, model) not in cells for name in sets):
        return ""
    return number(float(np.mean([cells[name, model] for name in sets])), digits)


def summary() -> str:
    """Return one line per model: means, and on how many sets its log loss is lower."""
    rows = table_records("classes")
    losses = means(rows, "log_loss")
    sets, models = names(losses, 0), names(losses, 1)
    columns = {"log_loss": 3, "score": 3, "ece": 3, "seconds": 1}
    measures = {column: means(rows, column) for column in columns}
    size = means(rows, "bytes")
    lines = []
    for model in models:
        line = [model, str(len(seeds_of(rows, model)))]
        line += [mean_over(measures[c], model, sets, digits) for c, digits in columns.items()]
        ratios = [size[name, model] / size[name, ONE] for name in sets if (name, model) in size]
        line.append(f"{np.mean(ratios):.2f}" if len(ratios) == len(sets) else "")
        line += [wins(rows, model, other) for other in (ONE, DEEP, TREES)]
        lines.append(line)
    head = ["model", "seeds", "log loss", "accuracy", "ECE", "CPU s", "file", "below one network"]
    return markdown([*head, "below 8 independent", "below boosting"], lines)


def wins(rows: list[dict], model: str, other: str) -> str:
    """Count the sets on which a model has the lower log loss, over the seeds of both."""
    seeds = seeds_of(rows, model)
    losses = means([row for row in rows if row["seed"] in seeds], "log_loss")
    both = [n for n in names(losses, 0) if (n, model) in losses and (n, other) in losses]
    lower = sum(losses[name, model] < losses[name, other] for name in both)
    return "" if model == other else f"{lower} of {len(both)}"


def choice() -> str:
    """Return the means of each candidate on held-out parts of the training parts."""
    rows = records("ensemble_choice.jsonl")
    few = {row["set"] for row in rows if row["candidate"] == "clipped"}
    lines = []
    for candidate in dict.fromkeys(row["candidate"] for row in rows):
        own = [row for row in rows if row["candidate"] == candidate]
        for key in [(f.get("members"), f.get("calibrated")) for f in own[0]["found"]]:
            if candidate in ("clipped", "decay 0.1") and key[0] != MOST:
                continue
            cells = {}
            for row in own:
                for f in row["found"]:
                    if (f.get("members"), f.get("calibrated")) == key:
                        cells[row["set"]] = f["log_loss"], f["ece"]
            line = [candidate, str(key[0] or ""), "yes" if key[1] else "no"]
            for sets in (few, set(cells) if len(cells) > len(few) else None):
                both = np.mean([cells[n] for n in sets], axis=0) if sets else (None, None)
                line += [number(value, 4) for value in both]
            lines.append(line)
    head = ["candidate", "members", "temperature", "log loss, 5 sets", "ECE", "9 sets", "ECE"]
    return markdown(head, lines)


def files() -> str:
    """Return the bytes of a file divided by those of the one network."""
    rows = [row for row in table_records("classes") if "calibrated" not in row["model"]]
    size = means(rows, "bytes")
    models = [model for model in names(size, 1) if model not in (ONE, DEEP, "TabM, 128")]
    sets = sorted(names(size, 0))
    lines = [
        [model, *(f"{size[n, model] / size[n, ONE]:.2f}" for n in sets)]
        for model in models
        if all((n, model) in size for n in sets)
    ]
    return markdown(["file", *sets], lines)


def regression() -> str:
    """Return the R2 of each model on each data set of numbers."""
    rows = table_records("numbers")
    cells = means(rows, "score")
    models = names(cells, 1)
    lines = [[n, *(number(cells.get((n, m)), 3) for m in models)] for n in names(cells, 0)]
    return markdown(["R2", *models], lines)


def images() -> str:
    """Return accuracies on images, in percent, with the standard deviation over the seeds."""
    rows = records("ensemble_images.jsonl")
    lines = []
    for key in dict.fromkeys((row["set"], row["base"]) for row in rows):
        own = [row for row in rows if (row["set"], row["base"]) == key]
        values = {m: 100 * np.array([row[m] for row in own]) for m in IMAGE_MODELS}
        gains = values["ensemble"] - values["mean"], values["ensemble"] - values["one network"]
        line = [key[0].replace("_", " "), key[1], str(len(own))]
        for each in (*values.values(), *gains):
            line.append(f"{each.mean():.1f} ± {each.std(ddof=1):.1f}")
        lines.append(line)
    head = ["images", "base", "seeds", "mean member", "ensemble", "one network"]
    return markdown([*head, "ensemble − member", "ensemble − one network"], lines)


TABLES: dict[str, Callable[[], str]] = {
    "summary": summary,
    "log loss": by_set,
    "file": files,
    "choice": choice,
    "regression": regression,
    "images": images,
}
PLACE = re.compile(r"(<!-- table: ([a-z ]+) -->\n)([^<]*)(<!-- end of table -->)")


def filled(page: str) -> str:
    """Return a page with the tables in their places."""
    return PLACE.sub(lambda place: f"{place[1]}\n{TABLES[place[2]]()}\n\n{place[4]}", page)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/ensembles.md")
    page = DOCS / "ensembles.md"
    if parser.parse_args().write:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n\n".join(f"{name}\n\n{table()}" for name, table in TABLES.items()))


if __name__ == "__main__":
    main()
