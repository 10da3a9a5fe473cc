"""Write docs/experiments, and a sentence of the README, from scripts and records.

python examples/report.py
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from lab import Experiment, Results, pages
from lab.contents import ENTRIES
from lab.records import Records, row

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SCRIPTS = (*(entry.script for entry in ENTRIES if entry.script), "elm_images")
CONTENTS = re.compile(r"(<!-- contents -->\n).*?(<!-- end -->)", re.DOTALL)
SUMMARY = re.compile(r"(<!-- experiments -->\n).*?(<!-- end -->)", re.DOTALL)


def declared(script: str) -> Experiment:
    """Return the experiment of a script."""
    return importlib.import_module(script).EXPERIMENT


def recorded(experiment: Experiment) -> tuple[Results, list[dict]]:
    """Return results and records of the largest budget that has any."""
    records = Records(DOCS / "results" / f"{experiment.name}.jsonl")
    for budget in ("gpu", "long", "cpu"):
        if budget in experiment.settings:
            found = records.of(budget, experiment.settings[budget])
            if found:
                return Results(experiment, budget, [row(record) for record in found]), found
    return Results(experiment, "cpu", []), []


def page_path(script: str) -> Path:
    """Return the page of a script."""
    return DOCS / "experiments" / f"{script.replace('_', '-')}.md"


def contents(states: dict[str, str]) -> str:
    """Return the table of all experiments."""
    table = [["", "question", "source", "state"]]
    for number, source, question, script, needs in ENTRIES:
        if script:
            question = f"[{question}]({page_path(script).name})"
        missing = f"no script yet; needs {needs}" if needs else "no script yet"
        state = states[script] if script else missing
        table.append([str(number), question, source, state])
    extra = declared("elm_images")
    link = f"[{extra.title}]({page_path('elm_images').name})"
    table.append(["", link, "McDonnell et al. (2015)", states["elm_images"]])
    return pages.markdown(table)


def state(results: Results) -> str:
    """Return the line of an experiment in the contents."""
    if not results.rows:
        return "not yet measured"
    return f"budget `{results.budget}`, n = {results.n}. {pages.count(results)}"


def summary(measured: list[Results]) -> str:
    """Return the sentence of the README on all experiments."""
    some = [results for results in measured if results.rows]
    total = len(ENTRIES) + len(SCRIPTS) - sum(entry.script is not None for entry in ENTRIES)
    verdicts = pages.tally([verdict for results in some for verdict in pages.verdicts(results)])
    return f"{len(some)} of {total} questions have been measured so far. {verdicts}."


def main() -> None:
    """Write all pages, the contents, and the sentence of the README."""
    states, measured = {}, []
    for script in SCRIPTS:
        results, records = recorded(declared(script))
        measured.append(results)
        states[script] = state(results)
        page_path(script).write_text(pages.page(results, records), "utf-8")
    path = DOCS / "experiments" / "README.md"
    text = path.read_text("utf-8")
    path.write_text(CONTENTS.sub(rf"\1\n{contents(states)}\n\2", text), "utf-8")
    path = ROOT / "README.md"
    text = path.read_text("utf-8")
    path.write_text(SUMMARY.sub(rf"\g<1>{summary(measured)}\n\2", text), "utf-8")


if __name__ == "__main__":
    main()
