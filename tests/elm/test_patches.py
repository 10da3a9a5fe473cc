"""Convolutions with frozen filters equal their definition, position by position."""

from __future__ import annotations

import numpy as np
import pytest

from frozenfit import ELMClassifier
from frozenfit.elm.stages.patches import CONTRAST, Patches

RNG = np.random.default_rng(0)
IMAGES = RNG.random((12, 9, 8, 3)).astype("float32")
LABELS = np.zeros(12, int)


def made(**params):
    params = {"n_filters": 5, "patch_size": 3, "pool": 3, "stride": 2, **params}
    return Patches(**params).fit(IMAGES, LABELS, np.random.default_rng(1))


def by_definition(patches, image):
    """One image, one position at a time."""
    p, bank = patches, patches.banks_[0]
    responses = np.empty((7, 6, len(bank.shift)))
    for i in range(7):
        for j in range(6):
            patch = image[i : i + 3, j : j + 3].astype(float).ravel()
            responses[i, j] = patch @ bank.kernel
            if p.whiten:
                responses[i, j] /= np.sqrt(patch.var() + CONTRAST)
                responses[i, j] -= bank.shift
    t = p.threshold
    if p.rectifier == "two-sided":
        sides = [np.maximum(responses - t, 0), np.maximum(-responses - t, 0)]
        responses = np.concatenate(sides, axis=2)
    else:
        responses = np.abs(responses) if p.rectifier == "abs" else responses
        responses = np.maximum(responses - t, 0) if t or p.rectifier == "relu" else responses
    if p.grid:
        blocks = [(slice(0, 3), slice(3, 7)), (slice(0, 3), slice(3, 6))]
    else:
        blocks = [[slice(s, s + 3) for s in (0, 2, 4)], [slice(s, s + 3) for s in (0, 2)]]
    pooled = np.array([[responses[a, b].mean((0, 1)) for b in blocks[1]] for a in blocks[0]])
    return (np.sqrt(pooled) if p.root else pooled).ravel()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"rectifier": "relu", "threshold": 0.1, "root": False},
        {"whiten": True, "rectifier": "two-sided", "threshold": 0.5, "grid": 2, "root": False},
        {"filters": "random", "grid": 2},
    ],
)
def test_features_are_those_of_the_definition(params):
    patches = made(**params)
    found = patches(IMAGES)
    assert found.shape == (12, patches.n_features_)
    for image, row in zip(IMAGES, found, strict=True):
        np.testing.assert_allclose(row, by_definition(patches, image), atol=2e-5)


def test_filters_subtract_the_mean_of_a_patch():
    for params in ({}, {"whiten": True}):
        np.testing.assert_allclose(made(**params).banks_[0].kernel.sum(axis=0), 0, atol=1e-5)


def test_raw_filters_have_length_one():
    lengths = np.linalg.norm(made().banks_[0].kernel, axis=0)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_integers_of_0_to_255_are_the_same_pixels():
    pixels = (IMAGES * 255).astype("uint8")
    stage = Patches(n_filters=5, patch_size=3, whiten=True)
    whole = stage.fit(pixels, LABELS, np.random.default_rng(1))(pixels)
    scaled = (pixels / np.float32(255)).astype("float32")
    again = stage.fit(scaled, LABELS, np.random.default_rng(1))(scaled)
    np.testing.assert_allclose(again, whole, atol=1e-4)


def test_several_sizes_share_the_filters():
    patches = made(n_filters=7, patch_size=(3, 5))
    assert [len(bank.shift) for bank in patches.banks_] == [4, 3]
    assert patches(IMAGES).shape == (12, patches.n_features_)


def test_patches_separate_textures_that_pixels_do_not():
    stripes = np.sin(np.arange(12) * 2.0)[:, None] * np.ones(12)
    phases = RNG.integers(0, 12, 120)
    X = np.stack([np.roll(stripes, s, axis=0) for s in phases])
    X[::2] = X[::2].transpose(0, 2, 1)
    X = X + 0.3 * RNG.normal(size=X.shape)
    y = np.arange(120) % 2
    params = {"n_filters": 8, "patch_size": 3}
    clf = ELMClassifier((50,), features="patches", feature_params=params, random_state=0)
    assert clf.fit(X[:80], y[:80]).score(X[80:], y[80:]) > 0.95


def test_mirrored_images_are_trained_on():
    X = 0.3 * RNG.random((80, 6, 6))
    y = np.arange(80) % 2
    X[y == 0, :, :3] += 0.5  # bright on the left against bright above
    X[y == 1, :3] += 0.5
    mirrored = X[:, :, ::-1]
    scores = [
        ELMClassifier((40,), augment=a, alpha=0.1, random_state=0).fit(X, y).score(mirrored, y)
        for a in (None, "flip")
    ]
    assert scores[0] < 0.9 and scores[1] == 1.0
