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
# Scripts of questions that belong to another one, or to none, with the source of the question.
FURTHER = {
    "count_law": "question 3",
    "sample_sizes": "question 3",
    "block_grid": "question 5",
    "elm_images": "McDonnell et al. (2015)",
}
SCRIPTS = (*(entry.script for entry in ENTRIES if entry.script), *FURTHER)
CONTENTS = re.compile(r"(<!-- contents -->\n).*?(<!-- end -->)", re.DOTALL)
SUMMARY = re.compile(r"(<!-- experiments -->\n).*?(<!-- end -->)", re.DOTALL)


def declared(script: str) -> Experiment:
    """Return the experiment of a script."""
    return importlib.import_module(script).EXPERIMENT


def recorded(experiment: Experiment) -> list[tuple[Results, list[dict]]]:
    """Return results and records of the budgets that have any.

    The first is the one with the most comparisons measured, and of equal ones the largest budget.
    Where nothing has been run, it is "cpu" without results.
    """
    records = Records(DOCS / "results" / f"{experiment.name}.jsonl")
    found = []
    for budget in ("gpu", "long", "cpu"):
        known = records.of(budget, experiment.settings.get(budget, {}))
        if known:
            found.append((Results(experiment, budget, [row(record) for record in known]), known))
    found.sort(key=lambda each: len(each[0].claims()), reverse=True)  # stable
    return found or [(Results(experiment, "cpu", []), [])]


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
    for script, source in FURTHER.items():
        link = f"[{declared(script).title}]({page_path(script).name})"
        table.append(["", link, source, states[script]])
    return pages.markdown(table)


def state(measured: list[tuple[Results, list[dict]]]) -> str:
    """Return the line of an experiment in the contents."""
    if not measured[0][0].rows:
        return "not yet measured"
    return ". ".join(
        f"Budget `{results.budget}`, n = {results.n}. {pages.count(results)}"
        for results, _ in measured
    )


def summary(measured: list[list[tuple[Results, list[dict]]]]) -> str:
    """Return the sentence of the README on all experiments, each by the budget its page leads with.

    A claim that was measured at two budgets counts once.
    """
    some = [each for each in measured if each[0][0].rows]
    total = len(ENTRIES) + len(SCRIPTS) - sum(entry.script is not None for entry in ENTRIES)
    verdicts = [verdict for each in some for verdict in pages.verdicts(each[0][0])]
    return f"{len(some)} of {total} questions have been measured so far. {pages.tally(verdicts)}."


def main() -> None:
    """Write all pages, the contents, and the sentence of the README."""
    measured = {script: recorded(declared(script)) for script in SCRIPTS}
    for script, each in measured.items():
        page_path(script).write_text(pages.page(each), "utf-8")
    states = {script: state(each) for script, each in measured.items()}
    path = DOCS / "experiments" / "README.md"
    text = path.read_text("utf-8")
    path.write_text(CONTENTS.sub(rf"\1\n{contents(states)}\n\2", text), "utf-8")
    path = ROOT / "README.md"
    text = path.read_text("utf-8")
    path.write_text(SUMMARY.sub(rf"\g<1>{summary(list(measured.values()))}\n\2", text), "utf-8")


if __name__ == "__main__":
    main()
