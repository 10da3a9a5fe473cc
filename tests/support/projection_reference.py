"""The random matrices of subspaces, written out from their definitions in NumPy."""

from __future__ import annotations

import numpy as np
from scipy.linalg import hadamard

from frozenfit.projections import draw_projection


def matrix(kind: str, d: int, total: int, seed: int) -> np.ndarray:
    """Return the whole matrix, of shape (total, d) and in float64."""
    arrays = draw_projection(kind, d, total, seed)
    if kind == "dense":
        return arrays["directions"].T.astype(np.float64)
    if kind == "sparse":
        whole = np.zeros((total, d))
        rows = arrays["rows"].reshape(d, -1)
        for column in range(d):
            whole[rows[column], column] = arrays["values"][column]
        return whole
    blocks, n = arrays["signs"].shape
    order = arrays["order"].reshape(blocks, n) - n * np.arange(blocks)[:, None]
    h = hadamard(n).astype(np.float64)
    parts = [
        h @ np.diag(arrays["gains"][i]) @ np.eye(n)[order[i]] @ h @ np.diag(arrays["signs"][i])
        for i in range(blocks)
    ]
    return np.concatenate(parts)[:total, :d]
