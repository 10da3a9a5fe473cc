"""Random matrices of subspaces, against matrices written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops
from projection_reference import matrix

from frozenfit.projections import _hadamard, draw_projection, n_values, project
from frozenfit.utils.arrays import to_numpy

KINDS = ("dense", "sparse", "fastfood")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 6, 16, 40])
def test_a_product_is_that_of_the_matrix(kind, d):
    total = 45
    arrays = draw_projection(kind, d, total, seed=3)
    assert sum(array.size for array in arrays.values()) == n_values(kind, d, total)
    values = np.random.default_rng(0).normal(size=d).astype("float32")
    tensors = {name: ops.convert_to_tensor(array) for name, array in arrays.items()}
    found = to_numpy(project(kind, tensors, ops.convert_to_tensor(values), total))
    expected = matrix(kind, d, total, seed=3) @ values
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_have_unit_length(kind):
    exact = np.linalg.norm(matrix(kind, 13, 16 * 20, seed=0), axis=0)
    np.testing.assert_allclose(exact, 1, rtol=1e-5)
    # The second block of Fastfood, of 256 rows, is cut off after 44.
    nearly = np.linalg.norm(matrix(kind, 130, 300, seed=0), axis=0)
    np.testing.assert_allclose(nearly, 1, rtol=1 / np.sqrt(300) if kind == "fastfood" else 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_nearly_orthogonal_and_depend_on_the_seed(kind):
    first, second = (matrix(kind, 20, 4000, seed) for seed in (0, 1))
    # The cosine of two random directions has a standard deviation of 1 / sqrt(total).
    for products in (first.T @ first - np.eye(20), first.T @ second):
        assert np.abs(products).max() < 6 / np.sqrt(4000)
    np.testing.assert_array_equal(matrix(kind, 20, 4000, 0), first)


def test_columns_of_a_sparse_matrix_have_one_entry_in_each_part():
    whole = matrix("sparse", 30, 100, seed=0)
    assert ((whole != 0).reshape(10, 10, 30).sum(axis=1) == 1).all()
    np.testing.assert_allclose(np.abs(whole[whole != 0]), 1 / np.sqrt(10), rtol=1e-6)
    assert 0.3 < (whole[whole != 0] > 0).mean() < 0.7


@pytest.mark.parametrize("n", [1, 2, 4, 8, 32])
def test_the_transform_is_that_of_hadamard(n):
    rows = np.random.default_rng(0).normal(size=(3, n)).astype("float32")
    once = _hadamard(ops.convert_to_tensor(rows), 3, n)
    twice = to_numpy(_hadamard(once, 3, n)).reshape(3, n)
    np.testing.assert_allclose(twice, n * rows, rtol=1e-4, atol=1e-4)


def test_a_known_transform():
    row = ops.convert_to_tensor(np.array([[1, 0, 1, 0, 0, 1, 1, 0]], "float32"))
    assert to_numpy(_hadamard(row, 1, 8)).ravel().tolist() == [4, 2, 0, -2, 0, 2, 0, 2]
