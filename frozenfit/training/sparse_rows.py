"""Sparse samples, of which only the rows that are used become dense."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse


class SparseRows:
    """A sparse matrix that is indexed like an array and returns dense rows.

    Training and prediction read samples batch by batch, so that only a batch is dense at a time.

    Parameters
    ----------
    matrix : CSR matrix or array of shape (n_samples, n_features)
        The samples.

    Attributes
    ----------
    matrix : CSR matrix or array
        The same.
    shape : tuple of int
        Its shape.
    dtype : numpy.dtype
        Its dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from frozenfit.training.sparse_rows import SparseRows
    >>> rows = SparseRows(sparse.csr_array(np.eye(3)))
    >>> len(rows), rows[np.array([2, 0])].tolist()
    (3, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    """

    ndim = 2

    def __init__(self, matrix: Any):
        self.matrix = sparse.csr_array(matrix)
        self.shape: tuple[int, int] = matrix.shape
        self.dtype: np.dtype = matrix.dtype

    @property
    def size(self) -> int:
        """Number of entries, zeros included."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return samples as a dense array: one for an int, else those of a slice or index."""
        if isinstance(rows, int | np.integer):
            return self.matrix[[rows]].toarray()[0]
        return self.matrix[rows].toarray()
