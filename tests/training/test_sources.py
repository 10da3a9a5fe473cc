"""Sources of batches: what is one, its batches, and stacks of them for training."""

from __future__ import annotations

import subprocess
import sys
import threading

import keras
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from frozenfit.training.data import Data, batches, distinct
from frozenfit.training.sources import as_source, checked, regrouped
from frozenfit.training.streamed import StreamedData

X = np.arange(24, dtype="float32").reshape(12, 2)
Y = np.arange(12, dtype="int32") % 3


class Dataset(keras.utils.PyDataset):
    def __init__(self, size=5, **kwargs):
        super().__init__(**kwargs)
        self.size, self.calls, self.threads = size, [], set()

    def __len__(self):
        return -(-len(X) // self.size)

    def __getitem__(self, i):
        self.threads.add(threading.get_ident())
        part = slice(i * self.size, (i + 1) * self.size)
        return X[part], Y[part]

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


def pairs(size=5):
    for start in range(0, len(X), size):
        yield X[start : start + size], Y[start : start + size]


def of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(5)


def of_torch():
    data = pytest.importorskip("torch.utils.data")
    import torch

    pairs = data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return data.DataLoader(pairs, batch_size=5)


def of_grain():
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(list(zip(X, Y, strict=True))).batch(5)


def of_grain_iterated():
    return of_grain().to_iter_dataset()


def of_grain_loader():
    grain = pytest.importorskip("grain")
    rows = list(zip(X, Y, strict=True))
    sampler = grain.samplers.IndexSampler(12, grain.sharding.NoSharding(), num_epochs=1)
    operations = [grain.transforms.Batch(5)]
    return grain.DataLoader(data_source=rows, sampler=sampler, operations=operations)


class Iterable:
    def __iter__(self):
        return pairs()


# Each returns an object that yields the batches of `pairs`, and whether their number is known.
KINDS = {
    "PyDataset": (Dataset, True),
    "PyDataset with threads": (lambda: Dataset(workers=3, max_queue_size=2), True),
    "tf.data": (of_tensorflow, True),
    "DataLoader": (of_torch, True),
    "Grain": (of_grain, True),
    "Grain iterated": (of_grain_iterated, False),
    "Grain DataLoader": (of_grain_loader, False),
    "function": (lambda: pairs, False),
    "iterable": (Iterable, False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_yields_its_batches_in_each_pass(kind):
    make, has_length = KINDS[kind]
    source = as_source(make())
    assert source.n_batches == (3 if has_length else None)
    for _ in range(2):
        found = list(checked(source))
        assert len(found) == 3
        for (x, y, weight), (x_given, y_given) in zip(found, pairs(), strict=True):
            assert type(x) is type(y) is np.ndarray and weight is None
            np.testing.assert_array_equal(x, x_given)
            np.testing.assert_array_equal(y, y_given)


@pytest.mark.parametrize(
    "given",
    [X, X.tolist(), sparse.csr_array(X), pd.DataFrame(X), None, "text", {"a": 1}],
    ids=lambda given: type(given).__name__,
)
def test_arrays_frames_and_sequences_are_no_sources(given):
    assert as_source(given) is None


def test_iterators_can_be_passed_over_once_only():
    assert as_source(pairs()).one_shot and as_source(zip(X, Y, strict=True)).one_shot
    assert not as_source(pairs).one_shot and not as_source(Iterable()).one_shot


def test_threads_of_a_dataset_read_ahead_and_an_abandoned_pass_ends():
    data = Dataset(2, workers=2)
    source = as_source(data)
    passed = iter(source)
    np.testing.assert_array_equal(next(passed)[0], X[:2])
    passed.close()
    assert threading.get_ident() not in data.threads


def test_a_source_without_an_end_is_refused():
    class Endless(keras.utils.PyDataset):
        num_batches = None

    with pytest.raises(ValueError, match="must have an end, got a PyDataset"):
        as_source(Endless())
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="must have an end, got a Dataset"):
        as_source(tf.data.Dataset.from_tensors((X, Y)).repeat())


def test_samples_of_torch_must_come_in_batches():
    torch = pytest.importorskip("torch")
    pairs = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    with pytest.raises(ValueError, match="got a TensorDataset.*DataLoader"):
        as_source(pairs)


def test_text_of_tensorflow_becomes_text_of_python():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensors((X[:2], ["é", "b"]))
    ((_, y, _),) = checked(as_source(data))
    assert y.tolist() == ["é", "b"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ((X[:, :1], Y), r"shape \(2,\), as the first one, got \(1,\)"),
        ((X, Y[:, None]), r"targets of shape \(\), as the first one, got \(1,\)"),
        ((X, Y[:5]), r"same number of rows, got \[5, 12\]"),
        ((X[0], Y[0]), "Let the source yield batches"),
        ((np.full((12, 2), np.nan), Y), "samples must be finite"),
        ((X, np.full(12, np.inf)), "targets must be finite"),
        ((X.astype(str), Y), "samples must be numbers"),
        ((X, Y, -np.ones(12)), "must not be negative, got -1"),
        ((X, Y, np.full(12, np.nan)), "weights must be finite"),
        (({"a": X}, Y), "a tuple of .'dict', 'ndarray'."),
        (([X, X], Y), "a tuple of .'list', 'ndarray'."),
        ((X, Y, Y, Y), "must yield tuples"),
        ({"x": X}, "got a dict"),
        (X, "no y in batch 1"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "batch",
)
def test_a_bad_batch_is_refused_by_its_number(bad, words):
    passed = checked(as_source(lambda: iter([(X, Y), bad])))
    next(passed)
    with pytest.raises(ValueError, match=words) as caught:
        next(passed)
    assert "atch 1 " in str(caught.value)


def test_large_values_are_finite_though_their_sum_is_not():
    large = np.full((4, 2), 3e38, np.float32)
    ((x, _, _),) = checked(as_source(lambda: [(large, Y[:4])]))
    assert x is large


def test_a_function_must_return_an_iterator():
    with pytest.raises(TypeError, match="returns an iterator.*got one that returns int"):
        list(as_source(lambda: 3))


def test_blocks_have_one_size_whatever_the_batches():
    sizes = [1, 9, 2, 30, 3]
    rows = iter(np.split(np.arange(45), np.cumsum(sizes)[:-1]))
    found = [block for (block,) in regrouped(((part,) for part in rows), 10)]
    assert [len(block) for block in found] == [10, 10, 10, 10, 5]
    np.testing.assert_array_equal(np.concatenate(found), np.arange(45))


def prepare(x, y, weight):
    weight = np.ones(len(y)) if weight is None else weight
    return x, y.astype(np.float32), weight.astype(np.float32)


def streamed(sizes, weight=None):
    starts = np.cumsum([0, *sizes])
    parts = [slice(a, b) for a, b in zip(starts[:-1], starts[1:], strict=True)]
    everything = np.arange(sum(sizes) * 2, dtype="float32").reshape(-1, 2)
    w = np.ones(len(everything), np.float32) if weight is None else weight
    source = as_source(lambda: ((everything[p], everything[p, 0], w[p]) for p in parts))

    first = Data(everything, everything[:, 0], np.arange(len(w)), w)
    return StreamedData(source, prepare, first, len(sizes), dtype="float32")


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("pad", [False, True])
def test_stacks_are_those_of_arrays(pad, monkeypatch):
    monkeypatch.setattr("frozenfit.training.data._STACK_BYTES", 8 * 2 * 5)  # five batches
    data = distinct(X, Y.astype("float32"))
    order = rng().permutation(12)
    wanted = list(batches(data, order[:11], 2, pad))
    rows = data.rows[order[:11]]
    source = as_source(lambda: ((X[r], Y[r]) for r in np.split(rows, range(2, 11, 2))))
    found = StreamedData(source, prepare, data, 6)
    found = list(found.stacks(2, rng(), pad))
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    ("pad", "shapes"),
    [
        (False, [(2, 4), (1, 3), (1, 4), (1, 6), (1, 2)]),
        (True, [(4, 4), (2, 6)]),
    ],
)
def test_batches_of_other_sizes_in_the_middle(pad, shapes):
    data = streamed([4, 4, 3, 4, 6, 2])
    found = list(data.stacks(1, rng(), pad))
    assert [x.shape[:2] for x, _, _ in found] == shapes
    used = np.concatenate([x[w > 0] for x, _, w in found])
    np.testing.assert_array_equal(used, data.first.X)
    assert all(np.isfinite(x).all() for x, _, _ in found)


def test_samples_of_weight_zero_are_absent():
    weight = np.array([1, 0, 1, 0, 0, 0, 2, 1], "f4")
    found = list(streamed([3, 3, 2], weight).stacks(1, rng()))
    assert [x[..., 0].tolist() for x, _, _ in found] == [[[0, 4], [12, 14]]]
    assert found[0][2].tolist() == [[1, 1], [2, 1]]


def test_a_pass_without_samples_is_an_error():
    with pytest.raises(ValueError, match="yielded no batch .*fresh iterator"):
        list(streamed([2], np.zeros(2, "f4")).stacks(1, rng()))


def test_hooks_of_an_epoch_are_called_by_training_alone():
    data, given = streamed([4]), Dataset()
    data = StreamedData(as_source(given), prepare, data.first, 3)
    for reader in (data.parts(), data.full_batches(4, rng())):
        assert len(list(reader))
    assert given.calls == []
    list(data.stacks(1, rng()))
    assert given.calls == ["begin", "end"]


def test_statistics_use_full_batches():
    assert [len(x) for x in streamed([3, 4, 4]).full_batches(5, rng())] == [5, 5]
    assert [len(x) for x in streamed([3, 1]).full_batches(5, rng())] == [4]


def test_no_data_library_is_imported():
    code = """
import sys, keras, numpy as np
keras.ops.ones(2)
before = set(sys.modules)
from frozenfit.training.sources import as_source, checked
from frozenfit.estimators import base
source = as_source(lambda: iter([(np.ones((2, 2)), np.ones(2))]))
list(checked(source)), as_source(np.ones(3)), as_source(iter([]))
found = {"tensorflow", "torch", "jax", "grain"} & (set(sys.modules) - before)
assert not found, found
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
