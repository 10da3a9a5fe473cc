"""Tables and pages in Markdown, from the declaration and the records of an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .experiment import Claim, Results
from .statistics import binomial_error

VERDICTS = ("reproduced", "contradicted", "equal", "undetermined")


def page(measured: Sequence[tuple[Results, Sequence[dict[str, Any]]]]) -> str:
    """Return the page of an experiment, from the results and records of each of its budgets.

    The first is that of the verdicts and of the setting; the others follow in sections.
    """
    (results, records), *others = measured
    about = results.experiment
    parts = [
        f"# {about.title}",
        f"<!-- Written by examples/report.py from examples/{about.name}.py and its records. -->",
    ]
    if results.rows:
        parts += [answer(results), picture(results)]
    else:
        parts.append("**Not yet measured.** No run of the present protocol has been recorded.")
    parts += [f"**Claim.** {about.claim}", f"**Source.** {about.source}"]
    if results.claims():
        parts += ["## Comparisons", claims_table(results), interval_note(results)]
    if results.rows:
        parts += ["## Measured", means_table(results), measured_note(results)]
    if about.published:
        parts += ["## Published", published_table(results), about.published_source]
    heading = "## Setting, and what was shrunk" if about.published_setting else "## Setting"
    parts += [heading, about.setting, settings_table(results)]
    if about.remarks:
        parts += ["## Remarks", about.remarks]
    parts += ["## Run", run_note(results, records)]
    for results, records in others:
        parts += [f"## Budget `{results.budget}`", count(results) + ".", picture(results)]
        parts += [claims_table(results)] if results.claims() else []
        parts += [means_table(results), measured_note(results)]
        parts += [settings_table(results), run_note(results, records)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def picture(results: Results) -> str:
    """Return the link of the figure."""
    name = figure_name(results.experiment.name, results.budget)
    return f"![{results.experiment.title}](../results/{name}.png)"


def figure_name(name: str, budget: str) -> str:
    """Return the name of a figure, without its ending: budgets do not replace each other's."""
    return name if budget in ("tiny", "cpu") else f"{name}_{budget}"


def answer(results: Results) -> str:
    """Return the verdicts in sentences."""
    lines = ["**Verdicts.** " + count(results) + "."]
    for verdict in VERDICTS:
        texts = [c.text for c in results.claims() if c.verdict(results.rows) == verdict]
        if texts:
            lines.append(f"- {verdict.capitalize()}: {'; '.join(_escaped(t) for t in texts)}.")
    return lines[0] + "\n\n" + "\n".join(lines[1:]) if lines[1:] else lines[0]


def verdicts(results: Results) -> list[str]:
    """Return the verdicts on the comparisons that were measured."""
    return [claim.verdict(results.rows) for claim in results.claims()]


def tally(judged: Sequence[str]) -> str:
    """Return how many comparisons have which verdict, as a sentence without its period."""
    if not judged:
        return "No comparison has two common seeds yet"
    found = [f"{judged.count(v)} {v}" for v in VERDICTS if v in judged]
    what = "comparison" if len(judged) == 1 else "comparisons"
    return f"{len(judged)} {what}: " + ", ".join(found)


def count(results: Results) -> str:
    """Return the verdicts of an experiment, and how many comparisons are still missing."""
    judged = verdicts(results)
    total = len(list(results.experiment.claims(results.settings)))
    waiting = f"; {total - len(judged)} not yet measured" if total > len(judged) > 0 else ""
    return tally(judged) + waiting


def claims_table(results: Results) -> str:
    """Return the claims with their differences, intervals and verdicts."""
    table = [["comparison", "claim", "points [95 % interval]", "n", "verdict"]]
    for claim in results.claims():
        gap = claim.difference(results.rows)
        points = f"{100 * gap.mean:+.2f} [{100 * gap.low:.2f}, {100 * gap.high:.2f}]"
        line = [claim.text, _claimed(claim), points, str(gap.n), claim.verdict(results.rows)]
        table.append(line)
    return markdown(table)


def _claimed(claim: Claim) -> str:
    if claim.relation in ("larger", "smaller"):
        return claim.relation
    return f"{claim.relation}, margin {100 * claim.margin:g}"


def interval_note(results: Results) -> str:
    """Say what the intervals cover, and how many may be wrong by chance."""
    judged = len(results.claims())
    text = "Differences are first minus second, paired by seed; intervals are those of Student's t."
    if judged >= 10:
        text += (
            f" Of {judged} such intervals, {judged / 20:.1f} miss the true difference on average."
        )
    return text


def means_table(results: Results) -> str:
    """Return the means over seeds."""
    spec = results.experiment.table
    rows = results.rows
    measures = [name for name in spec.measures if any(name in row for row in rows)]
    plain = [name for name in spec.plain if any(name in row for row in rows)]
    lines: dict[tuple, dict[str, str]] = {}
    for arm in results.arms():
        cells = lines.setdefault(tuple(arm.get(factor) for factor in spec.lines), {})
        for of in measures[:1] if spec.columns else measures:
            title = ", ".join(str(arm.get(factor) or "–") for factor in spec.columns) or of
            if of in results.of(arm)[0]:
                cells[title] = _percent(results, arm, of)
        for of in () if spec.columns else plain:
            if of in results.of(arm)[0]:
                cells[of] = _number(results.spread(arm, of).mean)
        if not spec.columns:
            cells["n"] = str(len(results.of(arm)))
    columns = list(dict.fromkeys(title for cells in lines.values() for title in cells))
    if "n" in columns:  # arms may differ in what was measured
        columns.append(columns.pop(columns.index("n")))
    table = [[*spec.lines, *(title.replace("_", " ") for title in columns)]]
    for key, cells in lines.items():
        names = ["" if value is None else str(value) for value in key]
        table.append([*names, *(cells.get(title, "") for title in columns)])
    return markdown(table)


def _percent(results: Results, arm: dict[str, Any], of: str) -> str:
    mean, sd, _ = results.spread(arm, of)
    text = f"{round(100 * mean, 1) + 0.0:.1f}"  # + 0.0 turns -0.0 into 0.0
    return text if sd != sd else f"{text} ± {100 * sd:.1f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def measured_note(results: Results) -> str:
    """Say what the numbers of the table are, and how large the noise of the test part is."""
    text = f"Accuracies in percent, mean ± standard deviation (ddof=1) over seeds, n = {results.n}."
    rows = [row for row in results.rows if "n_test" in row and "accuracy" in row]
    if rows:
        errors = [100 * binomial_error(row["accuracy"], row["n_test"]) for row in rows]
        sizes = sorted({row["n_test"] for row in rows})
        tests = f"{sizes[0]:,}" + (f" to {sizes[-1]:,}" if len(sizes) > 1 else "")
        text += (
            f" The binomial standard error of one accuracy on {tests} test samples is at most "
            f"{max(errors):.1f} points; it is common to all arms and seeds, and the intervals do "
            "not contain it."
        )
    return text


def published_table(results: Results) -> str:
    """Return the published values beside the measured ones."""
    table = [["arm", "of", "published", "measured"]]
    for known in results.experiment.published:
        some = [a for a in results.arms() if all(a.get(k) == v for k, v in known.arm.items())]
        found = _percent(results, some[0], known.of) if some else "not measured"
        name = ", ".join(str(value) for value in known.arm.values())
        table.append([name, known.of, f"{100 * known.value:.2f}", found])
    return markdown(table)


def settings_table(results: Results) -> str:
    """Return the settings beside the published ones: what was shrunk."""
    published = dict(results.experiment.published_setting)
    table = [["setting", f"here (budget `{results.budget}`)", "published"]]
    for name, value in results.settings.items():
        parts = [(name, value)]
        if isinstance(value, dict) and all(isinstance(part, dict) for part in value.values()):
            parts = [(f"{name}, {key}", part) for key, part in value.items()] or parts
        for i, (title, part) in enumerate(parts):
            known = "" if i else published.pop(name, "")
            table.append([title.replace("_", " "), _text(part), known])
    table += [[name.replace("_", " "), "", value] for name, value in published.items()]
    return markdown(table)


def _text(value: Any) -> str:
    if value in ({}, [], (), None):
        return "none"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_text(of)}" for name, of in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(of) for of in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def run_note(results: Results, records: Sequence[dict[str, Any]]) -> str:
    """Return the command, and where the recorded runs took place."""
    folders = " --data-dir FOLDER --tabular FOLDER --out docs/results"
    name = f"python examples/{results.experiment.name}.py --budget {results.budget}{folders}"
    text = f"```bash\n{name}\n```"
    if not records:
        return text
    seconds = sum(record["values"]["total_cpu_seconds"] for record in records)
    text += f"\n\n{len(records)} runs, {seconds / 60:.1f} CPU minutes in total."
    for of, title in (("commit", "Commit"), ("cpu", "processor"), ("os", "system")):
        text += f" {title.capitalize()}: {_distinct(r[of] for r in records)}."
    versions = _distinct(", ".join(f"{k} {v}" for k, v in r["versions"].items()) for r in records)
    threads = _distinct(_text(record["threads"]) for record in records)
    dates = sorted({record["date"] for record in records})
    text += f" Versions: {versions}. Threads: {threads}. Dates: {_distinct(dates)}."
    return text


def _distinct(values: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(values))


def markdown(table: list[list[str]]) -> str:
    """Return a table as Markdown; its first line is the header."""
    lines = [f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in table]
    return "\n".join([lines[0], "|---" * len(table[0]) + "|", *lines[1:]]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
