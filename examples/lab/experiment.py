"""The declaration of an experiment, and its results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import statistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .runner import Run

# The factors of one arm, such as {"network": "lenet5", "frozen": "conv1"}.
Arm = dict[str, Any]
# One run: the factors of its arm, its seed, and what was measured.
Row = dict[str, Any]
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """A claimed relation of two arms, stated before the runs.

    `of` is the compared column, or one column for each arm; `margin` is in units of the column.
    """

    text: str
    first: Mapping[str, Any]
    second: Mapping[str, Any]
    relation: str
    of: str | tuple[str, str] = "accuracy"
    margin: float = 0.01

    def difference(self, rows: Sequence[Row]) -> statistics.Difference:
        """Compare the two arms over their common seeds."""
        columns = (self.of, self.of) if isinstance(self.of, str) else self.of
        values = [
            {row["seed"]: float(row[column]) for row in pick(rows, **arm)}
            for column, arm in zip(columns, (self.first, self.second), strict=True)
        ]
        return statistics.paired(*values)

    def verdict(self, rows: Sequence[Row]) -> str:
        """Judge the claim by the rule of `statistics.verdict`."""
        return statistics.verdict(self.difference(rows), self.relation, self.margin)


@dataclass(frozen=True)
class Published:
    """A published value: the arm that it belongs to, in the factors of this experiment."""

    arm: Mapping[str, Any]
    value: float
    of: str = "accuracy"


@dataclass(frozen=True)
class Table:
    """The table of means of a page.

    It has one line for each value of `lines`. With `columns`, it has one column for each value of
    these factors, with the first of `measures`; otherwise one column for each measure. Numbers of
    `measures` are shown in percent, and those of `plain` as they are.
    """

    lines: tuple[str, ...]
    measures: tuple[str, ...] = ("accuracy",)
    columns: tuple[str, ...] = ()
    plain: tuple[str, ...] = ("loss", "parameters", "bytes", "cpu_seconds")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment: what is claimed, how it is measured, and how it is shown.

    Parameters
    ----------
    name : str
        Name of the script, of the file with its records, and of its page.
    title : str
        The question.
    claim, source : str
        What is claimed or asked, and by whom.
    setting : str
        What the arms are, and what all of them have in common.
    settings : mapping from a budget to a mapping
        The settings of the budgets "tiny", "cpu", "long" and "gpu". Records carry them, and records
        of other settings are refused. "seeds" overrides the number of seeds of a budget whose runs
        take longer than a quarter of an hour each.
    arms : callable
        Receives the settings of a budget and returns the arms.
    run : callable
        Receives an arm, a seed and a `Run`, and returns what it measured.
    claims : callable
        Receives the settings and returns the claims.
    table : Table
    figure : callable
        Receives `Results` and returns a Matplotlib figure.
    published_setting : mapping, default={}
        The published value of each setting that differs here, by the name of the setting.
    published : sequence of Published, default=()
    published_source : str, default=""
        The table or figure that `published` comes from.
    remarks : str, default=""
        What a reader of the page has to know besides.
    seeds : int, default=5
        Number of seeds of all budgets but "tiny".
    """

    name: str
    title: str
    claim: str
    source: str
    setting: str
    settings: Mapping[str, Settings]
    arms: Callable[[Settings], Sequence[Arm]]
    run: Callable[[Arm, int, Run], Row]
    claims: Callable[[Settings], Iterable[Claim]]
    table: Table
    figure: Callable[[Results], Figure]
    published_setting: Mapping[str, str] = field(default_factory=dict)
    published: Sequence[Published] = ()
    published_source: str = ""
    remarks: str = ""
    seeds: int = 5


@dataclass(frozen=True)
class Results:
    """The runs of one budget of an experiment."""

    experiment: Experiment
    budget: str
    rows: Sequence[Row]

    @property
    def settings(self) -> Settings:
        """The settings of the budget."""
        return self.experiment.settings[self.budget]

    @property
    def n(self) -> str:
        """The number of runs of an arm, as text; a range where arms differ."""
        counts = {len(self.of(arm)) for arm in self.arms()}
        return str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"

    def arms(self) -> list[Arm]:
        """Return the arms that have runs, in the order of the declaration."""
        arms = self.experiment.arms(self.settings)
        return [arm for arm in arms if self.of(arm)]

    def of(self, arm: Arm) -> list[Row]:
        """Return the runs of an arm."""
        return pick(self.rows, **arm)

    def spread(self, arm: Mapping[str, Any], of: str) -> statistics.Spread:
        """Return mean and standard deviation of a column over the runs of an arm."""
        return statistics.spread([row[of] for row in pick(self.rows, **arm)])

    def claims(self) -> list[Claim]:
        """Return the claims of which both arms have been run at least twice."""
        claims = self.experiment.claims(self.settings)
        return [claim for claim in claims if claim.difference(self.rows).n > 1]


def pick(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    """Select the rows whose columns equal `wanted`."""
    return [row for row in rows if all(row.get(name) == wanted[name] for name in wanted)]
