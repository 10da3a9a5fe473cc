"""What a file holds of a base, and how it becomes one again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from frozenfit import draws
from frozenfit.layout import Survey
from frozenfit.training.base import Base
from frozenfit.training.network import Network
from frozenfit.training.recipe import Recipe, initializer_json

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
    drawn = {} if base.pretrained else _drawn(base, network, stored)
    about = {
        "seed": base.seed,
        "pretrained": base.pretrained,
        "trained": base.trained,
        "policy": base.policy,
        "fingerprint": base.fingerprint,
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
        base = Base(model, seed=about["seed"])
    else:
        recipe = Recipe(
            model,
            estimator.input_shape_,
            n_outputs,
            dict(estimator._settings.model_params or {}),
            initializer_json(estimator._settings.weight_init),
            drawn=not about["pretrained"],
            policy=about["policy"],
        )
        base = Base(recipe, seed=about["seed"])
    if base.model is None or about["trained"]:
        base.restore(stored, about["trained"])
    elif stored and network is None:
        _assign_values(base.model, stored)
    return base


def _assign_values(model: keras.Model, values: Mapping[str, np.ndarray]) -> None:
    """Load a file's values into the network that it described, which nothing else uses yet."""
    weights = Survey(model).weights
    if {p: tuple(v.shape) for p, v in weights.items()} != {
        p: tuple(v.shape) for p, v in values.items()
    }:
        raise ValueError("the frozen values are not those of the network the file describes")
    for path, variable in weights.items():
        variable.assign(values[path])


def again(
    recipe: dict[str, Any] | None,
    network: keras.Model | None,
    seed: int,
    weight_init: str | None,
    pretrained: bool,
    policy: Any,
) -> Base:
    """Make the base that an estimator was given as its model; its values come with its owner.

    Parameters
    ----------
    recipe : dict or None
        Of a base that was made from one.
    network : keras.Model or None
        The network of a base that was given.
    seed, weight_init, pretrained, policy
        The base's own.

    Returns
    -------
    Base
        The base.
    """
    if network is not None:
        return Base(network, seed=seed)
    assert recipe is not None
    return Base(
        Recipe(**recipe, kernel_initializer=weight_init, drawn=not pretrained, policy=policy),
        seed=seed,
    )


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
    if base.model is not None:
        if about["trained"]:
            network.check_values(stored)
        found = base.fingerprint
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
    if base.trained or (base.pretrained and base.model is None):
        raise ValueError(
            "the frozen values of this estimator came with the network its callable built, or "
            "from an earlier fit, and no seed gives them back; save with include_frozen=True"
        )
    if base.model is None:
        return base.unseeded(network.survey)
    now, then = network.values(Base(base.model)), network.values(base)
    if not all(np.array_equal(value, then[path]) for path, value in now.items()):
        raise ValueError(
            "the model of this estimator has other values now than when it was fitted, so it "
            "does not give the frozen ones back; save with include_frozen=True"
        )
    return {}


def _drawn(base: Base, network: Network, stored: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {p: v for p, v in network.values(base).items() if p not in stored}
