"""Accuracy with nothing, a tenth or all of the filters of each block trained: 27 settings.

python examples/block_grid.py
python examples/block_grid.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

from functools import partial
from itertools import product

import filter_fractions
import groups
import lab
from lab import figures

PARTS = ("0", "0.1", "1")
BLOCKS = ("block 1", "block 2", "block 3")
SETTINGS = {
    "tiny": {**groups.SETTINGS["tiny"], "networks": groups.SMALL, "parts": ("0.1",)},
    "cpu": {**groups.SETTINGS["cpu"], "parts": PARTS},
    "long": {**groups.SETTINGS["long"], "networks": groups.SMALL, "parts": PARTS},
}
for budget in SETTINGS.values():
    del budget["groups"], budget["parts with and without batch norm"]


def named(*parts):
    """Return the arm that trains these parts of the three blocks."""
    return dict(zip(BLOCKS, parts, strict=True))


def arms(settings):
    return [named(*parts) for parts in product(settings["parts"], repeat=3)]


def selector(arm) -> str:
    trained = ["head()", "batch_norm()"]
    for block, part in arm.items():
        pattern = block.replace(" ", "") + "_*"
        if part == "1":
            trained.append(f"kernels().on('{pattern}')")
        elif part != "0":
            trained.append(f"conv_filters({part}).on('{pattern}')")
    return " | ".join(trained)


def run(arm, seed, run):
    ((name, params),) = run.settings["networks"].values()
    recipe = {"model": name, "params": params, **run.settings}

    def make(rate):
        model = filter_fractions.estimator(recipe, selector(arm), rate)
        return model.set_params(random_state=seed)

    return run.fit(arm, make, run.images(seed))[1]


def claims(settings):
    if len(settings["parts"]) < 3:
        return
    tenths, everything = named("0.1", "0.1", "0.1"), named("1", "1", "1")
    for i, block in enumerate(BLOCKS):
        alone = named(*("1" if k == i else "0" for k in range(3)))
        helped = named(*("1" if k == i else "0.1" for k in range(3)))
        without = named(*("0" if k == i else "1" for k in range(3)))
        yield lab.Claim(f"a tenth of every block − {block} alone", tenths, alone, "larger")
        text = f"{block} and a tenth of the others − {block} alone"
        yield lab.Claim(text, helped, alone, "larger")
        yield lab.Claim(f"all but {block} − everything", without, everything, "not smaller")


EXPERIMENT = lab.Experiment(
    name="block_grid",
    title="Which block deserves the trained filters?",
    claim=(
        "A few trained filters in every layer are worth more than one block that is trained as a "
        "whole, as the published accuracies of single blocks and of fractions suggest. Asked here: "
        "whether a block can stay random where the other two are trained."
    ),
    source=(
        "Rosenfeld and Tsotsos (2018), arXiv:1802.00844, Table 1 and Figure 1: single blocks, and "
        "one fraction for all of them. Mixed settings are not published."
    ),
    setting=(
        "Each of the three blocks is frozen at random values (0), has a tenth of the filters of "
        "its convolutions trained (0.1), or is trained as a whole (1). Head and batch "
        "normalization are trained in all arms; the first convolution is frozen in all."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(BLOCKS, plain=("parameters", "bytes", "cpu_seconds")),
    figure=partial(
        figures.cells,
        lines="block 2",
        columns="block 3",
        panels="block 1",
        span=None,
        titles="block 1: {}",
    ),
    published_setting={
        "networks": "DenseNet-BC-100-12, WRN-28-4",
        "train": "50,000",
        "epochs": "10",
    },
    published_source="Single blocks: see [groups](groups.md).",
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
