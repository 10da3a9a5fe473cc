"""Data sets: what is on disk comes back as arrays, and what is not is reported in one sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
from image_sets import prepare, write_image

from frozenfit.datasets import DatasetNotFoundError, load, loading

# Digits


def test_digits_are_cut_in_the_same_place_every_time():
    first, second = load("digits"), load("digits")
    assert first.X_train.shape == (1257, 8, 8, 1)
    assert first.X_test.shape == (540, 8, 8, 1)
    assert np.array_equal(first.y_test, second.y_test)


def test_digits_keep_every_class_in_proportion():
    digits = load("digits")
    shares = np.bincount(digits.y_train) / (
        np.bincount(digits.y_train) + np.bincount(digits.y_test)
    )
    np.testing.assert_allclose(shares, 0.7, atol=0.01)


def test_digits_are_scaled_to_one():
    digits = load("digits")
    assert digits.X_train.dtype == np.float32
    assert (digits.X_train.min(), digits.X_train.max()) == (0.0, 1.0)


def test_digits_as_stored_go_up_to_sixteen():
    digits = load("digits", dtype="uint8")
    assert digits.X_train.dtype == np.uint8
    assert digits.X_train.max() == 16


def test_a_data_set_is_shown_without_its_pixels():
    assert len(repr(load("digits"))) < 120


def test_digits_need_no_optional_package():
    code = (
        "import sys; from frozenfit.datasets import load; load('digits'); "
        "wanted = {'tensorflow', 'tensorflow_datasets', 'PIL', 'keras'} & set(sys.modules); "
        "sys.exit(str(wanted) if wanted else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Arguments


def test_another_dtype_is_refused():
    with pytest.raises(ValueError, match="'float32' or 'uint8', got 'int8'"):
        load("digits", dtype="int8")


@pytest.mark.parametrize("size", [(0, 3), (3,), "3x3", (3.5, 2)])
def test_a_wrong_image_size_is_refused(size):
    with pytest.raises(ValueError, match="two positive integers"):
        load("./nowhere", image_size=size)


def test_digits_are_not_resized():
    with pytest.raises(ValueError, match="must be None for digits"):
        load("digits", image_size=(28, 28))


# Folders


def test_a_folder_of_classes_is_cut_in_proportion(folder):
    photos = load(folder)
    assert photos.X_train.shape == (14, 6, 5, 1)
    assert np.bincount(photos.y_test).tolist() == [3, 3]
    assert photos.class_names == ("cat", "dog")
    assert "stratified" in photos.split


def test_images_keep_their_labels(folder):
    photos = load(folder, dtype="uint8")
    values = np.concatenate([photos.X_train, photos.X_test])[:, 0, 0, 0]
    assert np.array_equal(values // 100, np.concatenate([photos.y_train, photos.y_test]))
    assert sorted(values.tolist()) == [*range(10), *range(100, 110)]


def test_a_folder_cut_by_its_owner_stays_cut(split_folder):
    photos = load(str(split_folder), dtype="uint8")
    assert sorted(photos.X_test[:, 0, 0, 0].tolist()) == [8, 9, 108, 109]
    assert photos.y_test.tolist() == [0, 0, 1, 1]
    assert photos.split == "the folders train and test"


def test_a_validation_folder_stands_for_test(split_folder):
    (split_folder / "test").rename(split_folder / "validation")
    assert load(split_folder).split == "the folders train and validation"


def test_a_string_with_a_leading_dot_is_a_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert len(load("./photos").X_train) == 14


def test_other_files_in_a_class_folder_are_ignored(folder):
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / "cat" / ".hidden.png").write_bytes(b"no image")
    assert len(load(folder).X_train) == 14


def test_one_colour_image_makes_all_colour(folder):
    write_image(folder / "cat" / "0.png", np.full((6, 5, 3), (1, 2, 3), dtype=np.uint8))
    photos = load(folder, dtype="uint8")
    assert photos.X_train.shape == (14, 6, 5, 3)
    assert (1, 2, 3) in {
        tuple(image[0, 0].tolist()) for image in np.concatenate([photos.X_train, photos.X_test])
    }


def test_large_images_come_back_in_order_through_threads(tmp_path):
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    for label, name in enumerate(("a", "b")):
        for index in range(110):
            pixels = rng.integers(0, 256, (120, 120), dtype=np.uint8)
            pixels[0, :2] = (label, index)
            write_image(tmp_path / "train" / name / f"{index:03}.png", pixels)
            if index == 0:
                write_image(tmp_path / "test" / name / "0.png", pixels)
    photos = load(tmp_path, dtype="uint8")
    assert photos.X_train[:, 0, 1, 0].tolist() == [*range(110), *range(110)]
    assert photos.X_train[:, 0, 0, 0].tolist() == photos.y_train.tolist()


def test_images_of_two_shapes_ask_for_a_size(folder):
    write_image(folder / "dog" / "3.png", np.zeros((7, 5), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"got \(7, 5\) for the image .*dog/3.png. Set image_size"):
        load(folder)


def test_images_of_two_shapes_are_resized_where_asked(folder):
    write_image(folder / "dog" / "3.png", np.zeros((7, 5), dtype=np.uint8))
    assert load(folder, image_size=(4, 3)).X_train.shape == (14, 4, 3, 1)


def test_a_damaged_image_is_named(folder):
    path = folder / "cat" / "4.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"cat/4\.png cannot be read"):
        load(folder)


def test_a_text_file_with_an_images_name_is_named(folder):
    (folder / "cat" / "4.png").write_text("hello")
    with pytest.raises(ValueError, match=r"cat/4\.png cannot be read"):
        load(folder)


def test_images_of_sixteen_bits_are_refused(folder):
    write_image(folder / "cat" / "4.png", np.full((6, 5), 40000, dtype=np.uint16))
    with pytest.raises(ValueError, match="more than 8 bits"):
        load(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="There is no folder"):
        load(tmp_path / "nowhere")


def test_one_class_is_refused(folder):
    shutil.rmtree(folder / "dog")
    with pytest.raises(ValueError, match="at least two classes, got 1 folders"):
        load(folder)


def test_a_class_without_images_is_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="empty contains no image"):
        load(folder)


def test_train_without_test_is_refused(split_folder):
    shutil.rmtree(split_folder / "test")
    with pytest.raises(ValueError, match="must contain a folder test or validation"):
        load(split_folder)


def test_a_test_class_that_train_lacks_is_refused(split_folder):
    (split_folder / "test" / "bird").mkdir()
    with pytest.raises(ValueError, match="must be classes of train, cat, dog, got bird"):
        load(split_folder)


def test_a_class_of_one_image_cannot_be_cut(folder):
    for index in range(1, 10):
        (folder / "dog" / f"{index}.png").unlink()
    with pytest.raises(ValueError, match=r"at least two images of every class.*got \[10, 1\]"):
        load(folder)


# TensorFlow Datasets: small sets in the real format, written by tensorflow-datasets itself


def test_a_prepared_set_comes_back(root):
    tiny = load("tiny", root, dtype="uint8")
    assert tiny.X_train.shape == (12, 4, 3, 3)
    assert sorted(tiny.X_train[:, 0, 0, 0].tolist()) == list(range(12))
    assert np.array_equal(tiny.X_train[:, 3, 2, 2] % 3, tiny.y_train)
    assert len(tiny.X_test) == 6
    assert tiny.class_names == ("red", "green", "blue")
    assert tiny.split == "published train and test"


def test_float_images_are_the_stored_ones_over_255(root):
    stored, scaled = load("tiny", root, dtype="uint8"), load("tiny", root)
    assert np.array_equal(scaled.X_train, stored.X_train / np.float32(255))


def test_the_folder_of_data_sets_is_taken_from_the_environment(root, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    assert len(load("tiny").X_train) == 12


def test_a_version_can_be_named(root):
    assert len(load("tiny:1.0.0", root).X_train) == 12


def test_the_newest_version_is_taken(root):
    for version in ("0.9.0", "10.0.0"):
        shutil.copytree(root / "tiny" / "1.0.0", root / "tiny" / version)
    (root / "tiny" / "0.9.0" / "dataset_info.json").write_text("{}")
    assert loading._versions(root / "tiny")[-1].name == "10.0.0"


def test_the_configuration_is_found_where_there_is_one(root):
    (root / "tiny" / "plain").mkdir()
    (root / "tiny" / "1.0.0").rename(root / "tiny" / "plain" / "1.0.0")
    assert len(load("tiny", root).X_train) == len(load("tiny/plain", root).X_train) == 12


def test_several_configurations_ask_for_a_choice(root):
    for name in ("plain", "fancy"):
        shutil.copytree(root / "tiny" / "1.0.0", root / "tiny" / name / "1.0.0")
    shutil.rmtree(root / "tiny" / "1.0.0")
    with pytest.raises(ValueError, match="one of the configurations tiny/fancy, tiny/plain"):
        load("tiny", root)


def test_images_can_be_resized(root):
    assert load("tiny", root, image_size=(8, 6)).X_train.shape == (12, 8, 6, 3)


def test_validation_stands_for_a_missing_test(tmp_path):
    prepare(tmp_path, counts={"train": 12, "validation": 3})
    tiny = load("tiny", tmp_path)
    assert len(tiny.X_test) == 3
    assert tiny.split == "published train and validation (no labeled test is published)"


def test_validation_stands_for_an_unlabelled_test(tmp_path):
    prepare(tmp_path, counts={"train": 12, "test": 6, "validation": 3}, hidden=["test"])
    assert len(load("tiny", tmp_path).X_test) == 3


def test_train_alone_is_cut_in_proportion(tmp_path):
    prepare(tmp_path, counts={"train": 30})
    tiny = load("tiny", tmp_path)
    assert np.bincount(tiny.y_test).tolist() == [3, 3, 3]
    assert "stratified" in tiny.split


def test_tfrecord_files_are_read_by_tensorflow(tmp_path):
    pytest.importorskip("tensorflow")
    prepare(tmp_path, file_format="tfrecord")
    tiny = load("tiny", tmp_path, dtype="uint8")
    assert sorted(tiny.X_train[:, 0, 0, 0].tolist()) == list(range(12))
    assert np.array_equal(tiny.X_train[:, 0, 0, 0] % 3, tiny.y_train)


WITHOUT_TENSORFLOW = """
import importlib.machinery as machinery, sys
find = machinery.PathFinder.find_spec
def hide(cls, name, path=None, target=None):
    return None if name.split(".")[0] == "tensorflow" else find(name, path, target)
machinery.PathFinder.find_spec = classmethod(hide)
from frozenfit.datasets import load
print(load("tiny", sys.argv[1]))
"""


def test_tensorflow_need_not_be_installed(root):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TENSORFLOW, str(root)],
        capture_output=True,
        text=True,
    )
    assert run.stdout.startswith("<Dataset tiny: 12 train"), run.stderr


def test_tensorflow_is_not_imported_where_it_is_not_needed(root):
    code = (
        "import sys; from frozenfit.datasets import load; load('tiny', sys.argv[1]); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], check=True)


def test_tfrecord_files_without_tensorflow_raise_an_error(root):
    for path in (root / "tiny" / "1.0.0").glob("*.array_record*"):
        path.rename(path.with_name(path.name.replace("array_record", "tfrecord")))
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, str(root)], capture_output=True, text=True
    )
    assert 'pip install "frozenfit[tensorflow]"' in run.stderr


def test_a_set_that_is_not_prepared_comes_with_the_command(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(DatasetNotFoundError) as caught:
        load("mnist", tmp_path)
    assert (
        'python -c "import tensorflow_datasets as tfds; '
        f"tfds.builder('mnist', data_dir='{tmp_path}', file_format='array_record')"
        '.download_and_prepare()"'
    ) in str(caught.value)


def test_a_version_that_is_not_prepared_is_not_replaced_by_another(root):
    with pytest.raises(DatasetNotFoundError):
        load("tiny:2.0.0", root)


def test_an_unknown_name_lists_near_names(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(DatasetNotFoundError, match="Did you mean 'mnist'"):
        load("mnits", tmp_path)


def test_an_unknown_name_lists_near_names_on_the_disk(root):
    with pytest.raises(DatasetNotFoundError, match="tiny"):
        load("tinny", root)


def test_the_name_of_a_folder_here_is_hinted_at(folder, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    monkeypatch.chdir(folder.parent)
    with pytest.raises(DatasetNotFoundError, match=r"write '\./photos'"):
        load("photos", tmp_path)


def test_a_name_that_can_be_none_is_refused(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(DatasetNotFoundError, match="must be the name of a data set"):
        load("two words", tmp_path)


@pytest.mark.parametrize("missing", ["tensorflow_datasets", "array_record", "PIL.Image"])
def test_a_missing_package_names_the_extra(root, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r'pip install "frozenfit\[data\]"'):
        load("tiny", root)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}'])
def test_damaged_metadata_raises_an_error(root, name, content):
    (root / "tiny" / "1.0.0" / name).write_text(content)
    with pytest.raises(ValueError, match="cannot be read|images with one label each"):
        load("tiny", root)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_record_file_raises_an_error(root, keep):
    (path,) = (root / "tiny" / "1.0.0").glob("*train.array_record*")
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(ValueError, match="cannot be read.*prepare"):
        load("tiny", root)


def test_a_missing_record_file_raises_an_error(root):
    pytest.importorskip("tensorflow")
    (path,) = (root / "tiny" / "1.0.0").glob("*train.array_record*")
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        load("tiny", root)


def test_a_set_without_labels_is_refused(root):
    path = root / "tiny" / "1.0.0" / "features.json"
    text = path.read_text()
    kind = "tensorflow_datasets.core.features.class_label_feature.ClassLabel"
    assert kind in text
    path.write_text(text.replace(kind, "tensorflow_datasets.core.features.scalar.Scalar"))
    with pytest.raises(ValueError, match="cannot be read|0 features of type ClassLabel"):
        load("tiny", root)


# Real sets


@pytest.mark.parametrize(
    ("name", "shape", "mean"),
    [
        pytest.param(*case, marks=pytest.mark.data(case[0]))
        for case in (
            ("mnist", (60000, 28, 28, 1), 0.1307),
            ("fashion_mnist", (60000, 28, 28, 1), 0.2860),
            ("cifar10", (50000, 32, 32, 3), 0.4734),
        )
    ],
)
def test_real_sets_are_whole(name, shape, mean, data_dir):
    data = load(name, data_dir)
    assert data.X_train.shape == shape
    assert data.X_test.shape == (10000, *shape[1:])
    assert data.X_train.mean(dtype=np.float64) == pytest.approx(mean, abs=1e-4)
    assert set(data.y_train.tolist()) == set(data.y_test.tolist()) == set(range(10))
