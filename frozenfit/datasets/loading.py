"""Image classification sets: digits, TensorFlow Datasets, and folders of images.

TensorFlow is not required: tensorflow-datasets reads data sets that are prepared as array_record
files, and Pillow decodes the images here in parallel, several times faster than one example per
call. Nothing is ever downloaded.
"""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from frozenfit.datasets.images import (
    children,
    class_folders,
    common_mode,
    list_images,
    pixels,
)
from frozenfit.datasets.readers import ArrayReader, FolderReader, Reader, RecordReader
from frozenfit.utils.names import did_you_mean
from frozenfit.utils.optional import require

if TYPE_CHECKING:
    from frozenfit.datasets.streams import StreamedDataset

__all__ = ["Dataset", "DatasetNotFoundError", "load"]

_TEST_SHARE = 0.3
_OWN_SPLIT = "no published split; 70 % train and 30 % test, stratified, random_state=0"
_NAME = re.compile(r"(?P<set>\w+)(/(?P<config>[\w.\-]+))?(:(?P<version>\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


class DatasetNotFoundError(ValueError):
    """Raised if a data set is unknown or not prepared on this disk.

    The message explains how to prepare the data set.

    See Also
    --------
    load : The function that raises it.

    Examples
    --------
    >>> from frozenfit.datasets import DatasetNotFoundError, load
    >>> try:
    ...     load("digit")
    ... except DatasetNotFoundError as error:
    ...     print("digits" in str(error))
    True
    """


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set in memory.

    Parameters
    ----------
    name : str
        The name or path that was loaded.
    X_train : ndarray of shape (n_images, height, width, channels)
        Training images, float32 in [0, 1] or uint8 as stored.
    y_train : ndarray of int64 of shape (n_images,)
        Class indices of the training images: positions in `class_names`.
    X_test : ndarray of shape (n_images, height, width, channels)
        Test images.
    y_test : ndarray of int64 of shape (n_images,)
        Class indices of the test images.
    class_names : tuple of str
        Names of the classes.
    split : str, default=""
        A description of how the training and test images were separated.

    See Also
    --------
    load : Load a data set.

    Examples
    --------
    >>> load("digits")
    <Dataset digits: 1257 train, 540 test, images 8x8x1 float32, 10 classes>
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    split: str = ""

    def __repr__(self) -> str:
        """Return name, counts and image shape, not the pixels."""
        shape = "x".join(str(size) for size in self.X_train.shape[1:])
        return (
            f"<Dataset {self.name}: {len(self.X_train)} train, {len(self.X_test)} test, "
            f"images {shape} {self.X_train.dtype}, {len(self.class_names)} classes>"
        )


@overload
def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    dtype: str = "float32",
    image_size: tuple[int, int] | None = None,
    stream: Literal[False] = False,
    batch_size: int = 32,
    seed: int | None = 0,
) -> Dataset: ...
@overload
def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    dtype: str = "float32",
    image_size: tuple[int, int] | None = None,
    stream: Literal[True],
    batch_size: int = 32,
    seed: int | None = 0,
) -> StreamedDataset: ...
def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    dtype: str = "float32",
    image_size: tuple[int, int] | None = None,
    stream: bool = False,
    batch_size: int = 32,
    seed: int | None = 0,
) -> Dataset | StreamedDataset:
    """Load an image classification set, into memory or batch by batch.

    Parameters
    ----------
    name : str or path
        One of

        - ``"digits"``: the 1,797 digits of scikit-learn, 8x8 pixels with values 0 to 16. They
          have no published split, so they are split into 70 % train and 30 % test, stratified,
          with ``random_state=0``.
        - The name of an image classification set of TensorFlow Datasets that is prepared on disk:
          ``"mnist"``, ``"emnist/letters"``, ``"cifar10:3.0.2"``. The published train and test
          splits are used; the validation split where no labeled test split is published; and a
          stratified 70/30 split of train where there is neither. `Dataset.split` describes it.
        - A folder of images, as a ``Path``, as a string that starts with ``.``, ``/`` or ``~``,
          or as the path of an existing folder with a separator: ``FOLDER/train/CLASS/*.png`` with
          ``FOLDER/test/CLASS/*.png`` (or ``validation``), or ``FOLDER/CLASS/*.png``, which is
          split like digits. Images are gray if all of them are, and RGB otherwise.
    data_dir : str or path, default=None
        Folder of TensorFlow Datasets; None uses the environment variable ``TFDS_DATA_DIR``, or
        ``~/tensorflow_datasets``.
    dtype : {"float32", "uint8"}, default="float32"
        "float32" scales the pixels to [0, 1], as networks expect; "uint8" returns them as stored,
        in a quarter of the memory.
    image_size : tuple of int, default=None
        (height, width) in pixels to which every image is resized (bilinear). Required where the
        images differ in shape.
    stream : bool, default=False
        Whether the images stay on disk, and are read and decoded batch by batch. A data set of
        TensorFlow Datasets must then be prepared as array_record files.
    batch_size : int, default=32
        Number of images in a batch of a stream.
    seed : int or None, default=0
        Seed of the order of the training images in each epoch of a stream; None keeps the stored
        order.

    Returns
    -------
    Dataset or StreamedDataset
        The training and test images with their labels, in memory; with ``stream=True``, two
        `keras.utils.PyDataset` of the same images and labels.

    Raises
    ------
    DatasetNotFoundError
        If there is no such data set, with similar names in the message, or if it is not prepared,
        with the command that prepares it.
    ValueError
        If the data set is damaged, does not consist of images with one label each, or has images
        of several shapes and no `image_size` is given, or if an argument is invalid.
    ImportError
        If an optional package is missing: ``pip install "frozenfit[data]"``.

    See Also
    --------
    Dataset : The result, with the parts as attributes.
    StreamedDataset : The result with ``stream=True``.

    Examples
    --------
    >>> digits = load("digits")
    >>> digits.X_train.shape, float(digits.X_train.max()), digits.class_names[:3]
    ((1257, 8, 8, 1), 1.0, ('0', '1', '2'))

    Train from disk with Keras, which would otherwise shuffle the batches once more:

    >>> import keras
    >>> digits = load("digits", stream=True, batch_size=64)
    >>> model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile("adam", loss)
    >>> history = model.fit(digits.train, epochs=2, shuffle=False, verbose=0)
    """
    if dtype not in ("float32", "uint8"):
        raise ValueError(f"`dtype` must be 'float32' or 'uint8', got {dtype!r}.")
    if image_size is not None and not _is_size(image_size):
        raise ValueError(
            f"`image_size` must be two positive integers, (height, width), got {image_size!r}."
        )
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"`batch_size` must be an int >= 1, got {batch_size!r}.")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0):
        raise ValueError(f"`seed` must be an int >= 0 or None, got {seed!r}.")
    if str(name) == "digits":
        if image_size is not None:
            raise ValueError("`image_size` must be None for digits, which have 8x8 pixels.")
        train, test, class_names, split = _digits()
    elif _is_folder(name):
        train, test, class_names, split = _open_folder(Path(name).expanduser(), image_size)
    else:
        train, test, class_names, split = _open_tfds(str(name), data_dir, image_size, stream)
    # Digits have values from 0 to 16.
    scale = partial(_scaled, dtype=dtype, white=16 if str(name) == "digits" else None)
    if stream:
        # Here, because arrays do not need Keras.
        from frozenfit.datasets.streams import ImageStream, StreamedDataset

        streams = (
            ImageStream(train, scale, int(batch_size), seed),
            ImageStream(test, scale, int(batch_size)),
        )
        return StreamedDataset(str(name), *streams, class_names, split)
    (X_train, y_train), (X_test, y_test) = train.everything(), test.everything()
    return Dataset(str(name), scale(X_train), y_train, scale(X_test), y_test, class_names, split)


_Parts = tuple[Reader, Reader, tuple[str, ...], str]  # train, test, class names, split


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(size, int) and size > 0 for size in value)
    )


def _is_folder(name: str | os.PathLike[str]) -> bool:
    if not isinstance(name, str):
        return True
    # "emnist/letters" is a set and its configuration, unless there is such a folder here.
    separated = "/" in name or os.sep in name
    return name.startswith((".", "~")) or os.path.isabs(name) or separated and os.path.isdir(name)


def _scaled(images: np.ndarray, dtype: str, white: int | None = None) -> np.ndarray:
    if dtype == "uint8":
        if images.dtype != np.uint8:
            raise ValueError(
                f"`dtype` must be 'float32' for images that are stored as {images.dtype}."
            )
        return images
    if np.issubdtype(images.dtype, np.integer):
        white = white or np.iinfo(images.dtype).max
        return np.divide(images, np.float32(white), dtype=np.float32)
    return images.astype(np.float32, copy=False)


def _own_split(whole: Reader, source: str) -> tuple[Reader, Reader]:
    """Split into 70 % train and 30 % test, stratified by class."""
    from sklearn.model_selection import train_test_split

    labels = whole.labels()
    try:
        train, test = train_test_split(
            np.arange(len(labels)), test_size=_TEST_SHARE, stratify=labels, random_state=0
        )
    except ValueError as error:
        raise ValueError(
            f"{source} must have at least two images of every class, so that it can be split into "
            f"train and test, got {np.bincount(labels).tolist()}."
        ) from error
    return whole.part(np.asarray(train)), whole.part(np.asarray(test))


def _digits() -> _Parts:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = bunch.images.astype(np.uint8)[..., np.newaxis]
    whole = ArrayReader(images, bunch.target.astype(np.int64))
    names = tuple(str(label) for label in bunch.target_names)
    return *_own_split(whole, "digits"), names, _OWN_SPLIT


@dataclass(frozen=True)
class _Prepared:
    """A data set on disk in the layout of tensorflow-datasets."""

    tfds: ModuleType
    builder: Any
    directory: Path
    image: str
    label: str
    command: str  # to prepare it again

    def damaged(self, error: Exception | str) -> ValueError:
        return _damaged(self.directory, self.command, error)


def _open_tfds(
    name: str,
    data_dir: str | os.PathLike[str] | None,
    image_size: tuple[int, int] | None,
    stream: bool,
) -> _Parts:
    tfds = require("tensorflow_datasets", "data", f"Loading the data set {name!r}")
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    prepared = _find(tfds, name, root.expanduser())
    label = prepared.builder.info.features[prepared.label]
    class_names = tuple(label.names or map(str, range(label.num_classes)))
    splits = prepared.builder.info.splits
    if "train" not in splits:
        raise ValueError(
            f"The data set {name!r} must have a split 'train', got {', '.join(splits)}."
        )
    for candidate in ("test", "validation"):
        if candidate in splits:
            test = _open_split(prepared, candidate, image_size, stream)
            # The labels of an unlabeled test split are -1.
            if test.read(np.zeros(1, int))[1][0] >= 0:
                train = _open_split(prepared, "train", image_size, stream)
                how = "" if candidate == "test" else " (no labeled test is published)"
                return train, test, class_names, f"published train and {candidate}{how}"
    whole = _open_split(prepared, "train", image_size, stream)
    return *_own_split(whole, f"The data set {name!r}"), class_names, _OWN_SPLIT


def _find(tfds: ModuleType, name: str, root: Path) -> _Prepared:
    directory, command = _locate(tfds, name, root), _command(name, root)
    try:
        builder = tfds.builder_from_directory(str(directory))
        features = builder.info.features
    except Exception as error:  # whatever the parsers of the three metadata files raise
        raise _damaged(directory, command, error) from error
    keys = {}
    for key, kind in (("image", tfds.features.Image), ("label", tfds.features.ClassLabel)):
        matching = [name for name in features if isinstance(features[name], kind)]
        if len(matching) != 1:
            raise ValueError(
                f"The data set {name!r} must consist of images with one label each, got "
                f"{len(matching)} features of type {kind.__name__} among {', '.join(features)}."
            )
        keys[key] = matching[0]
    return _Prepared(tfds, builder, directory, keys["image"], keys["label"], command)


def _open_split(
    prepared: _Prepared, split: str, image_size: tuple[int, int] | None, stream: bool
) -> Reader:
    info = prepared.builder.info
    feature, classes = info.features[prepared.image], info.features[prepared.label].num_classes
    # Encoded bytes are decoded here; other depths are left to tensorflow-datasets.
    encoded = feature.np_dtype == np.uint8
    decoders = {prepared.image: prepared.tfds.decode.SkipDecoding()} if encoded else None
    examples = _examples(prepared, split, decoders, stream)
    if not len(examples) or len(examples) != info.splits[split].num_examples:
        raise prepared.damaged(f"{len(examples)} examples in {split}")

    def decode(images: list[Any]) -> np.ndarray:
        if encoded:
            mode = {1: "L", 4: "RGBA"}.get(feature.shape[-1], "RGB")
            return pixels(images, mode, image_size, f"of {prepared.directory} {split}")
        if image_size is not None or len({image.shape for image in images}) > 1:
            raise ValueError(
                f"The images in {prepared.directory} are {feature.np_dtype}, not uint8, and cannot "
                "be resized. They must have one shape, and `image_size` must be None."
            )
        return np.stack(images)

    return RecordReader(examples, prepared.image, prepared.label, classes, decode, prepared.damaged)


class _Sequence(list):
    """Examples in memory, with the method of a data source that reads several of them."""

    def __getitems__(self, rows: list[int]) -> list[Any]:
        return [self[row] for row in rows]


def _examples(prepared: _Prepared, split: str, decoders: Any, stream: bool) -> Any:
    tfds, builder = prepared.tfds, prepared.builder
    if any(prepared.directory.glob(f"*-{split}.array_record*")):
        require("array_record", "data", "Reading an array_record file")
        try:
            return builder.as_data_source(split=split, decoders=decoders)
        except Exception as error:
            raise prepared.damaged(error) from error
    if stream:
        raise ValueError(
            f"`stream=True` requires array_record files, which can be read in any order, got "
            f"another format of {split} in {prepared.directory}. Remove the folder and prepare "
            f"the data set again with: {prepared.command}"
        )
    try:
        importlib.import_module("tensorflow")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{prepared.directory} has no array_record file of {split}, and other formats require "
            'TensorFlow. Install it with: pip install "frozenfit[tensorflow]", or remove the '
            f"folder and prepare the data set again with: {prepared.command}"
        ) from error
    # Files in sequence, as array_record files are read, so that the order of examples is equal.
    order = tfds.ReadConfig(interleave_cycle_length=1)
    try:
        rows = builder.as_dataset(split=split, decoders=decoders, read_config=order)
        return _Sequence(tfds.as_numpy(rows))
    except Exception as error:
        raise prepared.damaged(error) from error


def _locate(tfds: ModuleType, name: str, root: Path) -> Path:
    """Return the folder of a prepared set: ROOT/NAME[/CONFIG]/VERSION, the newest version."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise DatasetNotFoundError(
            f"`name` must be the name of a data set such as 'mnist', 'emnist/letters' or "
            f"'cifar10:3.0.2', or the path of a folder such as './photos', got {name!r}."
        )
    base = root / match["set"] / (match["config"] or "")
    if match["version"] is None and match["config"] is None and not _versions(base):
        configs = [child for child in children(base) if _versions(child)]
        if len(configs) > 1:
            names = ", ".join(f"{match['set']}/{child.name}" for child in configs)
            raise ValueError(
                f"`name` must include one of the configurations {names}, got {name!r}."
            )
        base = configs[0] if configs else base
    versions = _versions(base)
    if match["version"] is not None:
        versions = [version for version in versions if version.name == match["version"]]
    if not versions:
        raise _not_found(tfds, name, match["set"], root)
    return versions[-1]


def _versions(folder: Path) -> list[Path]:
    found = [
        child
        for child in children(folder)
        if _VERSION.fullmatch(child.name) and (child / "dataset_info.json").is_file()
    ]
    return sorted(found, key=lambda child: tuple(map(int, child.name.split("."))))


def _not_found(tfds: ModuleType, name: str, base: str, root: Path) -> DatasetNotFoundError:
    # Without community data sets, whose list would be downloaded.
    published = tfds.list_builders(with_community_datasets=False)
    here = [child.name for child in children(root)]
    if base in published:
        return DatasetNotFoundError(
            f"The data set {name!r} is not in {root}. Pass the data_dir that contains it, or "
            f"prepare it with: {_command(name, root)}"
        )
    candidates = dict.fromkeys([*published, *here, "digits"])
    hint = did_you_mean(base.lower(), candidates)
    folder = f" For the folder, write './{name}'." if Path(name).is_dir() else ""
    return DatasetNotFoundError(
        f"There is no data set {name!r} in TensorFlow Datasets or in {root}. {hint}{folder}"
    )


def _command(name: str, root: Path) -> str:
    # In array_record, which can be read with and without TensorFlow.
    return (
        f'python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, '
        f"data_dir={str(root)!r}, file_format='array_record').download_and_prepare()\""
    )


def _damaged(directory: Path, command: str, error: Exception | str) -> ValueError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return ValueError(
        f"The data set in {directory} cannot be read ({reason}). Remove the folder and prepare "
        f"the data set again with: {command}"
    )


def _open_folder(folder: Path, image_size: tuple[int, int] | None) -> _Parts:
    if not folder.is_dir():
        raise DatasetNotFoundError(f"There is no folder {folder}.")
    if not children(folder / "train"):
        classes = class_folders(folder)
        paths, labels = list_images(folder, classes, every_class=True)
        whole = FolderReader(paths, labels, common_mode(paths, image_size), image_size)
        return *_own_split(whole, str(folder)), classes, _OWN_SPLIT
    held_out = next((name for name in ("test", "validation") if children(folder / name)), None)
    if held_out is None:
        raise ValueError(
            f"{folder} must contain a folder test or validation, with one folder per class, next "
            "to its folder train."
        )
    classes = class_folders(folder / "train")
    train = list_images(folder / "train", classes, every_class=True)
    test = list_images(folder / held_out, classes, every_class=False)
    mode = common_mode(train[0] + test[0], image_size)
    readers = [FolderReader(*part, mode, image_size) for part in (train, test)]
    return readers[0], readers[1], classes, f"the folders train and {held_out}"
