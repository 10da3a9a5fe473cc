"""The device that a run uses: its name, its driver, its memory and its peak speed."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import keras

# Dense matrix products in TFLOP/s, from the vendors' data sheets: bfloat16, and float32 by the
# tensor cores (TF32), which JAX uses for float32 by default. The first name found in that of the
# device counts.
_PEAKS = {
    "H200": (989.0, 494.0),
    "H100 PCIe": (756.0, 378.0),
    "H100": (989.0, 494.0),
    "A100": (312.0, 156.0),
    "L40S": (362.0, 183.0),
    "L4": (121.0, 60.0),
    "A10": (125.0, 62.5),
    "RTX 4090": (165.0, 82.6),
}


def name() -> str:
    """Return the name of the device on which the backend of the process computes."""
    backend = keras.config.backend()
    found = ""
    if backend == "jax":
        import jax

        first = jax.devices()[0]
        found = first.device_kind if first.platform != "cpu" else ""
    elif backend == "torch":
        import torch

        found = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    else:
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            found = found or tf.config.experimental.get_device_details(gpu)["device_name"]
    return found or f"CPU ({_processor()})"


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def driver() -> str | None:
    """Return the version of the NVIDIA driver, where there is one."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.splitlines()[0].strip()


def peak_bytes() -> int | None:
    """Return the most memory that the backend's allocator has given out in this process.

    None on a CPU, whose allocator does not count. JAX cannot reset the figure, so that one arm per
    process (`--isolate`) is the only way to measure an arm.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return None
    return tf.config.experimental.get_memory_info("GPU:0")["peak"]


def peak_tflops(device: str, precision: str) -> float | None:
    """Return the speed of matrix products by the data sheet, where the device is a known one."""
    for known, peaks in _PEAKS.items():
        if re.search(rf"\b{known}\b", device):
            return peaks[precision == "float32"]
    return None
