"""Train single groups of layers, and fractions of filters with and without batch norm.

python examples/groups.py
python examples/groups.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

from functools import partial

import filter_fractions
import lab
from lab import figures

from frozenfit import PartialNetClassifier

GROUPS = {
    "batch norm": "batch_norm()",
    "conv1": "layers('conv1') | batch_norm()",
    "block1": "kernels().on('block1_*') | batch_norm()",
    "block2": "kernels().on('block2_*') | batch_norm()",
    "block3": "kernels().on('block3_*') | batch_norm()",
    "head": "head() | batch_norm()",
    "everything": "everything()",
}
PARTS = (1, 0.1, 0.4, 0.7)
# Top-1 on CIFAR-10 after 10 epochs of all 50,000 images, DenseNet-BC-100-12 and WRN-28-4.
PUBLISHED = {
    "densenet": (0.6085, 0.6476, 0.7302, 0.7295, 0.7633, 0.6863),
    "wide_resnet": (0.302, 0.3093, 0.6119, 0.7632, 0.7431, 0.3703),
}
SMALL = {"wide_resnet": ("wide_resnet", {"depth": 16, "width": 1})}
ADAM = {"optimizer": "adam", "batch_size": 32, "rates": (0.006,)}
SETTINGS = {
    "tiny": {
        "networks": {"densenet": ("mlp", {"hidden_layer_sizes": (20,)})},
        "data": "digits",
        "train": 200,
        "test": 100,
        "epochs": 1,
        **ADAM,
    },
    "cpu": {
        "networks": SMALL,
        "data": "cifar10",
        "train": 2000,
        "test": 4000,
        "shrink": 2,
        "epochs": 4,
        **ADAM,
    },
    "long": {
        "networks": {"densenet": ("densenet", {"depth": 22, "growth": 12}), **SMALL},
        "data": "cifar10",
        "train": 50000,
        "test": 10000,
        "epochs": 10,
        **filter_fractions.PUBLISHED,
        "seeds": 3,
    },
    "gpu": {
        "networks": {
            "densenet": ("densenet", {"depth": 100, "growth": 12}),
            "wide_resnet": ("wide_resnet", {"depth": 28, "width": 4}),
        },
        "data": "cifar10",
        "train": 50000,
        "test": 10000,
        "epochs": 10,
        **filter_fractions.PUBLISHED,
    },
}
for name, budget in SETTINGS.items():
    budget["groups"] = ("head",) if name == "tiny" else tuple(GROUPS)
    parts = {"tiny": (), "cpu": (0.1, 0.4)}.get(name, PARTS)
    budget["parts with and without batch norm"] = parts


def arms(settings):
    listed = [
        {"network": network, "trained": group}
        for network in settings["networks"]
        for group in settings["groups"]
    ]
    for part in settings["parts with and without batch norm"]:
        listed.append({"network": "wide_resnet", "trained": f"{part}, batch norm trained"})
        listed.append({"network": "wide_resnet", "trained": f"{part}, batch norm frozen"})
    return listed


def selector(trained: str) -> str:
    if trained in GROUPS:
        return GROUPS[trained]
    part, _, rest = trained.partition(", ")
    filters = f"conv_filters({part}) | head()"
    return filters if rest.endswith("frozen") else f"{filters} | batch_norm()"


def run(arm, seed, run):
    settings = run.settings
    network, params = settings["networks"][arm["network"]]

    def make(rate):
        return PartialNetClassifier(
            network,
            model_params=params,
            trainable="head()" if network == "mlp" else selector(arm["trained"]),
            epochs=settings["epochs"],
            batch_size=settings["batch_size"],
            weight_decay=settings.get("weight_decay", 0.0),
            lr_schedule=settings.get("lr_schedule", "cosine"),
            augment=settings.get("augment"),
            random_state=seed,
            **filter_fractions.optimizer(settings, rate),
        )

    return run.fit(arm, make, run.images(seed))[1]


def claims(settings):
    for network in settings["networks"]:
        for a, b, relation in (
            ("block2", "head", "larger"),
            ("block3", "head", "larger"),
            ("block3", "block2", "larger" if network == "densenet" else "smaller"),
            ("head", "batch norm", "larger"),
        ):
            arms = [{"network": network, "trained": name} for name in (a, b)]
            yield lab.Claim(f"{network}: {a} − {b}", *arms, relation)
    for part in settings["parts with and without batch norm"]:
        relation = "larger" if part == 1 or part <= 0.1 else "equal"
        names = [f"{part}, batch norm {state}" for state in ("trained", "frozen")]
        arms = [{"network": "wide_resnet", "trained": name} for name in names]
        yield lab.Claim(f"wide_resnet, {part}: batch norm trained − frozen", *arms, relation)


EXPERIMENT = lab.Experiment(
    name="groups",
    title="Which group of layers is worth training?",
    claim=(
        "With one group of layers trained, and the scales and offsets of all batch normalizations, "
        "a middle block gives a higher accuracy than the head. Scales and offsets matter where few "
        "filters are trained, and little from four tenths on."
    ),
    source="Rosenfeld and Tsotsos (2018), arXiv:1802.00844, Table 1 and Figure 4.",
    setting=(
        "A block has all kernels of its name, shortcuts included. Frozen batch normalizations keep "
        "a scale of 1 and an offset of 0 and normalize as the others do. Each block has two units "
        "or more."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("network", "trained"), plain=("parameters", "bytes", "cpu_seconds")),
    figure=partial(figures.dots, lines="trained", series="network", chance=0.1, width=6.5),
    published_setting={
        "networks": "DenseNet-BC-100-12, WRN-28-4",
        **{
            name: value
            for name, value in filter_fractions.EXPERIMENT.published_setting.items()
            if name != "networks"
        },
        "epochs": "10",
    },
    published=[
        lab.Published({"network": network, "trained": group}, value)
        for network, values in PUBLISHED.items()
        for group, value in zip(GROUPS, values, strict=False)
    ],
    published_source="Table 1: DenseNet-BC-100-12 and WRN-28-4 after ten epochs of 50,000 images.",
    remarks=("The grid of all 27 settings of three blocks is not measured yet."),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
