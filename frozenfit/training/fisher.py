"""The diagonal Fisher information of a network on its training data."""

from __future__ import annotations

import keras
import numpy as np

from frozenfit.selectors import everything
from frozenfit.training.base import Base
from frozenfit.training.data import Data
from frozenfit.training.network import Network
from frozenfit.training.objective import Objective, Task

_SAMPLES = 256


def diagonal_fisher(network: Network, base: Base, data: Data, task: Task) -> dict[str, np.ndarray]:
    """Average the squared gradient of each sample's loss, weight by weight.

    Parameters
    ----------
    network : Network
        A network of the base's structure.
    base : Base
        The values at which it is taken.
    data : Data
        Training samples; 256 spread evenly over them are used, which was enough in the
        method's source.
    task : {"classification", "multilabel", "regression"}
        Cross-entropy of classes or labels, or squared error.

    Returns
    -------
    dict of str to ndarray
        Weight path to its empirical Fisher information, of the weight's shape.

    Notes
    -----
    Sung, Nair and Raffel (2021), "Training Neural Networks with Fixed Sparse Masks" (FISH).
    """
    selection = everything().resolve(network.layout)
    compiled = network.compiled(base, selection)
    states = network.initial_states(base, 0)
    delta = compiled.weights.initial_delta(selection, network.values(base), states)
    compiled.load(base, selection, delta)
    trainer = compiled.trainer(keras.optimizers.SGD(), Objective(task))
    # Spread over the canonical order rather than drawn, so that the scores need no seed.
    chosen = np.unique(np.linspace(0, len(data) - 1, _SAMPLES).astype(int))
    sums: list[np.ndarray] | None = None
    for position in chosen:
        row = data.rows[position]
        x = data.inputs(row)[None]
        squares = [g**2 for g in trainer.gradients(x, data.y[row][None], np.ones(1, np.float32))]
        sums = squares if sums is None else [s + q for s, q in zip(sums, squares, strict=True)]
    assert sums is not None
    return {w.path: s / len(chosen) for w, s in zip(network.layout.weights, sums, strict=True)}
