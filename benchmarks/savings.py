"""What freezing saves: CPU time of fits in which a part is trained, against others.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    export XLA_FLAGS=--xla_cpu_multi_thread_eigen=false
    KERAS_BACKEND=jax python benchmarks/savings.py [--rows filters inputs] [--rounds 5]

Each row compares fits in turns, after compilation unless it says otherwise, in one process. It
prints the ratio of the medians: below 1, the first fit is cheaper.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from unittest import mock

import keras
import numpy as np
from keras import layers as kl
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from frozenfit import (
    CheapEnsembleClassifier,
    FreezeOut,
    LayerwiseRates,
    PartialNetClassifier,
    clear_workspace,
)
from frozenfit.search import FreezeSearchCV
from frozenfit.training import shared_features

NORMS = "head() | batch_norm()"
# Batches of one shape that torch takes before it records a step.
WARM_UP = {"torch": 80}
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Fit = Callable[[], object]


def stack_of_convolutions(input_shape, n_outputs) -> keras.Model:
    """Build eight convolutions of 48 channels with batch normalization."""
    parts: list[keras.Layer] = []
    for _ in range(8):
        parts += [kl.Conv2D(48, 3, padding="same", use_bias=False)]
        parts += [kl.BatchNormalization(), kl.ReLU()]
    ends = [kl.GlobalAveragePooling2D(), kl.Dense(n_outputs)]
    return keras.Sequential([keras.Input(input_shape), *parts, *ends])


def images(rows: int, size: int, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return random images of ten classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, size, size, channels)).astype("float32"), np.arange(rows) % 10


def table(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random rows of ten classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, columns)).astype("float32"), np.arange(rows) % 10


def network(model, trainable, **params) -> PartialNetClassifier:
    """Return an estimator that trains one epoch and continues at the next fit."""
    params = {"epochs": 1, "batch_size": 64, "frozen": "random", "random_state": 0, **params}
    return PartialNetClassifier(model, trainable=trainable, **params)


def epochs_of(data, *estimators: PartialNetClassifier, records: bool = True) -> list[Fit]:
    """Return the fits of estimators, after steps enough for what the backend prepares.

    Without `records`, torch takes plain steps: those of large networks cost no less when they are
    recorded, and a hundred of them take minutes.
    """
    X, y = data
    for estimator in estimators:
        epochs = estimator.epochs
        warm_up = WARM_UP.get(keras.config.backend(), 1) if records else 1
        steps = epochs * -(-len(X) // estimator.batch_size)
        # All phases of a schedule are compiled before, which only a whole fit does.
        has_phases = estimator.freeze_schedule is not None
        first = epochs if has_phases else max(1, -(-epochs * warm_up // steps))
        estimator.set_params(epochs=first).fit(X, y)
        estimator.set_params(epochs=epochs)
    return [lambda e=e: e.fit(X, y) for e in estimators]


def filters() -> list[Fit]:
    """Compare a tenth of the filters with everything: 8 x 48 convolutions."""
    arms = [network(stack_of_convolutions, t) for t in (f"filters(0.1) | {NORMS}", 1.0)]
    return epochs_of(images(256, 16), *arms)


def inputs() -> list[Fit]:
    """Compare a tenth of the input channels with everything: 8 x 48 convolutions."""
    arms = [network(stack_of_convolutions, t) for t in (f"inputs(0.1) | {NORMS}", 1.0)]
    return epochs_of(images(256, 16), *arms)


def bound() -> list[Fit]:
    """Compare no kernel but the head's with everything: what no slice can be cheaper than."""
    arms = [network(stack_of_convolutions, t) for t in (NORMS, 1.0)]
    return epochs_of(images(256, 16), *arms)


def half() -> list[Fit]:
    """Compare half of the filters with everything: 8 x 48 convolutions."""
    arms = [network(stack_of_convolutions, t) for t in (f"filters(0.5) | {NORMS}", 1.0)]
    return epochs_of(images(256, 16), *arms)


def zero() -> list[Fit]:
    """Compare 40 % of the filters, all others zero, with everything: 8 x 48 convolutions."""
    part = network(stack_of_convolutions, f"filters(0.4) | {NORMS}", frozen="zero")
    return epochs_of(images(256, 16), part, network(stack_of_convolutions, 1.0))


def wide_resnet() -> list[Fit]:
    """Compare a tenth of the filters with everything: WRN-16-4, 32 x 32."""
    params = {"model_params": {"depth": 16, "width": 4}}
    arms = [network("wide_resnet", t, **params) for t in (0.1, 1.0)]
    return epochs_of(images(64, 32), *arms, records=False)


def dense() -> list[Fit]:
    """Compare a tenth of the units with everything: three layers of 1,024 units."""
    params = {"model_params": {"hidden_layer_sizes": (1024, 1024, 1024)}}
    arms = [network("mlp", t, **params) for t in (0.1, 1.0)]
    return epochs_of(table(2048, 256), *arms)


def convolutions_by(fraction: float) -> list[Fit]:
    """Compare a fraction of the filters with everything: 8 x 48 convolutions."""
    arms = [network(stack_of_convolutions, t) for t in (f"filters({fraction}) | {NORMS}", 1.0)]
    return epochs_of(images(256, 16), *arms, records=False)


def dense_by(fraction: float) -> list[Fit]:
    """Compare a fraction of the units with everything: three layers of 1,024 units."""
    params = {"model_params": {"hidden_layer_sizes": (1024, 1024, 1024)}}
    arms = [network("mlp", t, **params) for t in (fraction, 1.0)]
    return epochs_of(table(1024, 256), *arms, records=False)


def freeze_out(start: float, compiled: bool = True) -> list[Fit]:
    """Compare FreezeOut with none: 8 x 48 convolutions, 10 epochs, with or without compilation."""
    params = {"epochs": 10, "freeze_statistics": True}
    plain = network(stack_of_convolutions, 1.0, **params)
    frozen = network(
        stack_of_convolutions, 1.0, freeze_schedule=FreezeOut(start), learning_rate=0.001, **params
    )
    X, y = images(128, 16)
    if compiled:
        return epochs_of((X, y), frozen, plain, records=False)

    def from_the_start(estimator):
        clear_workspace()
        estimator.fit(X, y)

    return [lambda: from_the_start(frozen), lambda: from_the_start(plain)]


def layerwise() -> list[Fit]:
    """Compare a rate per layer with one rate: ResNet-8, 16 x 16."""
    params = {"model_params": {"depth": 8}, "refresh_statistics": False}
    arms = [network("resnet", 1.0, freeze_schedule=s, **params) for s in (LayerwiseRates(), None)]
    return epochs_of(images(512, 16), *arms, records=False)


def members(width: int, epochs: int = 5) -> list[Fit]:
    """Compare an ensemble of 8 with 8 separate fits: two hidden layers, compilation counted."""
    X, y = table(2000, 40)
    params = {"model_params": {"hidden_layer_sizes": (width, width)}, "epochs": epochs}

    def together():
        clear_workspace()
        CheapEnsembleClassifier(
            network("mlp", 0.1, **params), n_estimators=8, base="frozen", random_state=0
        ).fit(X, y)

    def apart():
        clear_workspace()
        for seed in range(8):
            network("mlp", 0.1, **{**params, "random_state": seed}).fit(X, y)

    return [together, apart]


def shared_prefix() -> list[Fit]:
    """Compare 5 members that train the head with 5 separate fits: ResNet-8, 10 epochs."""
    X, y = images(500, 32)
    # Statistics that are not updated, since they would depend on the batches.
    params = {"model_params": {"depth": 8}, "epochs": 10, "freeze_statistics": True}
    one = network("resnet", "head()", **params)
    ensemble = CheapEnsembleClassifier(one, n_estimators=5, base="frozen", random_state=0)

    def apart():
        for _ in range(5):
            one.fit(X, y)

    ensemble.fit(X, y)
    apart()
    return [lambda: ensemble.fit(X, y), apart]


def search(cached: bool = True) -> list[Fit]:
    """Compare a search of 20 trials over head and last block with one that shares no features.

    Without `cached`, the fits of the other compute the frozen layers in every epoch.
    """
    X, y = images(300, 32)
    params = {"model_params": {"depth": 8}, "epochs": 5, "freeze_statistics": True}
    one = network("resnet", "head()", **params)

    def space(trial, _):
        part = trial.suggest_categorical("trainable", ["head()", "block('block3') | head()"])
        return {"trainable": part, "learning_rate": trial.suggest_float("rate", 0.001, 0.01)}

    def run(estimator=one):
        search = FreezeSearchCV(
            estimator, space=space, n_trials=20, cv=3, refit=False, random_state=0
        )
        search.fit(X, y)

    def apart():
        estimator = clone(one).set_params(cache_features="auto" if cached else False)
        with mock.patch.object(shared_features, "is_sharing", return_value=False):
            run(estimator)

    run()
    return [run, apart]


def digits(optimizer: str) -> list[Fit]:
    """Compare an mlp of 100 units with MLPClassifier: digits, 30 epochs."""
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype("float32")
    ours = PartialNetClassifier(
        model_params={"hidden_layer_sizes": (100,)},
        trainable=1.0,
        epochs=30,
        batch_size=32,
        optimizer=keras.optimizers.SGD(0.01, momentum=0.9) if optimizer == "sgd" else "adam",
        random_state=0,
    )
    peer = MLPClassifier(
        (100,),
        solver=optimizer,
        learning_rate_init=0.01,
        batch_size=32,
        max_iter=30,
        tol=0.0,
        n_iter_no_change=100,
        nesterovs_momentum=False,
        random_state=0,
    )
    ours.fit(X, y)
    return [lambda: ours.fit(X, y), lambda: peer.fit(X, y)]


ROWS: dict[str, Callable[[], list[Fit]]] = {
    "bound": bound,
    "filters": filters,
    "inputs": inputs,
    "half": half,
    "zero": zero,
    "wide_resnet": wide_resnet,
    "dense": dense,
    **{f"filters {f}": partial(convolutions_by, f) for f in FRACTIONS},
    **{f"dense {f}": partial(dense_by, f) for f in FRACTIONS},
    "freeze_out .5": lambda: freeze_out(0.5),
    "freeze_out .8": lambda: freeze_out(0.8),
    "freeze_out .5, compiled": lambda: freeze_out(0.5, compiled=False),
    "layerwise": layerwise,
    "members": lambda: members(256),
    "members 64": lambda: members(64),
    "members 64, 30 epochs": lambda: members(64, 30),
    "shared_prefix": shared_prefix,
    "search": search,
    "search, features in every epoch": lambda: search(cached=False),
    "digits adam": lambda: digits("adam"),
    "digits sgd": lambda: digits("sgd"),
}


def cpu_seconds(fit: Fit) -> float:
    """Return the CPU time of a fit."""
    start = time.process_time()
    fit()
    return time.process_time() - start


def main() -> None:
    """Print the table of one backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"| {keras.config.backend()} | first, s | second, s | ratio |")
    print("|---|---|---|---|")
    for row in args.rows:
        fits = ROWS[row]()
        times = np.median([[cpu_seconds(f) for f in fits] for _ in range(args.rounds)], axis=0)
        print(
            f"| {row} | {times[0]:.2f} | {times[1]:.2f} | {times[0] / times[1]:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
