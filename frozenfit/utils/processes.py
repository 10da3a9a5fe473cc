"""Processes that were forked after the backend had started its threads."""

from __future__ import annotations

import os

import keras

_first_user: int | None = None


def check_not_forked() -> None:
    """Raise an error where the threads of the backend were lost in a fork.

    The first computation starts the threads of TensorFlow and JAX. A forked child has none of them,
    and would wait for them without end. To be called before each computation by the backend.

    Raises
    ------
    RuntimeError
        If another process called this function first, on TensorFlow or JAX.
    """
    global _first_user
    process, backend = os.getpid(), keras.config.backend()
    if _first_user is None:
        _first_user = process
    elif process != _first_user and backend in ("tensorflow", "jax"):
        raise RuntimeError(
            f"{backend} does not work in a process that was forked after its first use. Start "
            "processes by 'spawn' or 'forkserver' (multiprocessing.set_start_method), or use "
            "joblib, whose default loky does so."
        )
