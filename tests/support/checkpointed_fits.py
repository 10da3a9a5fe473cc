"""Fits with a checkpoint, which a process can be killed in; run as a script, it does one of them.

The arguments of the script are the name of a fit, the path of its checkpoint, and the number of the
epoch in which the process kills itself, or 0.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import keras
import numpy as np
from estimator_data import classifier, images, regressor, small_cnn, table, targets, whole

import frozenfit
from frozenfit.training.data import Data
from frozenfit.training.streamed import StreamedData


def _dropout(checkpoint):
    network = {"model": cnn_with_dropout, "trainable": 0.5}
    stops = {"early_stopping": True, "patience": 3, "validation_fraction": 0.3}
    return classifier(**network, **stops, epochs=8, checkpoint=checkpoint), images(30)


def cnn_with_dropout(input_shape, n_outputs):
    return small_cnn(input_shape, n_outputs, dropout=0.3)


def _freezing(checkpoint):
    settings = {"model_params": {"hidden_layer_sizes": (8, 8)}, "trainable": 1.0, "epochs": 8}
    return classifier(freeze_schedule="FreezeOut(0.3)", checkpoint=checkpoint, **settings), table()


def _unfreezing(checkpoint):
    settings = {"model_params": {"hidden_layer_sizes": (8, 8)}, "trainable": 1.0, "epochs": 8}
    schedule = "GradualUnfreeze(3)"
    return classifier(freeze_schedule=schedule, checkpoint=checkpoint, **settings), table()


def _schedule(checkpoint):
    decay = keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.8)
    settings = {"optimizer": keras.optimizers.SGD(decay, momentum=0.9), "epochs": 5}
    augment = [keras.layers.RandomFlip("horizontal")]
    network = {"model": small_cnn, "trainable": 0.5, "augment": augment}
    return classifier(**network, **settings, checkpoint=checkpoint), images()


def _averaged(checkpoint):
    X, y = targets(40)
    # The loss on opposite targets rises from the first epoch on, which therefore is the best.
    held = X[:10], 2 * y.mean() - y[:10]
    settings = {"optimizer": keras.optimizers.Adam(use_ema=True), "early_stopping": True}
    estimator = regressor(**settings, patience=4, epochs=9, checkpoint=checkpoint)
    return estimator, (X[10:], y[10:], None, *held)


def _many_steps(checkpoint):
    return classifier(batch_size=2, epochs=6, checkpoint=checkpoint), table()


def _kernel_forms(checkpoint):
    part = "lora(1).on('dense1') | supermask().on('dense2') | head()"
    settings = {"model_params": {"hidden_layer_sizes": (8, 8)}, "epochs": 5}
    return classifier(trainable=part, checkpoint=checkpoint, **settings), table()


def _ensemble(checkpoint):
    member = classifier(epochs=3, checkpoint=checkpoint)
    # With a checkpoint, members are trained one after the other; the reference must be, too.
    settings = {"n_estimators": 3, "vectorize": False, "random_state": 0}
    return frozenfit.CheapEnsembleClassifier(member, **settings), table()


# Each returns an unfitted estimator and the arguments of `fit`.
FITS: dict[str, Callable] = {
    "dropout": _dropout,
    "freezing": _freezing,
    "unfreezing": _unfreezing,
    "schedule": _schedule,
    "averaged": _averaged,
    "kernel forms": _kernel_forms,
    "many steps": _many_steps,
    "ensemble": _ensemble,
}


@contextmanager
def counted_epochs(at: int = 0, then: Callable | None = None) -> Iterator[list[int]]:
    """Count the epochs that are trained, and call a function in the middle of one of them."""
    begun = [0]

    def counted(original):
        def stacks(*args, **kwargs):
            begun[0] += 1
            for batch in original(*args, **kwargs):
                yield batch
                # The steps of these batches have been taken.
                if then is not None and begun[0] == at:
                    then()

        return stacks

    with patch.object(Data, "stacks", counted(Data.stacks)):
        with patch.object(StreamedData, "stacks", counted(StreamedData.stacks)):
            yield begun


def weights_digest(estimator) -> str:
    """Return a digest of the bits of all weights and of the losses of all epochs."""
    sha = hashlib.sha256()
    for part in getattr(estimator, "estimators_", [estimator]):
        for path, value in sorted(whole(part).items()):
            sha.update(path.encode() + np.ascontiguousarray(value).tobytes())
        sha.update(np.asarray(part.history_["loss"]).tobytes())
    return sha.hexdigest()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    name, path, epoch = sys.argv[1:]
    estimator, data = FITS[name](path)
    with counted_epochs(int(epoch), _kill):
        estimator.fit(*data)
    print(weights_digest(estimator))
