"""Fine-tuning MobileNetV2 of keras.applications: the head, batch norm, the last block, everything.

    python examples/mobilenet.py
    python examples/mobilenet.py --budget cpu --data-dir FOLDER --weights FILE

Keras downloads the weights of ImageNet once (`--weights imagenet`). Offline, give the path of
`mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5`. Without `--weights` the
network starts random: the script then shows how the parts are selected and what they cost, and
nothing of transfer. `cpu` uses CIFAR-10, `tiny` digits.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from lab import measure
from lab.data import images

from frozenfit import PartialNetClassifier

ARMS = {
    "head": "head()",
    "head, batch norm": "head() | batch_norm()",
    "head, last block": "head() | layers('block_16_*', 'Conv_1*')",
    "everything": "everything()",
}
BUDGETS = {
    "tiny": {"data": ("digits", 0, 32, 32), "epochs": 1, "arms": ("head, last block",)},
    "cpu": {"data": ("cifar10", 0, 2000, 1000), "epochs": 5, "arms": tuple(ARMS)},
}


def main(given=None) -> list[dict]:
    """Print accuracy, seconds, trained parameters and bytes of each arm."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--budget", choices=BUDGETS, default="tiny")
    parser.add_argument("--data-dir", type=Path, help="folder of tensorflow-datasets")
    parser.add_argument("--weights", help='"imagenet" or a file of weights (default: random)')
    args = parser.parse_args(given)
    budget = BUDGETS[args.budget]
    data = images(*budget["data"], folder=args.data_dir)
    rows = []
    print("| trained | accuracy | CPU seconds | parameters | bytes |\n|---|---|---|---|---|")
    for arm in budget["arms"]:
        clf = PartialNetClassifier(
            "application",
            # About a third of the usual width.
            model_params={"network": "MobileNetV2", "alpha": 0.35, "weights": args.weights},
            trainable=ARMS[arm],
            frozen="keep" if args.weights else "random",
            epochs=budget["epochs"],
            random_state=0,
        )
        start = time.process_time()
        clf.fit(data.X, data.y)
        rows.append({"arm": arm, "seconds": time.process_time() - start, **measure(clf, data)})
        accuracy, seconds, count, size = (
            rows[-1][name] for name in ("accuracy", "seconds", "parameters", "bytes")
        )
        print(f"| {arm} | {accuracy:.3f} | {seconds:.1f} | {count:,} | {size:,} |", flush=True)
    return rows


if __name__ == "__main__":
    main()
