"""The contents of a file for a base: which values it needs, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from frozenfit import architectures, draws
from frozenfit.architectures.application import application
from frozenfit.layout import Survey
from frozenfit.training.base import Base
from frozenfit.training.network import Network
from frozenfit.training.recipe import Recipe, initializer_json

_MOMENT_TOLERANCE = 1e-6


def write(
    base: Base, network: Network, include_frozen: bool, include_trained: bool = False
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file needs for a base besides its recipe, which the parameters contain.

    Parameters
    ----------
    base : Base
        The base.
    network : Network
        A network with the structure of the base.
    include_frozen : bool
        Whether to store all values.
    include_trained : bool, default=False
        Whether to store all values of a base that was trained.

    Returns
    -------
    about : dict
        Seed, precision, digest of the drawn values, fingerprint.
    stored : dict of str to ndarray
        Values by path that no seed determines.

    Raises
    ------
    ValueError
        If neither a seed, a given network nor the file would restore the values.
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
    return about | draw_digest(base.seed, drawn), stored


def draw_digest(seed: int, drawn: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what identifies drawn values: a digest of the random stream, and their moments.

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
    """Raise an error where values drawn again differ from those that a file was saved with.

    Parameters
    ----------
    seed, drawn
        The arguments of `draw_digest`.
    about : dict
        Its result.

    Raises
    ------
    ValueError
        If the stream or the values differ.
    """
    if draws.stream_digest(seed, sorted(drawn)) != about["stream"]:
        raise ValueError(
            "The random stream differs from that of the machine that saved the file, which has "
            "another version of NumPy's bit generator. Save with include_frozen=True there."
        )
    for path, value in drawn.items():
        expected = about["moments"][path]
        if not np.allclose(draws.moments(value), expected, rtol=_MOMENT_TOLERANCE, atol=1e-9):
            raise ValueError(
                f"The frozen values of {path!r} were saved with mean and standard deviation "
                f"{expected}, but drawn again they have {draws.moments(value)}. Save with "
                "include_frozen=True on the machine that saved the file."
            )


def read(
    estimator: Any,
    n_outputs: int,
    about: Mapping[str, Any],
    stored: Mapping[str, np.ndarray],
    network: Any = None,
) -> Base:
    """Return the base of an estimator from the contents of a file; `check` compares its values.

    Parameters
    ----------
    estimator : estimator
        Constructed from the stored parameters, with `input_shape_` set.
    n_outputs : int
        Number of outputs.
    about, stored
        The result of `write`.
    network : keras.Model or None, default=None
        The network that the user gave again, which is not changed. None where the file describes
        the network; the values of the file are then loaded into it.

    Returns
    -------
    Base
        The base.
    """
    model = estimator._settings.model
    n_logits = None if estimator._task == "regression" else n_outputs
    if isinstance(model, Base):
        base = model.with_outputs(n_outputs)
    elif isinstance(model, keras.Model):
        base = Base(model, seed=about["seed"], n_logits=n_logits)
    else:
        recipe = Recipe(
            model,
            estimator.input_shape_,
            n_outputs,
            _offline(model, estimator._settings.model_params or {}),
            initializer_json(estimator._settings.weight_init),
            drawn=not about["pretrained"],
            policy=about["policy"],
        )
        base = Base(recipe, seed=about["seed"], n_logits=n_logits)
    if base.model is None or about["trained"]:
        base.restore(stored, about["trained"])
    elif stored and network is None:
        _assign_values(base.model, stored)
    return base


def _offline(model: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a network of a file, which must not download or read weights.

    All values come from the file or the seed, so the weights of the application are not needed.
    """
    builder = architectures.find(model) if isinstance(model, str) else model
    if builder is application and params.get("weights") is not None:
        return {**params, "weights": None}
    return dict(params)


def _assign_values(model: keras.Model, values: Mapping[str, np.ndarray]) -> None:
    """Load a file's values into the network that it described, which nothing else uses yet."""
    weights = Survey(model).weights
    if {p: tuple(v.shape) for p, v in weights.items()} != {
        p: tuple(v.shape) for p, v in values.items()
    }:
        raise ValueError("the frozen values do not match the network that the file describes")
    for path, variable in weights.items():
        variable.assign(values[path])


def shared_base(
    recipe: dict[str, Any] | None,
    network: keras.Model | None,
    seed: int,
    weight_init: str | None,
    pretrained: bool,
    policy: Any,
    n_logits: int | None,
) -> Base:
    """Return the base that an estimator was given as its model; its owner restores the values.

    Parameters
    ----------
    recipe : dict or None
        Fields of the `Recipe` of a base that was built from one.
    network : keras.Model or None
        The network of a base that was given as one.
    seed, weight_init, pretrained, policy, n_logits
        Further attributes of base and recipe.

    Returns
    -------
    Base
        A new base.
    """
    if network is not None:
        return Base(network, seed=seed, n_logits=n_logits)
    assert recipe is not None
    recipe = {**recipe, "params": _offline(recipe["model"], recipe["params"])}
    return Base(
        Recipe(**recipe, kernel_initializer=weight_init, drawn=not pretrained, policy=policy),
        seed=seed,
        n_logits=n_logits,
    )


def check(
    base: Base, network: Network, about: Mapping[str, Any], stored: Mapping[str, np.ndarray]
) -> None:
    """Raise an error where a base from a file does not have the values that were saved.

    Parameters
    ----------
    base : Base
        The result of `read`.
    network : Network
        A network with the structure of the base.
    about, stored
        The result of `write`.

    Raises
    ------
    ValueError
        If a name, a shape, a drawn value or the fingerprint differs.
    """
    if base.model is not None:
        if about["trained"]:
            network.check_values(stored)
        found = base.fingerprint
        if found != about["fingerprint"]:
            raise ValueError(
                f"The base has the fingerprint {found}, but the file was saved on a base with "
                f"{about['fingerprint']}. Pass frozenfit.load the same network with its weights."
            )
        return
    network.check_values(stored)
    check_draws(base.seed, _drawn(base, network, stored), about)


def _stored(base: Base, network: Network, whole: bool) -> dict[str, np.ndarray]:
    if whole:
        return network.values(base)
    if base.trained or (base.pretrained and base.model is None):
        raise ValueError(
            "The frozen values of this estimator were built by a callable or trained by an "
            "earlier fit, so that no seed determines them. Save with include_frozen=True."
        )
    if base.model is None:
        return base.unseeded(network.survey)
    now, then = network.values(Base(base.model)), network.values(base)
    if not all(np.array_equal(value, then[path]) for path, value in now.items()):
        raise ValueError(
            "The model of this estimator has changed since the fit, so that its weights are not "
            "the frozen values. Save with include_frozen=True."
        )
    return {}


def _drawn(base: Base, network: Network, stored: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {p: v for p, v in network.values(base).items() if p not in stored}
