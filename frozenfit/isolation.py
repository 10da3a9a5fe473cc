"""Private random streams, fresh layer names, and every private part of Keras that is used here.

Building a Keras model draws from Python's ``random``; unseeded dropout on torch draws from the
global generator of torch; automatic layer names depend on what the process built before. Inside
:func:`isolated` all of these start from a given seed and from empty counters, and their previous
state is restored afterwards.
"""

from __future__ import annotations

import functools
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Seeds are below it: every backend and NumPy accept such an int.
SEED_LIMIT = 2**31 - 1
# The global streams belong to the process: if two threads overlapped, each would save the state of
# the other and restore it as that of the user. The lock is re-entrant, because blocks are nested.
_global_streams = threading.RLock()


def spawn(seed: int, *names: str) -> dict[str, int]:
    """Derive independent seeds for named streams from one seed.

    Parameters
    ----------
    seed : int
        The seed.
    *names : str
        The names of the streams. A seed depends on the position of its name, not on the name.

    Returns
    -------
    dict of str to int
        A seed in [0, 2**31 - 1) for each name.

    Examples
    --------
    >>> from frozenfit.isolation import spawn
    >>> spawn(0, "network", "batches") == spawn(0, "network", "batches")
    True
    """
    state = np.random.SeedSequence(seed).generate_state(len(names), np.uint64)
    return {name: int(value % SEED_LIMIT) for name, value in zip(names, state, strict=True)}


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run a block on private random streams and fresh layer names.

    The global streams of Python, NumPy, Keras and the backend start from `seed` inside the block
    and are restored afterwards, as are the counters behind automatic layer names.

    Parameters
    ----------
    seed : int
        Seed of all streams inside the block, 0 <= seed < 2**32.

    Examples
    --------
    >>> import random
    >>> from frozenfit.isolation import isolated
    >>> before = random.getstate()
    >>> with isolated(3):
    ...     _ = random.random()
    >>> random.getstate() == before
    True
    """
    with _global_streams:
        python_state = random.getstate()
        numpy_state = np.random.get_state()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            with _keras_names_and_seed(seed), _backend_streams(seed):
                yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


_KERAS_ATTRIBUTES = ("object_name_uids", "global_seed_generator", "global_random_seed")


@contextmanager
def _keras_names_and_seed(seed: int) -> Iterator[None]:
    from keras.src.backend.common import global_state

    saved = {name: global_state.get_global_attribute(name) for name in _KERAS_ATTRIBUTES}
    global_state.set_global_attribute("object_name_uids", defaultdict(int))
    global_state.set_global_attribute("global_seed_generator", None)
    global_state.set_global_attribute("global_random_seed", seed)
    try:
        yield
    finally:
        for name, value in saved.items():
            global_state.set_global_attribute(name, value)


@contextmanager
def _backend_streams(seed: int) -> Iterator[None]:
    import keras

    backend = keras.config.backend()
    if backend == "torch":
        import torch

        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(seed)
            yield
    elif backend == "tensorflow":
        from tensorflow.python.eager import context as eager

        # Not tf.random.set_seed: it also empties the kernel cache, which costs every later call.
        context: Any = eager.context()
        saved = context._seed, getattr(context, "_rng", None)
        context._seed, context._rng = seed, random.Random(seed)
        try:
            yield
        finally:
            context._seed, context._rng = saved
    else:  # JAX has no global stream
        yield


@contextmanager
def under_policy(policy: Any) -> Iterator[None]:
    """Set the dtype policy of Keras inside a block.

    Parameters
    ----------
    policy : keras.DTypePolicy
        The policy of layers that are built in the block.
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


_QUICK = ("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Orthogonal")
_QUICK += ("Zeros", "Ones")
_swap = threading.RLock()
_replacements: dict[int, Callable] = {}


@contextmanager
def initial_values(give: Callable[[Any, tuple[int, ...]], Any]) -> Iterator[None]:
    """Replace the initial values of variables that this thread builds, on JAX.

    JAX compiles every random draw for every shape, which takes tens of seconds for a deep network.
    On other backends, the block runs unchanged.

    Parameters
    ----------
    give : callable
        ``give(initializer, shape)`` returns the initial value of a variable as an array, or None
        to let Keras compute it.
    """
    import keras

    if keras.config.backend() != "jax":
        yield
        return
    kinds = [getattr(keras.initializers, name) for name in _QUICK]
    thread = threading.get_ident()
    with _swap:
        outer = _replacements.get(thread)
        if not _replacements:
            for kind in kinds:
                kind.__call__ = _replaceable(kind.__call__)
        _replacements[thread] = give
    try:
        yield
    finally:
        with _swap:
            del _replacements[thread]
            if outer is not None:
                _replacements[thread] = outer
            if not _replacements:
                for kind in kinds:
                    kind.__call__ = kind.__call__.__wrapped__


def _replaceable(original: Callable) -> Callable:
    @functools.wraps(original)
    def call(self, shape, dtype=None, **kwargs):
        import keras

        give = _replacements.get(threading.get_ident())
        value = None if give is None else give(self, tuple(shape))
        if value is None:
            return original(self, shape, dtype=dtype, **kwargs)
        return keras.ops.convert_to_tensor(value, dtype=dtype or keras.config.floatx())

    return call


@contextmanager
def generators_of_torch(give: Callable[[Any], Any]) -> Iterator[None]:
    """Replace the generators that Keras makes from seeds on torch, in this thread.

    Parameters
    ----------
    give : callable
        ``give(seed)`` returns the generator of a draw with a seed.
    """
    import keras.src.backend.torch.random as module

    thread = threading.get_ident()

    def generator(seed):
        return give(seed) if threading.get_ident() == thread else original(seed)

    with _swap:
        original = module.torch_seed_generator
        module.torch_seed_generator = generator
    try:
        yield
    finally:
        with _swap:
            module.torch_seed_generator = original


class TorchStream:
    """A private random stream of torch, which continues from one entered block to the next.

    Dropout without a seed draws from the global generators of torch. Their states are replaced
    inside a block and restored afterwards.

    Parameters
    ----------
    seed : int
        Seed of the stream.
    """

    def __init__(self, seed: int):
        self._seed = seed
        self._states: tuple[Any, Any] | None = None

    def state(self) -> dict[str, np.ndarray]:
        """Return the states of the generators by device; empty before the first block."""
        if self._states is None:
            return {}
        cpu, gpus = self._states
        return {f"{i:03}": state.numpy().copy() for i, state in enumerate((cpu, *gpus))}

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> TorchStream:
        """Return a stream that continues from a state.

        Parameters
        ----------
        state : dict of str to ndarray
            What `state` returned.

        Returns
        -------
        TorchStream
            The stream.
        """
        import torch

        stream = cls(0)
        cpu, *gpus = [torch.from_numpy(state[name]) for name in sorted(state)]
        stream._states = cpu, gpus
        return stream

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let torch draw from this stream inside the block."""
        import torch

        devices = range(torch.cuda.device_count())
        with _global_streams, torch.random.fork_rng(devices=devices):
            if self._states is None:
                torch.manual_seed(self._seed)
            else:
                torch.set_rng_state(self._states[0])
                torch.cuda.set_rng_state_all(self._states[1])
            yield
            gpus = range(torch.cuda.device_count())
            self._states = torch.get_rng_state(), [torch.cuda.get_rng_state(i) for i in gpus]


@contextmanager
def inference_mode(layers: list[Any]) -> Iterator[None]:
    """Call some layers in inference mode, whatever the mode of the network around them.

    The flags of the layers are unchanged: only ``call`` of each instance is replaced, for the
    duration of the block.

    Parameters
    ----------
    layers : list of keras.Layer
        Layers whose ``call`` has the argument `training`.
    """
    saved = [(layer, layer.__dict__.get("call")) for layer in layers]
    for layer in layers:
        layer.__dict__["call"] = _without_training(layer.call)
    try:
        yield
    finally:
        for layer, own in saved:
            del layer.__dict__["call"]
            if own is not None:
                layer.__dict__["call"] = own


def _without_training(call: Any) -> Any:
    def inference(*args, **kwargs):
        kwargs["training"] = False
        return call(*args, **kwargs)

    return inference


@contextmanager
def full_precision() -> Iterator[None]:
    """Read variables in their own dtype inside a block, whatever the dtype policy around it."""
    from keras.src.backend.common import global_state

    # Not AutocastScope(None), in which a variable of float64 says that it is one of floatx.
    name = "autocast_scope"
    around = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, None)
    try:
        yield
    finally:
        global_state.set_global_attribute(name, around)


@contextmanager
def fresh_paths() -> Iterator[None]:
    """Let the paths of variables that are created in a block begin there.

    Otherwise they begin with the names of the models and layers that are being built around it.
    """
    from keras.src.backend.common import global_state

    name = "name_scope_stack"
    stack: Any = global_state.get_global_attribute(name, default=[], set_to_default=True)
    around = list(stack)
    stack.clear()  # the list itself stays: scopes around the block remove themselves from it
    try:
        yield
    finally:
        stack[:] = around


def initial_value(variable: Any) -> Callable[[], Any]:
    """Return a function that gives the initial value of a variable as a tensor.

    Parameters
    ----------
    variable : keras.Variable
        A variable. One that is created while Keras computes shapes has no value until that is
        done, only an initializer, which gives the same value at each call.

    Returns
    -------
    callable
        A later `set_initial_value` does not change what it returns.
    """
    import keras

    if variable._value is None:
        initializer = variable._initializer
        return lambda: initializer(tuple(variable.shape), dtype=variable._dtype)
    value = np.array(keras.ops.convert_to_numpy(variable.value))
    return lambda: keras.ops.convert_to_tensor(value)


def set_initial_value(variable: Any, give: Callable[[], np.ndarray]) -> None:
    """Set the initial value of a variable, now or when Keras initializes it.

    Parameters
    ----------
    variable : keras.Variable
        A variable.
    give : callable
        Returns the value.
    """
    import keras

    if variable._value is None:
        variable._initializer = lambda shape, dtype=None: keras.ops.convert_to_tensor(
            give(), dtype=dtype
        )
    else:
        variable.assign(give())


def forget_losses(layer: Any) -> None:
    """Remove the losses that a layer recorded in a call, so that they are not counted twice.

    Parameters
    ----------
    layer : keras.Layer
        The layer.
    """
    layer._clear_losses()


def names_without_decay(optimizer: Any) -> str | None:
    """Return the weights excluded by `exclude_from_weight_decay`, which copies do not keep.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        An optimizer.

    Returns
    -------
    str or None
        The names as one regular expression; empty where variables are excluded instead of names,
        None where nothing is excluded.
    """
    pattern = getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
    if getattr(optimizer, "_exclude_from_weight_decay", None):
        return ""
    return None if pattern is None else pattern.pattern


def metrics_list(metrics: list[Any]) -> Any:
    """Return metrics in the container in which Keras's callbacks look for the monitored one.

    Parameters
    ----------
    metrics : list of keras.metrics.Metric
        The metrics.

    Returns
    -------
    keras.metrics.Metric
        For the `metrics` of a model.
    """
    from keras.src.trainers.compile_utils import MetricsList

    return MetricsList(metrics)
