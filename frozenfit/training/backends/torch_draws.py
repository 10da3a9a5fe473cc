"""Random draws of layers with a seed in recorded steps on torch.

Keras reads the state of a seed generator as a number and seeds a new generator of torch with it.
While a step is recorded, the read and the draw that follows it are recorded as one operation on
the state, which reads it again in every step. Layers without a seed draw from the global
generators of torch, and their draws are recorded as other operations are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras

from frozenfit.isolation import generators_of_torch


@contextmanager
def recorded_draws() -> Iterator[None]:
    """Make draws from seeded generators part of what `make_fx` records in the block.

    Yields
    ------
    None
        Until the block ends.
    """
    mode = _mode()()
    with generators_of_torch(mode.generator), mode:
        yield


def generator_states() -> list[Any]:
    """Return the states of torch's global generators, the one of the CPU first."""
    import torch

    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def restore_generators(states: Sequence[Any]) -> None:
    """Return torch's global generators to what `generator_states` returned."""
    import torch

    torch.set_rng_state(states[0])
    torch.cuda.set_rng_state_all(states[1:])


def draw(name: str, seed: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Draw as Keras does.

    Parameters
    ----------
    name : str
        Name of a function of torch.
    seed : scalar tensor
        The seed.
    args, options : sequence, mapping
        Arguments of the function besides the generator.

    Returns
    -------
    tensor
        The random numbers.
    """
    import torch

    generator = torch.Generator(device=seed.device)
    generator.manual_seed(int(seed) & 0xFFFFFFFF)
    return getattr(torch, name)(*args, generator=generator, **options)


@cache
def _mode() -> type:
    import torch
    from torch.overrides import TorchFunctionMode

    class RecordedDraws(TorchFunctionMode):
        def __init__(self):
            super().__init__()
            self._seeds: dict[Any, Any] = {}

        def generator(self, seed: Any) -> Any:
            """Return a generator that stands for the seed."""
            if not isinstance(seed, keras.random.SeedGenerator):
                raise TypeError("A draw without a seed generator changes no state of the network.")
            first, second = seed.next()
            total = first + second
            generator = torch.Generator(device=total.device)
            self._seeds[generator] = total
            return generator

        def __torch_function__(self, func, types, args=(), kwargs=None):
            options = dict(kwargs or {})
            generator = options.pop("generator", None)
            if generator is None:
                return func(*args, **options)
            return _recorded(func.__name__, self._seeds[generator], args, options)

    return RecordedDraws


def _recorded(*args: Any) -> Any:
    """Call `draw`, and record the call as one operation."""
    from torch.fx.experimental import proxy_tensor
    from torch.utils._pytree import tree_map

    mode = proxy_tensor.get_proxy_mode()
    assert mode is not None
    tracer = mode.tracer
    proxy = tracer.create_proxy("call_function", draw, tree_map(tracer.unwrap_proxy, args), {})
    with proxy_tensor.disable_proxy_modes_tracing():
        drawn = draw(*args)
    return proxy_tensor.track_tensor_tree(drawn, proxy, constant=None, tracer=tracer)
