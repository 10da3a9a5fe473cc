"""Fine-tuning MobileNetV2 of keras.applications: the head, batch norm, the last block, everything.

    python examples/mobilenet.py
    python examples/mobilenet.py --budget cpu --data-dir FOLDER --weights FILE --out FOLDER

Keras downloads the weights of ImageNet once (`--weights imagenet`). Offline, give the path of
`mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5`. Without `--weights` the
network starts random: the script then shows how the parts are selected and what they cost, and
nothing of transfer. `cpu` uses CIFAR-10, `tiny` digits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import common

from frozenfit import PartialNetClassifier

ARMS = {
    "head": "head()",
    "head, batch norm": "head() | batch_norm()",
    "head, last block": "head() | layers('block_16_*', 'Conv_1*')",
    "everything": "everything()",
}
SETTINGS = {
    "tiny": {"data": ("digits", 32, 32), "epochs": 1, "arms": ("head, last block",)},
    "cpu": {"data": ("cifar10", 2000, 1000), "epochs": 5, "arms": tuple(ARMS)},
}


# About a third of the usual width.
NETWORK = {"network": "MobileNetV2", "alpha": 0.35}


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    return common.over_seeds(rows, ("arm", "trainable", "bytes"), ("accuracy", "seconds"))


def main(given=None) -> list[common.Row]:
    weights = {"help": '"imagenet" or a file of weights (default: random)'}
    args = common.arguments(__doc__, given, (("--weights",), weights))
    if args.redraw:
        return common.redraw(args, "mobilenet", summarize, draw)
    budget = SETTINGS[args.budget]
    X, y, X_test, y_test = common.images(budget["data"][0], args, *budget["data"][1:])
    rows = []
    for arm, seed in common.each(args, budget["arms"], "mobilenet"):
        clf = PartialNetClassifier(
            "application",
            model_params={**NETWORK, "weights": args.weights},
            trainable=ARMS[arm],
            frozen="keep" if args.weights else "random",
            epochs=budget["epochs"],
            random_state=seed,
        )
        start = time.process_time()
        clf.fit(X, y)
        row = {"arm": arm, "seed": seed, "seconds": time.process_time() - start}
        row |= {"trainable": common.trainable(clf), "bytes": common.file_size(clf)}
        rows.append(row | {"accuracy": float(clf.score(X_test, y_test))})
    settings = {**budget, **NETWORK, "pretrained": args.weights is not None, "arms": ARMS}
    return common.finish(args, "mobilenet", settings, rows, summarize, draw)


def draw(results: dict):
    """Draw accuracy and time of each arm against the number of trained parameters."""
    figure, pictures = common.figure(2)
    for axes, name in zip(pictures, ("accuracy", "seconds"), strict=True):
        for row in results["summary"]:
            x, value, sd = row["trainable"], row[name], row[f"{name} sd"]
            axes.errorbar(x, value, yerr=sd, capsize=3, marker="o", label=row["arm"])
        axes.set(xscale="log", xlabel="trained parameters", ylabel=name)
        axes.grid(alpha=0.25)
    pictures[0].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main()
