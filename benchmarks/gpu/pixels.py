"""Lossless compression of many small images, by NumPy alone.

CIFAR-10 has 184 MB of pixels, and PNG or WebP files of single images take more than 120 MB. Here
each sample is predicted from its neighbors (the median predictor of JPEG-LS, on green and the
differences to green), and the error is coded by its frequency in one of 16 classes of local
activity. One range coder (rANS) per image runs side by side in arrays: about 1.56 kB per image.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import numpy as np

# Frequencies of a table sum up to 2**_BITS; states of the coder stay in [2**16, 2**32).
_BITS = 14
# Differences to green are in [-255, 255], so that errors are unique modulo this.
_SYMBOLS = 512
_ACTIVITIES = np.array([1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 48, 64, 90, 130])


def compress(images: np.ndarray) -> bytes:
    """Compress images of shape (n, height, width, 3) and dtype uint8."""
    planes = _planes(images)
    steps = [(k, *_predicted(plane, i, j), plane[i, j]) for k, plane, i, j in _order(planes)]
    rows = [16 * k + activity for k, _, activity, _ in steps]
    symbols = [(value - guess) % _SYMBOLS for _, guess, _, value in steps]
    counts = np.zeros((16 * len(planes), _SYMBOLS), np.int64)
    for row, symbol in zip(rows, symbols, strict=True):
        np.add.at(counts, (row, symbol), 1)
    table = np.stack([_frequencies(each) for each in counts])
    starts = np.cumsum(table, axis=1) - table
    states, words = np.full(len(images), 1 << 16, np.uint64), []
    # The decoder is the encoder run backwards.
    for row, symbol in zip(reversed(rows), reversed(symbols), strict=True):
        frequency = table[row, symbol].astype(np.uint64)
        full = states >= frequency << np.uint64(32 - _BITS)
        words.append(states[full].astype(np.uint16))
        states[full] >>= np.uint64(16)
        slot = states % frequency + starts[row, symbol].astype(np.uint64)
        states = (states // frequency << np.uint64(_BITS)) + slot
    stream = np.concatenate(words[::-1])
    packed = io.BytesIO()
    arrays = {"states": states.astype(np.uint32), "words": stream}
    table_bytes = zlib.compress(table.astype(np.uint16).tobytes(), 9)
    header = np.frombuffer(table_bytes, np.uint8)
    np.savez(packed, shape=np.array(images.shape), table=header, **arrays)
    return packed.getvalue()


def restore(packed: bytes) -> np.ndarray:
    """Return the images of `compress`."""
    with np.load(io.BytesIO(packed)) as arrays:
        states, words = arrays["states"].astype(np.uint64), arrays["words"].astype(np.uint64)
        n, height, width, channels = arrays["shape"]
        flat = np.frombuffer(zlib.decompress(arrays["table"].tobytes()), np.uint16)
    table = flat.reshape(-1, _SYMBOLS).astype(np.int64)
    starts = np.cumsum(table, axis=1) - table
    used = [np.repeat(np.arange(_SYMBOLS), row) for row in table]
    symbol_of = np.stack([np.resize(row if len(row) else [0], 1 << _BITS) for row in used])
    planes = np.zeros((channels, height, width, n), np.int32)
    position = 0
    for k, plane, i, j in _order(planes):
        guess, activity = _predicted(plane, i, j)
        row = 16 * k + activity
        slot = (states & np.uint64((1 << _BITS) - 1)).astype(np.int64)
        symbol = symbol_of[row, slot]
        rest = (slot - starts[row, symbol]).astype(np.uint64)
        states = table[row, symbol].astype(np.uint64) * (states >> np.uint64(_BITS)) + rest
        low = np.flatnonzero(states < 1 << 16)
        read = words[position : position + len(low)]
        states[low] = states[low] << np.uint64(16) | read
        position += len(low)
        half = _SYMBOLS // 2
        plane[i, j] = (guess + symbol + half) % _SYMBOLS - half
    green = planes[0]
    colors = np.stack([planes[1] + green, green, planes[2] + green])
    return colors.transpose(3, 1, 2, 0).astype(np.uint8)


def _planes(images: np.ndarray) -> np.ndarray:
    """Return green, red - green and blue - green, each of shape (height, width, n)."""
    red, green, blue = images.transpose(3, 1, 2, 0).astype(np.int32)
    return np.stack([green, red - green, blue - green])


def _order(planes: np.ndarray) -> Iterator[tuple[int, np.ndarray, int, int]]:
    for k, plane in enumerate(planes):
        for i, j in np.ndindex(*plane.shape[:2]):
            yield k, plane, i, j


def _predicted(plane: np.ndarray, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the prediction of a sample of every image, and the activity around it."""
    none = np.zeros(plane.shape[2], plane.dtype)
    west = plane[i, j - 1] if j else plane[i - 1, j] if i else none
    north = plane[i - 1, j] if i else west
    northwest = plane[i - 1, j - 1] if i and j else north if i else west
    northeast = plane[i - 1, j + 1] if i and j + 1 < plane.shape[1] else north
    low, high = np.minimum(west, north), np.maximum(west, north)
    guess = np.clip(west + north - northwest, low, high)
    activity = np.abs(west - northwest) + np.abs(north - northwest) + np.abs(northeast - north)
    return guess, np.searchsorted(_ACTIVITIES, activity, side="right")


def _frequencies(counts: np.ndarray) -> np.ndarray:
    """Scale counts to a sum of 2**_BITS, with at least 1 for each symbol that occurs."""
    total = counts.sum()
    if not total:
        return counts
    scaled = np.maximum(counts * (1 << _BITS) // total, counts > 0)
    scaled[scaled.argmax()] += (1 << _BITS) - scaled.sum()
    return scaled
