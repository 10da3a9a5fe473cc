"""Run what fits into some minutes of a plan, and append a record for each finished arm.

    KERAS_BACKEND=jax python benchmarks/gpu/run.py --plan speed --minutes 9 --isolate
    KERAS_BACKEND=jax python benchmarks/gpu/run.py --plan table1 --minutes 9 --data FOLDER FOLDER

README.md in this folder lists the steps. Run again, the command goes on after the finished arms;
an arm that trains continues after its last epoch with a checkpoint.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import records
from plans import PLANS, Arm, OutOfTime, arms, recipe

Clock = Callable[[], float]


def options(given: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plan", choices=list(PLANS), required=True)
    parser.add_argument("--minutes", type=float, default=9.0, help="the run ends before")
    parser.add_argument("--precision", choices=("bf16", "float32"), default="bf16")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds of each arm")
    parser.add_argument("--only", default="", metavar="TEXT", help="arms with TEXT in their name")
    parser.add_argument("--data", nargs="+", type=Path, default=[], help="folders with CIFAR-10")
    parser.add_argument("--records", type=Path, default=Path("gpu-records/records.jsonl"))
    parser.add_argument("--checkpoints", type=Path, help="folder (default: next to the records)")
    parser.add_argument("--peak-tflops", type=float, help="speed of the device by its data sheet")
    parser.add_argument(
        "--reserve", type=float, default=60.0, help="seconds without which no arm is started"
    )
    parser.add_argument(
        "--isolate", action="store_true", help="one process per arm, which measures its memory"
    )
    parser.add_argument("--list", action="store_true", help="list the arms and end")
    parser.add_argument("--tiny", action="store_true", help="seconds on a CPU; means nothing")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    args = parser.parse_args(given)
    if args.plan != "speed" and not (args.tiny or args.list or args.data):
        parser.error(f"--plan {args.plan} requires --data, the folders with the parts of CIFAR-10")
    args.checkpoints = args.checkpoints or args.records.parent / "checkpoints"
    args.reserve = 0.0 if args.tiny else args.reserve
    return args


def main(given: Sequence[str] | None = None, clock: Clock = time.monotonic) -> int:
    """Run a plan; return the number of arms that failed."""
    end = clock()
    args = options(given)
    end += 60 * args.minutes
    listed = [arm for arm in arms(args.plan, args.seeds, args.tiny) if args.only in arm.name]
    if args.tiny:
        print("tiny: a few arms of the plan on small networks; the numbers mean nothing")
    if args.list:
        print(*(arm.name for arm in listed), sep="\n")
        return 0
    if args.arm:
        listed = [arm for arm in listed if arm.name == args.arm]
    given = sys.argv[1:] if given is None else given
    run = _Isolated(args, given) if args.isolate and not args.arm else _Here(args, given, clock)
    failed = 0
    for number, arm in enumerate(listed, 1):
        if arm.name in run.finished():
            continue
        left = end - clock()
        if left < max(args.reserve, run.slowest):
            print(f"stopped: {left:.0f} s are left, too few for another arm", flush=True)
            break
        print(f"[{number}/{len(listed)}] {arm.name}", flush=True)
        try:
            run.arm(arm, end, left)
        except OutOfTime as error:
            print(f"stopped: {error}; the same command goes on from there", flush=True)
            break
        except Exception:
            # The other arms are worth the minutes that are left; this one has no record.
            traceback.print_exc()
            failed += 1
    done = len({arm.name for arm in listed} & run.finished())
    print(f"{done} of {len(listed)} arms have a record in {args.records}; {failed} failed")
    return failed


class _Here:
    """Runs arms in this process."""

    def __init__(self, args: argparse.Namespace, given: Sequence[str], clock: Clock):
        import device
        import keras

        if args.precision == "bf16":
            keras.config.set_dtype_policy("mixed_bfloat16")
        self.args, self.clock, self.slowest = args, clock, 0.0
        name, backend = device.name(), keras.config.backend()
        settings = {"backend": backend, "precision": args.precision, "tiny": args.tiny}
        self.key = {"device": name, **settings}
        peak = args.peak_tflops or device.peak_tflops(name, args.precision)
        command = shlex.join(["python", "benchmarks/gpu/run.py", *given])
        self.about = {
            **self.key,
            "driver": device.driver(),
            "peak_tflops": peak,
            **records.environment(f"KERAS_BACKEND={backend} {command}"),
        }
        self.images: Any = None
        if args.plan != "speed":
            from cifar import load, random_images

            self.images = random_images(64) if args.tiny else load(args.data)

    def finished(self) -> set[str]:
        """Return the names of the arms that have a record with the same settings and device."""
        return records.arms(self.args.records, self.key)

    def arm(self, arm: Arm, end: float, left: float) -> None:
        """Run an arm and append its record."""
        from arms import measure_steps, train

        args, began, settings = self.args, self.clock(), recipe(arm, self.args.tiny)
        if arm.epochs:
            result = train(arm, settings, self.images, args.checkpoints, self.clock, end)
        else:
            result = measure_steps(arm, settings, args.tiny, self.about["peak_tflops"])
            # Steps are not continued, so that an arm starts only where one has fitted before.
            self.slowest = max(self.slowest, self.clock() - began)
        checkpoint = result.pop("checkpoint", None)
        records.append(args.records, {**self.about, **arm.about(), **result})
        if checkpoint is not None:
            Path(checkpoint).unlink()
        shown = ("accuracy", "seconds_per_epoch", "seconds_per_step", "tflops", "peak_bytes")
        print("   ", {k: result[k] for k in shown if k in result}, flush=True)


class _Isolated:
    """Runs each arm in a separate process: the peak of an allocator is that of a process."""

    def __init__(self, args: argparse.Namespace, given: Sequence[str]):
        self.args, self.given, self.slowest = args, given, 0.0
        # Not the device: to find out its name would take memory that the arms need.
        self.key = {"precision": args.precision, "tiny": args.tiny}
        self.key["backend"] = os.environ.get("KERAS_BACKEND", "tensorflow")

    def finished(self) -> set[str]:
        """Return the names of the arms that have a record with the same settings."""
        return records.arms(self.args.records, self.key)

    def arm(self, arm: Arm, end: float, left: float) -> None:
        """Run an arm in another process, which appends the record."""
        began = time.monotonic()
        command = [sys.executable, __file__, *self.given, "--arm", arm.name]
        command += ["--minutes", str(left / 60)]
        try:
            subprocess.run(command, check=True, timeout=left)
        except subprocess.TimeoutExpired:
            # Compilation cannot be interrupted from within, and its duration is not known before.
            raise OutOfTime(f"the arm did not end within {left:.0f} s") from None
        self.slowest = max(self.slowest, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
