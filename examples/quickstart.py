"""Train a tenth of a small convolutional network on digits, score it and save it.

bash examples/quickstart.sh        # creates a virtual environment first
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import frozenfit


def main() -> None:
    """Train, print the table of trained parameters, save, load and compare predictions."""
    digits = frozenfit.datasets.load("digits")
    clf = frozenfit.PartialNetClassifier(
        "resnet", model_params={"depth": 8}, trainable=0.1, epochs=20, random_state=0, verbose=1
    )
    clf.fit(digits.X_train, digits.y_train)

    print(clf.parameter_table())
    print(f"test accuracy    {clf.score(digits.X_test, digits.y_test):.3f}")
    print(f"freeze fraction  {clf.freeze_fraction_:.3f}")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.frozenfit"
        frozenfit.save(clf, path)
        full = 4 * clf.parameter_table().total
        print(f"saved size       {path.stat().st_size:,} bytes ({full:,} for all weights)")
        same = (frozenfit.load(path).predict(digits.X_test) == clf.predict(digits.X_test)).all()
        print(f"loaded again     {'the same predictions' if same else 'other predictions!'}")


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    main()
