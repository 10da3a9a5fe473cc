"""Streams read the images and labels of the arrays, batch by batch."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from image_sets import prepare, write_image

from frozenfit.datasets import ImageStream, StreamedDataset, load
from frozenfit.datasets.readers import Reader


@pytest.fixture(params=["digits", "folder", "split_folder", "records"])
def source(request):
    """The name and folder of a data set."""
    if request.param == "records":
        return "tiny", request.getfixturevalue("root")
    return request.param if request.param == "digits" else request.getfixturevalue(
        request.param
    ), None


def batches(stream):
    return [stream[i] for i in range(len(stream))]


def epoch(stream):
    """All images and labels of an epoch, in its order."""
    return tuple(np.concatenate(parts) for parts in zip(*batches(stream), strict=True))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_images_and_labels_are_those_of_the_arrays(source, dtype):
    arrays = load(*source, dtype=dtype)
    data = load(*source, dtype=dtype, stream=True, batch_size=5, seed=None)
    assert isinstance(data, StreamedDataset)
    for stream, X, y in (
        (data.train, arrays.X_train, arrays.y_train),
        (data.test, arrays.X_test, arrays.y_test),
    ):
        assert isinstance(stream, keras.utils.PyDataset)
        images, labels = epoch(stream)
        assert images.dtype == X.dtype and labels.dtype == y.dtype
        assert np.array_equal(images, X) and np.array_equal(labels, y)
        assert {len(labels) for _, labels in batches(stream)[:-1]} <= {5}
        assert stream.n_images == len(X) and stream.image_shape == X.shape[1:]
    assert (data.class_names, data.split) == (arrays.class_names, arrays.split)


def test_each_epoch_has_an_order_of_its_own_that_the_seed_repeats(source):
    arrays = load(*source)
    expected = sorted(zip(arrays.X_train.sum((1, 2, 3)), arrays.y_train, strict=True))
    orders = []
    for seed in (3, 3, 4):
        stream = load(*source, stream=True, batch_size=5, seed=seed).train
        epochs = [epoch(stream)]
        stream.on_epoch_end()
        epochs.append(epoch(stream))
        for images, labels in epochs:
            assert sorted(zip(images.sum((1, 2, 3)), labels, strict=True)) == expected
        orders.append([images.tobytes() for images, _ in epochs])
        assert orders[-1][0] != orders[-1][1]
    assert orders[0] == orders[1] != orders[2]


def test_the_test_images_are_not_shuffled(source):
    stream = load(*source, stream=True, seed=1).test
    stream.on_epoch_end()
    assert np.array_equal(epoch(stream)[0], load(*source).X_test)


def test_threads_read_the_same_batches(source):
    stream = load(*source, stream=True, batch_size=3).train
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(stream.__getitem__, range(len(stream))))
    for one, other in zip(found, batches(stream), strict=True):
        assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


def linear(shape, classes):
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)]
    model = keras.Sequential(layers)
    values = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(values.normal(scale=0.1, size=weight.shape))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model


def test_keras_trains_on_a_stream_as_on_its_batches(source):
    data = load(*source, stream=True, batch_size=8)
    shape, classes = data.train.image_shape, len(data.class_names)
    streamed, by_hand = linear(shape, classes), linear(shape, classes)
    history = streamed.fit(
        data.train, validation_data=data.test, epochs=2, shuffle=False, verbose=0
    )
    assert np.isfinite(history.history["val_loss"]).all()
    again = load(*source, stream=True, batch_size=8).train
    for _ in range(2):
        again.on_epoch_end()
        for images, labels in batches(again):
            by_hand.train_on_batch(images, labels)
    for one, other in zip(streamed.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_an_epoch_does_not_need_the_memory_of_the_images(tmp_path):
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    for part, count in (("train", 60), ("test", 2)):
        for name in ("a", "b"):
            for index in range(count):
                pixels = rng.integers(0, 256, (100, 100, 3), dtype=np.uint8)
                write_image(tmp_path / part / name / f"{index:03}.png", pixels)
    tracemalloc.start()
    try:
        stream = load(tmp_path, stream=True, batch_size=4).train
        for i in range(len(stream)):
            stream[i]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    batch = 4 * 100 * 100 * 3 * 4
    assert stream.n_images * batch // 4 == 30 * batch
    assert peak < 10 * batch


def test_images_of_two_shapes_are_an_error_before_an_epoch(folder):
    write_image(folder / "dog" / "3.png", np.zeros((7, 5), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"got \(7, 5\) for the image .*dog/3.png. Set image_size"):
        load(folder, stream=True)
    assert load(folder, stream=True, image_size=(4, 3)).train.image_shape == (4, 3, 1)


def test_batches_of_two_shapes_are_an_error():
    class Growing(Reader):
        def __len__(self):
            return 2

        def read(self, rows):
            return np.zeros((len(rows), 2 + int(rows[0]), 2, 1), np.uint8), rows

        def labels(self):
            return np.arange(2)

    stream = ImageStream(Growing(), lambda images: images, 1)
    assert stream[0][0].shape == (1, 2, 2, 1)
    with pytest.raises(ValueError, match=r"\(2, 2, 1\), got \(3, 2, 1\) in batch 1"):
        stream[1]


def test_a_damaged_record_is_an_error(root):
    data = load("tiny", root, stream=True)
    data.train._reader._examples = type(
        "Damaged",
        (),
        {"__getitems__": lambda self, rows: [{"image": None, "label": 0}] * len(rows)},
    )()
    with pytest.raises(ValueError, match="cannot be read.*empty examples"):
        data.train[0]


def test_tfrecord_files_cannot_be_streamed(tmp_path):
    pytest.importorskip("tensorflow")
    prepare(tmp_path, file_format="tfrecord")
    with pytest.raises(ValueError, match=r"`stream=True` requires array_record.*again with"):
        load("tiny", tmp_path, stream=True)


@pytest.mark.parametrize(
    ("argument", "value"), [("batch_size", 0), ("batch_size", 2.0), ("seed", -1), ("seed", "a")]
)
def test_wrong_arguments_are_refused(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be"):
        load("digits", stream=True, **{argument: value})


def test_a_batch_that_does_not_exist_is_an_error():
    stream = load("digits", stream=True).train
    with pytest.raises(IndexError, match="less than 40"):
        stream[40]
    assert repr(load("digits", stream=True)).startswith("<StreamedDataset digits: 1257 train")


@pytest.mark.data("cifar10")
def test_a_real_set_is_streamed(data_dir):
    arrays = load("cifar10", data_dir, dtype="uint8")
    stream = load("cifar10", data_dir, dtype="uint8", stream=True, batch_size=100, seed=None).test
    assert np.array_equal(epoch(stream)[0], arrays.X_test)
