"""Write the tables of docs/experiments from docs/results, so that text and data cannot disagree.

    python examples/pages.py

In a page, a table stands between the comments ``<!-- means: NAME -->`` or ``<!-- claims: NAME -->``
and ``<!-- end -->``. Means are over seeds, with the standard deviation of a sample. A claim is a
paired difference over seeds with its 95 % interval, and is judged by `common.Difference.verdict`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import common

DOCS = Path(__file__).resolve().parents[1] / "docs"
MARKED = re.compile(r"(<!-- (means|claims): (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Means(NamedTuple):
    """A table of means: one line per value of `lines`, one column per value of `columns`.

    Without `columns`, the table has the columns `of`. Numbers of `of` are shown in percent, and
    those of `plain` as they are.
    """

    lines: tuple[str, ...]
    of: tuple[str, ...]
    columns: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    digits: int = 1


class Claim(NamedTuple):
    """A claimed relation of two arms; `of` is the compared column, or one column for each arm."""

    text: str
    of: str | tuple[str, str]
    first: dict
    second: dict
    claim: str
    margin: float = 0.01


MEANS = {
    "lenet_layers": Means(("frozen",), ("accuracy",), plain=("trainable",), digits=2),
    "frozen_distributions": Means(("frozen",), ("accuracy",), ("distribution",)),
    "filter_fractions": Means(("filters",), ("accuracy",), ("network", "frozen")),
    "groups": Means(("group",), ("accuracy",), ("network",)),
    "side_by_side": Means(("data",), ("accuracy",), ("model",)),
    "freezeout": Means(("network", "t0"), ("accuracy", "saving", "predicted saving")),
    "ensemble": Means(
        ("data", "trained by each"),
        ("mean accuracy", "ensemble accuracy", "gain"),
        plain=("mean nll", "ensemble nll", "mean ece", "ensemble ece", "trainable", "bytes"),
    ),
    "transfer": Means(("task", "arm"), ("accuracy",), ("samples",)),
    "tasks": Means(
        ("network", "trained by each"),
        ("mnist", "fashion_mnist", "cifar10"),
        plain=("trainable", "bytes"),
    ),
    "search": Means(
        ("data",),
        ("all cv", "found cv", "all test", "found test"),
        plain=("all trainable", "found trainable"),
    ),
}


def lenet_layers() -> list[Claim]:
    """Claim that one frozen layer costs nothing; a quarter of a point is a third of all errors."""
    nothing = {"frozen": "none"}
    return [
        Claim(f"{layer} − nothing", "accuracy", {"frozen": layer}, nothing, "not smaller", 0.0025)
        for layer in ("conv1", "conv2", "dense1", "dense2", "head")
    ]


def frozen_distributions() -> list[Claim]:
    """Claim that more frozen layers are worse, and that the distribution does not matter."""
    stacks = ("conv1", "conv1-conv2", "conv1-dense1", "conv1-dense2")
    more = [
        Claim(f"{b} − {a}, normal", "accuracy", normal(b), normal(a), "smaller")
        for a, b in zip(stacks, stacks[1:], strict=False)
    ]
    last = stacks[-1]
    others = ("uniform", "signs", "sparse", "rank 2", "rank 1", "positive", "x 0.01", "constant")
    return more + [
        Claim(
            f"{name} − normal, {last}",
            "accuracy",
            {"frozen": last, "distribution": name},
            normal(last),
            "equal",
        )
        for name in others
    ]


def normal(frozen: str) -> dict:
    return {"frozen": frozen, "distribution": "normal"}


def filter_fractions() -> list[Claim]:
    """Claim that random values beat zeros at few filters only, and that .7 is as good as all."""
    claims = []
    for network in ("densenet", "wide_resnet", "lenet5"):
        for filters, claim in (("0.1", "larger"), ("0.4", "equal"), ("0.7", "equal")):
            arm = {"network": network, "filters": filters}
            first, second = arm | {"frozen": "random"}, arm | {"frozen": "zero"}
            text = f"{network}, {filters}: random − zero"
            claims.append(Claim(text, "accuracy", first, second, claim))
        first = {"network": network, "filters": "0.7", "frozen": "random"}
        second = {"network": network, "filters": "all"}
        claims.append(Claim(f"{network}: 0.7 − all", "accuracy", first, second, "not smaller"))
    return claims


def groups() -> list[Claim]:
    """Claim that a middle block beats the head, and batch norm matters at few filters only."""
    claims = []
    for network in ("densenet", "wide_resnet"):
        for a, b, claim in (
            ("block2", "head", "larger"),
            ("block3", "head", "larger"),
            ("block3", "block2", "larger" if network == "densenet" else "smaller"),
        ):
            arms = [{"network": network, "group": group} for group in (a, b)]
            claims.append(Claim(f"{network}: {a} − {b}", "accuracy", *arms, claim))
    for part, claim in (("1", "larger"), ("0.1", "larger"), ("0.4", "equal"), ("0.7", "equal")):
        arms = [
            {"network": "wide_resnet", "group": group}
            for group in (part, f"{part} without batch norm")
        ]
        text = f"wide_resnet, {part} filters: batch norm trained − frozen"
        claims.append(Claim(text, "accuracy", *arms, claim))
    return claims


def side_by_side() -> list[Claim]:
    """Claim that random features beat a linear model, and a tenth is as good as everything."""
    names = dict.fromkeys(row["data"] for row in read("side_by_side")["summary"])
    return [
        Claim(
            f"{name}: {a} − {b}",
            "accuracy",
            {"data": name, "model": a},
            {"data": name, "model": b},
            claim,
        )
        for a, b, claim in (("ELM", "linear", "larger"), ("a tenth", "everything", "not smaller"))
        for name in names
    ]


def freezeout() -> list[Claim]:
    """Claim that freezing layers early costs nothing."""
    return [
        Claim(
            f"{network}, t0 = {t0} − all layers to the end",
            "accuracy",
            {"network": network, "t0": t0},
            {"network": network, "t0": None},
            "not smaller",
        )
        for network in ("wide_resnet", "lenet5")
        for t0 in (0.9, 0.7, 0.5, 0.3)
    ]


def ensemble() -> list[Claim]:
    """Claim that an ensemble beats its mean member, and one independent network."""
    claims = []
    both = ("ensemble accuracy", "mean accuracy")
    arms = [(row["data"], row["trained by each"]) for row in read("ensemble")["summary"]]
    for data, part in arms:
        arm = {"data": data, "trained by each": part}
        claims.append(Claim(f"{data}, {part}: ensemble − mean member", both, arm, arm, "larger"))
    for data, part in arms:
        arm = {"data": data, "trained by each": part}
        one = {"data": data, "trained by each": "independent networks"}
        if part != "independent networks":
            text = f"{data}, {part}: ensemble − one independent network"
            claims.append(Claim(text, both, arm, one, "larger"))
    return claims


def transfer() -> list[Claim]:
    """Claim that pretraining, more trained layers, and LP-FT help."""
    claims = []
    for a, b in (
        ("everything", "from scratch"),
        ("everything", "head"),
        ("head, then everything", "everything"),
    ):
        for task in ("digits 0-4 to 5-9", "MNIST to Fashion-MNIST"):
            for samples in (50, 500, 5000):
                arms = [{"task": task, "samples": samples, "arm": arm} for arm in (a, b)]
                text = f"{task}, {samples} samples: {a} − {b}"
                claims.append(Claim(text, "accuracy", *arms, "larger"))
    return claims


def tasks() -> list[Claim]:
    """Claim that four tenths on a shared base are as good as an independent network."""
    return [
        Claim(
            f"{network}, {task}: four tenths − independent",
            task,
            {"network": network, "trained by each": "four tenths"},
            {"network": network, "trained by each": "everything, a network each"},
            "not smaller",
        )
        for network in ("lenet5", "wide_resnet")
        for task in ("mnist", "fashion_mnist", "cifar10")
    ]


def search() -> list[Claim]:
    """Claim that at most a tenth, searched, is as good as everything at its defaults."""
    claims = []
    for part in ("cv", "test"):
        of = (f"found {part}", f"all {part}")
        for row in read("search")["summary"]:
            arm = {"data": row["data"]}
            claims.append(Claim(f"{row['data']}, {part}: found − all", of, arm, arm, "not smaller"))
    return claims


CLAIMS = {
    make.__name__: make
    for make in (
        lenet_layers,
        frozen_distributions,
        filter_fractions,
        groups,
        side_by_side,
        freezeout,
        ensemble,
        transfer,
        tasks,
        search,
    )
}


def read(name: str) -> dict:
    """Read the stored results of an experiment."""
    return json.loads((DOCS / "results" / f"{name}.json").read_text("utf-8"))


def means_table(name: str) -> str:
    """Return the means of an experiment as a Markdown table."""
    spec, summary = MEANS[name], read(name)["summary"]
    lines: dict[tuple, dict[str, str]] = {}
    for row in summary:
        cells = lines.setdefault(tuple(row[column] for column in spec.lines), {})
        for of in spec.of:
            title = ", ".join(str(row[column]) for column in spec.columns) or of
            cells[title] = _percent(row, of, spec.digits)
        for of in spec.plain:
            cells[of] = f"{row[of]:,.0f}" if row[of] >= 1 else f"{row[of]:.3f}"
    columns = list(dict.fromkeys(title for cells in lines.values() for title in cells))
    table = [[*spec.lines, *columns]]
    for key, cells in lines.items():
        names = ["none" if value is None else str(value) for value in key]
        table.append([*names, *(cells.get(title, "") for title in columns)])
    return _markdown(table)


def _percent(row: dict, of: str, digits: int) -> str:
    value, spread = row[of], row.get(f"{of} sd")
    if isinstance(value, list):
        value, spread = value[-1], spread[-1]
    text = f"{round(100 * value, digits) + 0.0:.{digits}f}"  # + 0.0 turns -0.0 into 0.0
    return text if spread is None else f"{text} ± {100 * spread:.{digits}f}"


def claims_table(name: str) -> str:
    """Return the claims about an experiment, with their verdicts, as a Markdown table."""
    runs = read(name)["runs"]
    table = [["difference of", "claim", "points [95 % interval]", "n", "verdict"]]
    for text, of, first, second, claim, margin in CLAIMS[name]():
        gap = common.difference(runs, of, first, second)
        points = f"{100 * gap.mean:+.2f} [{100 * gap.low:.2f}, {100 * gap.high:.2f}]"
        limit = "" if claim in ("larger", "smaller") else f", margin {100 * margin:g}"
        line = [text, claim + limit, points, str(gap.n), gap.verdict(claim, margin)]
        table.append(line)
    return _markdown(table)


def _markdown(table: list[list[str]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in table]
    return "\n".join([lines[0], "|---" * len(table[0]) + "|", *lines[1:]]) + "\n"


def filled(text: str) -> str:
    """Return the text of a page with its marked tables made from the results."""
    tables = {"means": means_table, "claims": claims_table}
    return MARKED.sub(lambda m: m[1] + "\n" + tables[m[2]](m[3]) + "\n" + m[4], text)


def main() -> None:
    """Rewrite every page that has a marked table."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text("utf-8")
        if (new := filled(text)) != text:
            page.write_text(new, "utf-8")
            print(page.relative_to(DOCS.parent))


if __name__ == "__main__":
    main()
