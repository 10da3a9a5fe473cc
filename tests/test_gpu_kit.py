"""The kit for GPU machines, `benchmarks/gpu`, on small networks and on any device."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import keras
import numpy as np
import pytest

from frozenfit.layout import Survey
from frozenfit.selectors import parse

KIT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu"
sys.path.insert(0, str(KIT))

import cifar  # noqa: E402
import device  # noqa: E402
import networks  # noqa: E402
import pixels  # noqa: E402
import plans  # noqa: E402
import prepare  # noqa: E402
import records  # noqa: E402
import run  # noqa: E402


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    policy = keras.config.dtype_policy()
    yield tmp_path
    keras.config.set_dtype_policy(policy)


def kit(folder: Path, plan: str, *options: str, seconds_per_look: float = 0.0) -> list[dict]:
    """Run a plan on a clock that goes on by some seconds whenever it is read."""
    time = SimpleNamespace(now=0.0)

    def clock() -> float:
        time.now += seconds_per_look
        return time.now

    path = folder / "records.jsonl"
    given = ["--tiny", "--plan", plan, "--records", str(path), "--precision", "float32", *options]
    assert run.main(given, clock) == 0
    return records.read(path)


# The arm of table1 last, so that the next test finds its program compiled.
@pytest.mark.parametrize("plan", sorted(plans.PLANS, key="table1".__eq__))
def test_every_plan_runs_and_repeats_no_finished_arm(plan, folder, capsys):
    found = kit(folder, plan)
    expected = [arm.name for arm in plans.arms(plan, 1, tiny=True)]
    assert [record["arm"] for record in found] == expected
    for record in found:
        assert record["tiny"] and record["backend"] == keras.config.backend()
        assert record["precision"] == "float32" and "run.py --tiny --plan" in record["command"]
        assert {"device", "driver", "date", "commit", "peak_bytes", "versions"} <= set(record)
        assert record["trained_parameters"] > 0
        result = record["seconds_per_step"] if plan == "speed" else record["accuracy"]
        assert result >= 0 and np.isfinite(record.get("loss", [])).all()
    assert not list(folder.rglob("*.checkpoint"))
    capsys.readouterr()
    with patch.object(run._Here, "arm", side_effect=AssertionError("an arm was repeated")):
        assert kit(folder, plan) == found
    assert f"{len(found)} of {len(found)} arms have a record" in capsys.readouterr().out


def test_a_run_that_stops_in_time_goes_on_after_its_last_epoch(folder, capsys):
    # The clock is read five times before the end of the first epoch, at 600 of 360 + 100 seconds.
    assert kit(folder, "table1", "--minutes", "6", seconds_per_look=100) == []
    assert "stopped: 1 epochs are done" in capsys.readouterr().out
    assert len(list((folder / "checkpoints").iterdir())) == 1
    (continued,) = kit(folder, "table1")
    assert continued["epochs_in_this_run"] == 1 and len(continued["loss"]) == 2
    (at_once,) = kit(folder / "other", "table1")
    assert at_once["epochs_in_this_run"] == 2
    assert (continued["loss"], continued["accuracy"]) == (at_once["loss"], at_once["accuracy"])


def test_no_arm_starts_without_time_for_it(folder, capsys):
    assert kit(folder, "fig2", "--minutes", "1", seconds_per_look=100) == []
    assert "too few for another arm" in capsys.readouterr().out


def test_an_arm_that_fails_has_no_record_and_does_not_stop_the_others(folder, capsys):
    given = ["--tiny", "--plan", "speed", "--records", str(folder / "records.jsonl")]
    with patch.object(run._Here, "arm", side_effect=MemoryError("too large")) as tried:
        assert run.main([*given, "--precision", "float32"]) == 2
    assert tried.call_count == 2 and not records.read(folder / "records.jsonl")
    assert "2 failed" in capsys.readouterr().out


def test_an_isolated_arm_runs_in_another_process_that_appends_the_record(folder, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", keras.config.backend())
    commands, started = [], run.subprocess.run

    def here(command, **options):
        if "--arm" not in command:
            return started(command, **options)  # git and nvidia-smi
        commands.append(command)
        assert run.main(command[2:]) == 0

    with patch.object(run.subprocess, "run", side_effect=here):
        with patch.object(run._Here, "arm", autospec=True, side_effect=_noted):
            found = kit(folder, "speed", "--isolate")
            assert [r["arm"] for r in found] == [a.name for a in plans.arms("speed", 1, True)]
            assert kit(folder, "speed", "--isolate") == found
    assert len(commands) == 2 and commands[0][:2] == [sys.executable, str(KIT / "run.py")]


def test_an_isolated_arm_is_ended_when_the_minutes_are_over(folder, capsys):
    late = run.subprocess.TimeoutExpired("python", 60)
    with patch.object(run.subprocess, "run", side_effect=late) as started:
        assert kit(folder, "speed", "--isolate", "--minutes", "1") == []
    assert started.call_count == 1 and started.call_args.kwargs["timeout"] == 60
    assert "stopped: the arm did not end within 60 s" in capsys.readouterr().out


def _noted(self, arm, end, left):
    records.append(self.args.records, {**self.about, **arm.about()})


def test_bfloat16_is_a_policy_of_the_run(folder):
    kit(folder, "table1", "--precision", "bf16", "--only", "nothing of this name")
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


@pytest.mark.any_backend
def test_a_line_that_a_killed_run_left_is_replaced(tmp_path):
    path = tmp_path / "records.jsonl"
    records.append(path, {"arm": "a", "backend": "jax"})
    with path.open("a") as file:
        file.write('{"arm": "b", "back')
    assert records.read(path) == [{"arm": "a", "backend": "jax"}]
    records.append(path, {"arm": "c", "backend": "torch"})
    assert [json.loads(line)["arm"] for line in path.read_text().splitlines()] == ["a", "c"]
    assert records.arms(path, {"backend": "torch"}) == {"c"}


# Rosenfeld and Tsotsos (2018), Table 1, as integers: group, shortcuts and all of batch
# normalization.
TABLE1 = [7_200, 7_632, 275_488, 1_121_312, 4_463_648, 9_770, 5_849_050]


def test_table1_trains_the_published_numbers_of_parameters():
    arms = [arm for arm in plans.arms("table1", 1, tiny=False) if arm.network == "wrn-28-4"]
    recipe = plans.NETWORKS["wrn-28-4"]
    params = {**recipe.params, "weight_decay": recipe.weight_decay}
    weights = Survey(networks.paper_network((32, 32, 3), 10, **params)).layout
    found = [parse(arm.trainable).resolve(weights).table() for arm in arms]
    assert [sum(row.trainable for row in table) for table in found] == TABLE1


@pytest.mark.any_backend
@pytest.mark.parametrize("plan", plans.PLANS)
def test_arms_have_names_of_their_own_and_seeds_come_last(plan):
    names = [arm.name for arm in plans.arms(plan, 2, tiny=False)]
    assert len(set(names)) == len(names)
    assert all("seed 0" in name for name in names[: len(names) // 2])


def test_the_decay_adds_a_multiple_of_every_weight_to_its_gradient():
    params = {"family": "wide_resnet", "depth": 10, "width": 1}
    model = networks.paper_network((8, 8, 3), 10, weight_decay=0.25, **params)
    values = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    expected = 0.125 * sum((value.astype(float) ** 2).sum() for value in values)
    assert sum(float(keras.ops.convert_to_numpy(v)) for v in model.losses) == pytest.approx(
        expected
    )


def test_the_network_normalizes_pixels_as_the_reference_implementation():
    params = {"family": "wide_resnet", "depth": 10, "width": 1}
    model = networks.paper_network((8, 8, 3), 10, weight_decay=0.0, **params)
    x = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("float32")
    normalize = model.get_layer("normalization")
    found = keras.ops.convert_to_numpy(normalize(x))
    expected = (x / 255 - np.array(networks.MEAN)) / np.array(networks.SD)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_arithmetic_of_a_step_is_that_of_the_kernels():
    parts = [keras.layers.Conv2D(4, 3), keras.layers.Conv2D(5, 1, strides=2)]
    parts += [keras.layers.Flatten(), keras.layers.Dense(7)]
    model = keras.Sequential([keras.Input((6, 6, 2)), *parts])
    first, second, head = 2 * 16 * 72, 2 * 4 * 20, 2 * 20 * 7
    paths = [layer.kernel.path for layer in model.layers if hasattr(layer, "kernel")]
    everything = networks.step_flops(model, dict.fromkeys(paths, 1.0))
    assert everything == 3 * (first + second + head) - first
    only_head = networks.step_flops(model, {paths[2]: 1.0})
    assert only_head == first + second + 2 * head
    half = networks.step_flops(model, {paths[1]: 0.5, paths[2]: 1.0})
    assert half == first + 1.5 * second + 3 * head


DEVICES = {
    "NVIDIA H200": (989, 494),
    "NVIDIA H100 PCIe": (756, 378),
    "NVIDIA A100-SXM4-80GB": (312, 156),
    "NVIDIA L40": (None, None),
    "CPU (x86_64)": (None, None),
}


@pytest.mark.any_backend
@pytest.mark.parametrize("name", DEVICES)
def test_the_peak_speed_is_that_of_the_device(name):
    found = [device.peak_tflops(name, precision) for precision in ("bf16", "float32")]
    assert tuple(found) == DEVICES[name]


def test_the_device_of_the_process_has_a_name():
    assert device.name() and (device.driver() is None or device.driver()[0].isdigit())


SHAPES = [(1, 1, 1), (5, 1, 7), (9, 6, 4), (40, 8, 8)]


@pytest.mark.any_backend
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["noise", "extremes", "constant", "smooth"])
def test_images_are_compressed_without_loss(shape, kind):
    rng = np.random.default_rng(1)
    images = {
        "noise": rng.integers(0, 256, (*shape, 3)),
        "extremes": rng.choice([0, 255], (*shape, 3)),
        "constant": np.full((*shape, 3), 77),
        "smooth": np.cumsum(rng.integers(-2, 3, (*shape, 3)), axis=2) + 128,
    }[kind].astype(np.uint8)
    assert np.array_equal(pixels.restore(pixels.compress(images)), images)


@pytest.mark.any_backend
def test_smooth_images_become_small():
    rng = np.random.default_rng(1)
    smooth = (np.cumsum(rng.integers(-2, 3, (500, 8, 8, 1)), axis=2) + 128).astype(np.uint8)
    images = smooth.repeat(3, axis=3)
    # The two differences to green are constant: only green has information.
    assert len(pixels.compress(images)) < images.size / 3


@pytest.mark.any_backend
def test_prepared_parts_keep_to_the_limit_and_give_the_images_back(tmp_path, capsys):
    images = cifar.random_images(30)
    commands = []

    def download(command, check):
        commands.append(command)
        target = Path(command[command.index("--dest") + 1])
        (target / "some.whl").write_bytes(bytes(60_000))

    given = ["--out", str(tmp_path / "kit"), "--cifar10", "unused", "--transfer-mb", "0.2"]
    given += ["--python", "3.12", "--platforms", "manylinux2014_x86_64", "--packages", "keras"]
    with patch.object(cifar, "BLOCK", 10), patch.object(prepare, "tree_bytes", lambda: 100_000):
        with patch.object(pixels, "compress", lambda x: x.tobytes() + bytes(20_000)):
            assert prepare.main(given, run=download, read=lambda _: images) == 0
    shown = capsys.readouterr().out
    assert "part-1: " in shown and "The limit of a transfer is 0 MB." in shown
    parts = sorted((tmp_path / "kit").glob("part-*"))
    sizes = [prepare.total(p for p in part.rglob("*") if p.is_file()) for part in parts]
    assert len(parts) == 3 and max(sizes) <= 100_000
    assert (parts[-1] / "wheels" / "some.whl").exists() and not (tmp_path / "kit/wheels").exists()
    assert commands[0][1:5] == ["-m", "pip", "download", "--no-deps"] and commands[0][-1] == "keras"
    assert "3.12" in commands[0] and "manylinux2014_x86_64" in commands[0]


@pytest.mark.any_backend
def test_the_images_of_all_parts_are_loaded_and_a_missing_part_is_named(tmp_path):
    images, counts = cifar.random_images(25), {"train": 25, "test": 25}
    with patch.object(cifar, "BLOCK", 10):
        blocks = cifar.write(images, tmp_path / "one")
    assert [b.name for b in blocks][:3] == [f"train-000{i}0.block" for i in range(3)]
    (tmp_path / "two").mkdir()
    blocks[1].rename(tmp_path / "two" / blocks[1].name)
    found = cifar.load([tmp_path / "one", tmp_path / "two"], counts)
    assert all(np.array_equal(a, b) for a, b in zip(found, images, strict=True))
    with pytest.raises(FileNotFoundError, match="25 train images, got 15 .*each part"):
        cifar.load([tmp_path / "one"], counts)


@pytest.mark.any_backend
def test_too_small_a_limit_is_an_error(tmp_path):
    block = tmp_path / "a.block"
    block.write_bytes(bytes(100))
    for rooms in ((50, 100), (200, -1)):
        with pytest.raises(ValueError, match="limit of a transfer"):
            prepare.split([block], *rooms)


@pytest.mark.any_backend
def test_the_last_part_leaves_room_for_the_wheels(tmp_path):
    blocks = [tmp_path / f"{i}.block" for i in range(7)]
    for block in blocks:
        block.write_bytes(bytes(10))
    sizes = [[len(part) for part in prepare.split(blocks, 40, room)] for room in (40, 30, 20, 0)]
    assert sizes == [[4, 3], [4, 3], [4, 1, 2], [4, 3, 0]]
    assert prepare.split([], 40, 0) == [[]]
