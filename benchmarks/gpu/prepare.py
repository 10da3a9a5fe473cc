"""Prepare what an offline GPU machine lacks: wheels, and CIFAR-10 in parts of a limited size.

    python benchmarks/gpu/prepare.py --python 3.12 --cifar10 ~/tensorflow_datasets

Needs network access for `pip download`, and the data set as frozenfit.datasets reads it. What is
made lies in a folder that git ignores, `gpu-kit`: part-1, part-2, ... to be brought in one transfer
each; the last part contains the wheels. The sizes of the transfers are printed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import records

MB = 1_000_000
# What frozenfit and Keras need besides JAX or torch, NumPy and SciPy.
PACKAGES = ("keras", "optree", "namex", "absl-py", "h5py", "rich", "markdown-it-py", "mdurl")
PACKAGES += ("pygments", "ml-dtypes", "packaging", "scikit-learn", "joblib", "threadpoolctl")
PACKAGES += ("safetensors", "narwhals")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64")
PLATFORMS += ("manylinux2014_x86_64",)


def options(given: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=records.ROOT / "gpu-kit")
    parser.add_argument("--python", default="3.12", help="version of Python on the machine")
    parser.add_argument("--platforms", nargs="+", default=list(PLATFORMS), help="wheel tags")
    parser.add_argument("--packages", nargs="*", default=list(PACKAGES))
    parser.add_argument("--cifar10", type=Path, help="folder of tensorflow-datasets")
    parser.add_argument("--transfer-mb", type=float, default=64.0, help="limit of a transfer")
    return parser.parse_args(given)


def main(
    given: Sequence[str] | None = None, run: Callable = subprocess.run, read: Callable | None = None
) -> int:
    """Make the folder, and print the sizes; return 1 if a transfer would be too large."""
    args = options(given)
    shutil.rmtree(args.out, ignore_errors=True)
    wheels = args.out / "wheels"
    wheels.mkdir(parents=True)
    if args.packages:
        run(download_command(args, wheels), check=True)
    (args.out / "commit.txt").write_text(f"{records.commit()}\n")
    blocks: list[Path] = []
    if args.cifar10 is not None:
        from cifar import write

        blocks = write((read or _from_datasets)(args.cifar10), args.out / "blocks")
    limit, tree = args.transfer_mb * MB, tree_bytes()
    parts = split(blocks, limit - tree, limit - tree - total(wheels.iterdir()))
    for number, part in enumerate(parts, 1):
        folder = args.out / f"part-{number}"
        folder.mkdir()
        for block in part:
            block.rename(folder / block.name)
    wheels.rename(args.out / f"part-{len(parts)}" / "wheels")
    shutil.rmtree(args.out / "blocks", ignore_errors=True)
    return show(args.out, len(parts), tree, limit)


def download_command(args: argparse.Namespace, folder: Path) -> list[str]:
    """Return the command that downloads the wheels for the machine, not for this one."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", args.python, "--implementation", "cp", "--dest", str(folder)]
    for platform in args.platforms:
        command += ["--platform", platform]
    return [*command, *args.packages]


def split(blocks: Sequence[Path], room: float, last_room: float) -> list[list[Path]]:
    """Distribute files over as few parts as possible, the last of which has less room.

    Raises
    ------
    ValueError
        If a single file, or nothing, fits into a part.
    """
    if last_room < 0 or any(block.stat().st_size > room for block in blocks):
        raise ValueError("The limit of a transfer must exceed the tree with the wheels or a file.")
    parts: list[list[Path]] = [[]]
    for block in blocks:
        if total([*parts[-1], block]) > room:
            parts.append([])
        parts[-1].append(block)
    if total(parts[-1]) > last_room:
        # The wheels come with the last part, which begins where the rest fits beside them.
        parts.append([])
        while total([parts[-2][-1], *parts[-1]]) <= last_room:
            parts[-1].insert(0, parts[-2].pop())
    return parts


def show(out: Path, count: int, tree: int, limit: float) -> int:
    """Print the size of each transfer; return 1 if one is too large."""
    print(f"Each transfer brings the tree, {tree / MB:.1f} MB, and one part:")
    sizes = [
        total(p for p in (out / f"part-{i}").rglob("*") if p.is_file()) for i in range(1, 1 + count)
    ]
    for number, size in enumerate(sizes, 1):
        print(f"  part-{number}: {size / MB:.1f} MB, together {(tree + size) / MB:.1f} MB")
    print(f"The limit of a transfer is {limit / MB:.0f} MB.")
    return int(any(tree + size > limit for size in sizes))


def tree_bytes() -> int:
    """Return the size of the files that git tracks or would track."""
    command = ["git", "-C", str(records.ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, check=True).stdout.split(b"\0")
    paths = [records.ROOT / name.decode() for name in listed if name]
    return total(path for path in paths if path.is_file())


def total(paths) -> int:
    """Return the size of some files together."""
    return sum(path.stat().st_size for path in paths)


def _from_datasets(folder: Path):
    """Read CIFAR-10 as uint8 images."""
    from frozenfit.datasets import load

    data = load("cifar10", data_dir=folder, dtype="uint8")
    return data.X_train, data.y_train, data.X_test, data.y_test


if __name__ == "__main__":
    sys.exit(main())
