"""The arms of the plans: what is trained, on which network, for how long."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

NORMS = "batch_norm()"


class OutOfTime(Exception):
    """Raised after an epoch where the next one would not end in time."""


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained: that of the reference implementation of the paper.

    The learning rate is multiplied by `factor` after each of the fractions `steps` of the run.
    """

    params: dict[str, Any]
    batch_size: int = 128
    weight_decay: float = 5e-4
    learning_rate: float = 0.1
    steps: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1


# https://github.com/bearpaw/pytorch-classification, TRAINING.md: 200 epochs with steps after 60,
# 120 and 160 for wide residual networks, 300 with steps after 150 and 225 for DenseNet. Runs of 10
# epochs take the steps at the same fractions.
WIDE = {"steps": (0.3, 0.6, 0.8), "factor": 0.2}
NETWORKS = {
    "wrn-28-4": Recipe({"family": "wide_resnet", "depth": 28, "width": 4}, **WIDE),
    "wrn-28-10": Recipe({"family": "wide_resnet", "depth": 28, "width": 10}, **WIDE),
    "wrn-28-10-dropout": Recipe(
        {"family": "wide_resnet", "depth": 28, "width": 10, "dropout": 0.3}, **WIDE
    ),
    "densenet-bc-100-12": Recipe(
        {"family": "densenet", "depth": 100, "growth": 12}, batch_size=64, weight_decay=1e-4
    ),
    "vgg19-bn": Recipe({"family": "vgg19"}),
    "vgg19": Recipe({"family": "vgg19", "batch_norm": False}),
    # Without batch normalization the reference implementation starts lower.
    "alexnet": Recipe({"family": "alexnet"}, learning_rate=0.01),
    "transformer": Recipe({"family": "transformer"}),
}
# The same families, for seconds on a CPU.
TINY = {
    "wrn-28-4": {"family": "wide_resnet", "depth": 10, "width": 1},
    "wrn-28-10": {"family": "wide_resnet", "depth": 10, "width": 1},
    "wrn-28-10-dropout": {"family": "wide_resnet", "depth": 10, "width": 1, "dropout": 0.3},
    "densenet-bc-100-12": {"family": "densenet", "depth": 10, "growth": 4},
    "transformer": {"family": "transformer", "depth": 1, "width": 16, "heads": 2},
}


@dataclass(frozen=True)
class Arm:
    """One line of a plan.

    `epochs` is 0 where steps are timed and nothing is learned.
    """

    plan: str
    network: str
    trainable: str
    frozen: str = "random"
    epochs: int = 0
    seed: int = 0

    @property
    def name(self) -> str:
        """The key of the arm in the records."""
        parts = self.plan, self.network, self.trainable, self.frozen, f"{self.epochs} epochs"
        return " / ".join((*parts, f"seed {self.seed}"))

    def about(self) -> dict[str, Any]:
        """Return the settings for a record."""
        return {"arm": self.name, **asdict(self)}


def _speed(seed: int) -> list[Arm]:
    parts = [("everything()", "random")]
    for frozen in ("random", "zero"):
        parts += [(f"filters({p}) | head() | norms()", frozen) for p in (0.4, 0.1)]
    parts += [("inputs(0.1) | head() | norms()", "random"), ("head()", "random")]
    networks = "wrn-28-4", "wrn-28-10", "densenet-bc-100-12", "transformer"
    return [Arm("speed", net, *part, seed=seed) for net in networks for part in parts]


def _table1(seed: int) -> list[Arm]:
    blocks = [f"kernels().on('block{i}_*') | {NORMS}" for i in (1, 2, 3)]
    parts = [NORMS, f"layers('conv1') | {NORMS}", *blocks, f"head() | {NORMS}", "everything()"]
    networks = "wrn-28-4", "densenet-bc-100-12"
    return [Arm("table1", net, part, epochs=10, seed=seed) for net in networks for part in parts]


def _fig1(seed: int) -> list[Arm]:
    arms = []
    for net in ("wrn-28-4", "densenet-bc-100-12", "vgg19-bn", "vgg19", "alexnet"):
        norms = f" | {NORMS}" if net not in ("vgg19", "alexnet") else ""
        for part in (0.1, 0.4, 0.7, 1, 5, 10, 0.07, 0.08, 0.09):
            # The published counts round a fraction down, to 0 filters of a small layer.
            least = ", min_filters=0" if isinstance(part, float) else ""
            selector = f"conv_filters({part}{least}) | head(){norms}"
            arms += [Arm("fig1", net, selector, f, 10, seed) for f in ("random", "zero")]
        arms.append(Arm("fig1", net, "everything()", epochs=10, seed=seed))
    return arms


def _fig2(seed: int) -> list[Arm]:
    slices = "conv_filters({})", "inputs({}).on('*conv*')", "rows({})", "columns({})"
    return [
        Arm("fig2", "densenet-bc-100-12", f"{s.format(p)} | head() | {NORMS}", "random", 1, seed)
        for p in (0.1, 0.4, 0.7, 1, 5, 10, 0.07, 0.08, 0.09)
        for s in slices
    ]


def _table2(seed: int) -> list[Arm]:
    arms = []
    for net, epochs in (("densenet-bc-100-12", 300), ("wrn-28-10-dropout", 200)):
        for frozen in ("random", "zero"):
            for part in (0.1, 0.4):
                selector = f"conv_filters({part}, min_filters=0) | head() | {NORMS}"
                arms.append(Arm("table2", net, selector, frozen, epochs, seed))
        arms.append(Arm("table2", net, "everything()", "random", epochs, seed))
    return arms


PLANS = {"speed": _speed, "table1": _table1, "fig1": _fig1, "fig2": _fig2, "table2": _table2}
# The positions of a few arms that differ most, for seconds on a CPU.
_TINY_ARMS = {"speed": (4, 26), "table1": (3,), "fig1": (1,), "fig2": (1,), "table2": (5,)}


def arms(plan: str, seeds: int, tiny: bool) -> list[Arm]:
    """Return the arms of a plan in the order in which they are run: all of one seed first."""
    listed = [arm for seed in range(seeds) for arm in PLANS[plan](seed)]
    if not tiny:
        return listed
    return [replace(listed[i], epochs=min(listed[i].epochs, 2)) for i in _TINY_ARMS[plan]]


def recipe(arm: Arm, tiny: bool) -> Recipe:
    """Return the recipe of an arm's network."""
    found = NETWORKS[arm.network]
    return replace(found, params=TINY[arm.network], batch_size=16) if tiny else found
