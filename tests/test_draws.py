"""Frozen values: the right distribution, from a stream that never changes."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from frozenfit import draws
from frozenfit.draws import UnknownInitializer, draw, knows, moments, stream_digest

SHAPE = (3, 3, 40, 100)  # 36,000 entries; fan in 360, fan out 900


def spec(name, **config):
    return json.dumps({"class_name": name, "config": config})


# The stream


def test_the_integer_stream_is_what_it_was():
    expected = [18132817269351652964, 880100960866226437]
    assert draws._integers(0, "conv1/kernel", 2).tolist() == expected


def test_the_digest_is_what_it_was():
    digest = "f649e7508df887ea58fcb096d209e1da941c885dad9037301c20085ab73adc7b"
    assert stream_digest(0, ["conv1/kernel", "head/bias"]) == digest


@pytest.mark.parametrize(
    ("initializer", "expected"),
    [
        (
            spec("GlorotUniform"),
            [1.1830594539642334, -1.1078788042068481, -0.18140330910682678, 0.4370512366294861],
        ),
        (
            spec("HeNormal"),
            [2.0036745071411133, -1.6923686265945435, -0.20250195264816284, 0.5010780096054077],
        ),
        (
            spec("RandomNormal", stddev=1.0),
            [2.1196448802948, -1.6674712896347046, -0.1867140829563141, 0.46330025792121887],
        ),
        (
            spec("Orthogonal"),
            [0.9961427450180054, 0.08774766325950623, -0.08774766325950623, 0.9961427450180054],
        ),
    ],
)
def test_the_values_are_what_they_were(initializer, expected):
    values = draw(initializer, (2, 2), 0, "conv1/kernel").ravel()
    np.testing.assert_allclose(values, expected, rtol=3e-7)


def test_another_process_draws_the_same_bits():
    code = (
        "import sys; from frozenfit.draws import draw; "
        "sys.stdout.buffer.write(draw(sys.argv[1], (50, 20), 7, 'a/kernel').tobytes())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, spec("HeNormal")], capture_output=True, check=True
    )
    assert other.stdout == draw(spec("HeNormal"), (50, 20), 7, "a/kernel").tobytes()


def test_drawing_moves_no_global_stream():
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    draw(spec("HeNormal"), SHAPE, 0, "a")
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]


@pytest.mark.parametrize("other", [(1, "a/kernel"), (0, "b/kernel"), (-1, "a/kernel")])
def test_another_seed_or_path_gives_independent_values(other):
    first = draw(spec("RandomNormal", stddev=1.0), SHAPE, 0, "a/kernel").ravel()
    second = draw(spec("RandomNormal", stddev=1.0), SHAPE, *other).ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_a_wider_weight_starts_with_the_values_of_a_narrow_one():
    narrow = draw(spec("RandomNormal"), (100,), 0, "a")
    assert np.array_equal(draw(spec("RandomNormal"), (200,), 0, "a")[:100], narrow)


def test_a_numpy_seed_is_the_same_seed():
    assert np.array_equal(
        draw(spec("HeNormal"), (5, 5), np.int64(3), "a"), draw(spec("HeNormal"), (5, 5), 3, "a")
    )


def test_the_initializers_own_seed_does_not_matter():
    assert np.array_equal(
        draw(spec("HeNormal", seed=5), (5, 5), 0, "a"), draw(spec("HeNormal"), (5, 5), 0, "a")
    )


def test_the_digest_does_not_depend_on_the_order_of_paths():
    assert stream_digest(0, ["a", "b"]) == stream_digest(0, iter(["b", "a"]))


@pytest.mark.parametrize("other", [(1, ["a", "b"]), (0, ["a"]), (0, ["a", "c"])])
def test_the_digest_distinguishes_seeds_and_paths(other):
    assert stream_digest(0, ["a", "b"]) != stream_digest(*other)


@pytest.mark.parametrize("integer", [0, 2**64 - 1])
def test_the_extreme_integers_give_finite_normals(integer, monkeypatch):
    def extreme(seed, path, count):
        return np.full(count, integer, dtype=np.uint64)

    monkeypatch.setattr(draws, "_integers", extreme)
    assert np.isfinite(draw(spec("RandomNormal", stddev=1.0), (3,), 0, "a")).all()


# Distributions


KERAS_CASES = [
    ("GlorotUniform", {}, SHAPE),
    ("GlorotNormal", {}, SHAPE),
    ("HeUniform", {}, SHAPE),
    ("HeNormal", {}, SHAPE),
    ("LecunUniform", {}, SHAPE),
    ("LecunNormal", {}, (200, 180)),
    ("GlorotUniform", {}, (36000,)),
    ("GlorotUniform", {"input_axes": [0], "output_axes": [1, 2]}, (40, 9, 100)),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"}, SHAPE),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "untruncated_normal"}, SHAPE),
    ("RandomUniform", {"minval": -1.0, "maxval": 3.0}, SHAPE),
    ("RandomNormal", {"mean": 2.0, "stddev": 0.5}, SHAPE),
    ("TruncatedNormal", {"mean": -1.0, "stddev": 0.5}, SHAPE),
    ("Orthogonal", {"gain": 2.0}, (300, 120)),
    ("Orthogonal", {}, (120, 300)),
]


@pytest.mark.parametrize(("name", "config", "shape"), KERAS_CASES)
def test_mean_and_sd_and_range_are_those_of_keras(name, config, shape):
    keras = pytest.importorskip("keras")
    kind = getattr(keras.initializers, name)
    if "input_axes" in config and "input_axes" not in inspect.signature(kind).parameters:
        pytest.skip("the axes are new in Keras 3.15")
    initializer = kind(seed=1, **config)
    theirs = initializer(shape)
    mean, sd, largest = (float(f(theirs)) for f in (keras.ops.mean, keras.ops.std, keras.ops.max))
    ours = draw(json.dumps(keras.initializers.serialize(initializer)), shape, 0, "a/kernel")
    assert ours.shape == shape
    assert ours.dtype == np.float32
    assert moments(ours)[0] == pytest.approx(mean, abs=0.03 * sd)
    assert moments(ours)[1] == pytest.approx(sd, rel=0.02)
    if "Uniform" in name or config.get("distribution") == "uniform":
        assert ours.max() == pytest.approx(largest, rel=0.01)


@pytest.mark.parametrize("name", ["HeNormal", "LecunNormal"])
def test_variance_scaling_corrects_for_truncation(name):
    values = draw(spec(name), (500, 400), 0, "a").astype(np.float64)
    expected = math.sqrt({"HeNormal": 2, "LecunNormal": 1}[name] / 500)
    assert values.std() == pytest.approx(expected, rel=0.01)
    assert np.abs(values).max() <= 2 * expected / 0.8796


def test_truncated_normals_stay_within_two_standard_deviations():
    values = draw(spec("TruncatedNormal", mean=1.0, stddev=0.5), SHAPE, 0, "a")
    assert 1.98 < values.max() <= 2.0
    assert 0.0 <= values.min() < 0.02


def test_uniforms_stay_within_their_bounds():
    values = draw(spec("RandomUniform", minval=-1.0, maxval=3.0), SHAPE, 0, "a")
    assert -1.0 <= values.min() < -0.99
    assert 2.99 < values.max() <= 3.0


@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (3, 3, 4, 10)])
def test_orthogonal_matrices_are_orthogonal(shape):
    matrix = draw(spec("Orthogonal", gain=2.0), shape, 0, "a").reshape(-1, shape[-1])
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)


@pytest.mark.parametrize(
    ("initializer", "expected"),
    [
        (spec("Zeros"), np.zeros((2, 3))),
        (spec("Ones"), np.ones((2, 3))),
        (spec("Constant", value=0.25), np.full((2, 3), 0.25)),
        (spec("Identity", gain=2.0), 2 * np.eye(2, 3)),
    ],
)
def test_constants_are_themselves(initializer, expected):
    assert np.array_equal(draw(initializer, (2, 3), 0, "a"), expected)


def test_empty_and_scalar_weights_can_be_drawn():
    assert draw(spec("HeNormal"), (0, 3), 0, "a").shape == (0, 3)
    assert draw(spec("HeNormal"), (), 0, "a").shape == ()


# What is not known


@pytest.mark.parametrize(
    "initializer",
    [
        spec("Mine"),
        spec("Identity"),  # Keras does not report the gain
        spec("HeNormal", temperature=3),
        spec("Constant", value=[1, 2]),
        spec("Constant", value=float("nan")),
        spec("VarianceScaling", scale=-1.0),
        spec("VarianceScaling", mode="fan_sideways"),
        spec("GlorotUniform", input_axes="x", output_axes=[1]),
        json.dumps({"class_name": "HeNormal", "config": {}, "module": "mine"}),
        json.dumps({"class_name": "HeNormal", "config": {}, "registered_name": "mine>HeNormal"}),
        json.dumps({"class_name": ["HeNormal"], "config": {}}),
        json.dumps({"class_name": "HeNormal", "config": 3}),
        '"he_normal"',
        "he_normal",
        "",
    ],
)
def test_an_unknown_initializer_is_refused(initializer):
    assert not knows(initializer)
    with pytest.raises(UnknownInitializer):
        draw(initializer, (3, 4), 0, "a")


def test_no_initializer_is_not_known():
    assert not knows(None)


@pytest.mark.parametrize("name", ["Orthogonal", "Identity"])
def test_a_matrix_initializer_refuses_a_vector(name):
    with pytest.raises(UnknownInitializer, match="two dimensions"):
        draw(spec(name, gain=1.0), (3,), 0, "a")


def test_every_built_in_random_initializer_of_keras_is_known():
    keras = pytest.importorskip("keras")
    for name in ("glorot_uniform", "he_normal", "lecun_uniform", "orthogonal", "random_normal"):
        initializer = keras.initializers.get(name)
        assert knows(json.dumps(keras.initializers.serialize(initializer))), name


# Moments


def test_moments_are_mean_and_sd_in_float64():
    values = np.full(1_000_000, 0.1, dtype=np.float32)
    values[::2] = 0.3
    mean, sd = moments(values)
    assert mean == pytest.approx(0.2, abs=1e-7)
    assert sd == pytest.approx(0.1, abs=1e-7)


def test_moments_of_nothing_are_zero():
    assert moments(np.zeros((0, 3), dtype=np.float32)) == (0.0, 0.0)
