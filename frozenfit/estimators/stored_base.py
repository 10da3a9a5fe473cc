"""What a file holds of a base, and how it becomes one again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from frozenfit import draws
from frozenfit.training.base import Base, drawn_base, given_base
from frozenfit.training.network import Network

_MOMENT_TOLERANCE = 1e-6


def write(
    base: Base, network: Network, include_frozen: bool, include_trained: bool = False
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Say what a file needs of a base besides the recipe, which the parameters hold.

    Parameters
    ----------
    base : Base
        The base.
    network : Network
        A network of its structure.
    include_frozen : bool
        Store all values.
    include_trained : bool, default=False
        Store all values of a base that was trained.

    Returns
    -------
    about : dict
        Seed, precision, digest of the drawn values, fingerprint.
    stored : dict of str to ndarray
        What no seed gives back, by path.

    Raises
    ------
    ValueError
        Where neither a seed, a given network nor the file would give the values.
    """
    stored = _stored(base, network, include_frozen or (base.trained and include_trained))
    drawn = {} if base.kept else _drawn(base, network, stored)
    about = {
        "seed": base.seed,
        "kept": base.kept,
        "trained": base.trained,
        "policy": base.policy,
        "fingerprint": base.fingerprint(network.layout, network.frozen),
    }
    return about | draws_facts(base.seed, drawn), stored


def draws_facts(seed: int, drawn: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Say of drawn values what tells whether they are drawn again.

    Parameters
    ----------
    seed : int
        Their seed.
    drawn : dict of str to ndarray
        The values, by path.

    Returns
    -------
    dict
        For `check_draws`.
    """
    return {
        "stream": draws.stream_digest(seed, sorted(drawn)),
        "moments": {p: tuple(map(float, draws.moments(v))) for p, v in drawn.items()},
    }


def check_draws(seed: int, drawn: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """See that values drawn again are those that a file was made with.

    Parameters
    ----------
    seed, drawn
        As of `draws_facts`.
    about : dict
        What it gave.

    Raises
    ------
    ValueError
        Where the stream or the values differ.
    """
    if draws.stream_digest(seed, sorted(drawn)) != about["stream"]:
        raise ValueError(
            "the stream of random numbers is not the one the file was made with; it was made by "
            "another version of NumPy's bit generator, so save with include_frozen=True there"
        )
    for path, value in drawn.items():
        expected = about["moments"][path]
        if not np.allclose(draws.moments(value), expected, rtol=_MOMENT_TOLERANCE, atol=1e-9):
            raise ValueError(
                f"the frozen values of {path!r} drawn again have mean and spread "
                f"{draws.moments(value)}, but the file was made with {expected}; save with "
                "include_frozen=True on the machine that made it"
            )


def read(
    estimator: Any,
    n_outputs: int,
    about: Mapping[str, Any],
    stored: Mapping[str, np.ndarray],
    network: Any = None,
) -> Base:
    """Make the base of an estimator again; `check` then compares its values.

    Parameters
    ----------
    estimator : estimator
        Made from the stored parameters, with `input_shape_` set.
    n_outputs : int
        Number of outputs.
    about, stored
        What `write` gave.
    network : keras.Model or None, default=None
        The user's own network below the base, which is left as it is. A network that the file
        described is new, and gets the values of the file.

    Returns
    -------
    Base
        The base.
    """
    model = estimator._settings.model
    if isinstance(model, Base):
        base = model.with_outputs(n_outputs)
    elif isinstance(model, keras.Model):
        base = given_base(model, about["seed"])
    else:
        params = dict(estimator._settings.model_params or {})
        base = drawn_base(
            model,
            estimator.input_shape_,
            n_outputs,
            params,
            about["seed"],
            estimator._settings.weight_init,
            kept=about["kept"],
            policy=about["policy"],
        )
    if about["trained"]:
        made = base.with_values(stored) if base.given is not None else base
        made.trained = True
        base = made
    elif base.given is not None:
        if stored and network is None:
            base.write_to_given(stored)
        return base
    base.restore(stored)
    return base


def again(
    recipe: dict[str, Any] | None,
    network: keras.Model | None,
    seed: int,
    weight_init: str | None,
    kept: bool,
    policy: Any,
) -> Base:
    """Make the base that an estimator was given as its model; its values come with its owner.

    Parameters
    ----------
    recipe : dict or None
        Of a base that was made from one.
    network : keras.Model or None
        The network of a base that was given.
    seed, weight_init, kept, policy
        The base's own.

    Returns
    -------
    Base
        The base.
    """
    if network is not None:
        return given_base(network, seed)
    return Base(recipe, seed, weight_init, kept=kept, policy=policy)


def check(
    base: Base, network: Network, about: Mapping[str, Any], stored: Mapping[str, np.ndarray]
) -> None:
    """See that a base made again has the values it had.

    Parameters
    ----------
    base : Base
        The base, as `read` made it.
    network : Network
        A network of its structure.
    about, stored
        What `write` gave.

    Raises
    ------
    ValueError
        Where a name, a shape, a draw or the fingerprint differs.
    """
    if base.given is not None:
        if about["trained"]:
            network.check_values(stored)
        found = base.fingerprint(network.layout, network.frozen)
        if found != about["fingerprint"]:
            raise ValueError(
                f"the base has the fingerprint {found}, but the file was made on one with "
                f"{about['fingerprint']}; give frozenfit.load the same network with its weights"
            )
        return
    network.check_values(stored)
    check_draws(base.seed, _drawn(base, network, stored), about)


def _stored(base: Base, network: Network, whole: bool) -> dict[str, np.ndarray]:
    if whole:
        return network.values(base)
    if base.trained or (base.kept and base.given is None):
        raise ValueError(
            "the frozen values of this estimator came with the network its callable built, or "
            "from an earlier fit, and no seed gives them back; save with include_frozen=True"
        )
    if base.given is None:
        return base.stored(network.layout, network.frozen)
    now, then = network.values(given_base(base.given)), network.values(base)
    if not all(np.array_equal(value, then[path]) for path, value in now.items()):
        raise ValueError(
            "the model of this estimator has other values now than when it was fitted, so it "
            "does not give the frozen ones back; save with include_frozen=True"
        )
    return {}


def _drawn(base: Base, network: Network, stored: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {p: v for p, v in network.values(base).items() if p not in stored}
