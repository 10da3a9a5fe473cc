"""LeNet-5 on MNIST with less and less of it learned.

python benchmarks/mnist.py --data-dir TFDS_FOLDER
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

import frozenfit
from frozenfit import PartialNetClassifier

SETTINGS = {
    "everything()": {},
    "0.4": {},
    "0.1": {},
    "filters(0.1) | head()": {},
    "batch_norm() | head()": {"batch_norm": True},
    "head()": {},
}


def main() -> None:
    """Train each setting and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    data = frozenfit.datasets.load("mnist", data_dir=args.data_dir)
    print("| learned | entries | frozen | test accuracy | CPU s | file bytes | slots |")
    print("|---" * 7 + "|")
    for trainable, params in SETTINGS.items():
        value = float(trainable) if trainable[0] == "0" else trainable
        model = PartialNetClassifier(
            "lenet5",
            model_params=params,
            trainable=value,
            epochs=args.epochs,
            random_state=0,
            warm_start=True,
        )
        start = time.process_time()
        model.fit(data.X_train, data.y_train)
        seconds = time.process_time() - start
        accuracy = model.score(data.X_test, data.y_test)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.frozenfit")
            frozenfit.save(model, path)
            size = os.path.getsize(path)
        count = sum(row.trainable for row in model.parameter_table())
        optimizer_state = sum(slot.size for slot in model._optimizer_state)
        print(
            f"| `{trainable}` | {count:,} | {model.freeze_fraction_:.3f} | {accuracy:.4f} "
            f"| {seconds:.0f} | {size:,} | {optimizer_state:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
