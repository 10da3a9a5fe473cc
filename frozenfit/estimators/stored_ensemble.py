"""The contents of a file for a fitted ensemble: its base once, and the delta of each member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frozenfit.estimators import stored, stored_base, stored_history
from frozenfit.estimators.partial_base import set_fitted
from frozenfit.training.workspace import workspace

if TYPE_CHECKING:
    from frozenfit.estimators.ensemble_base import CheapEnsemble


def fitted_state(
    ensemble: CheapEnsemble, include_frozen: bool, include_optimizer: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file needs for a fitted ensemble besides its constructor parameters.

    Parameters
    ----------
    ensemble : CheapEnsemble
        The fitted ensemble.
    include_frozen : bool
        Whether to store the frozen values too.
    include_optimizer : bool
        Whether to store the states of the optimizers too.

    Returns
    -------
    meta : dict
        Values that JSON can represent, and small arrays.
    arrays : dict of str to ndarray
        ``base/...``, and for each member its number and the names of `stored.part_state` and
        `stored_history.write`.

    Raises
    ------
    ValueError
        If frozen values that are not stored could not be restored, or the members share an
        optimizer.
    """
    if include_optimizer and ensemble._joint_optimizer is not None:
        raise ValueError(
            "`include_optimizer=True` requires members that have an optimizer each, but with "
            "base='joint' one optimizer trains all of them. Use include_optimizer=False; a fit "
            "that continues after loading starts with a new optimizer."
        )
    # Members are restored with the optimizer of `estimator`, which may have changed.
    optimizer = ensemble._settings.optimizer
    with workspace.check_out(ensemble.base_) as network:
        about, values = stored_base.write(ensemble.base_, network, include_frozen, True)
        parts = [
            stored.part_state(
                m, network, include_frozen, include_optimizer and m.optimizer == optimizer
            )
            for m in ensemble.estimators_
        ]
    own = {
        "base": about,
        "base_history": ensemble.base_history_,
        "history": ensemble.history_,
        "seeds": ensemble._seeds,
        "numbers": ensemble._numbers,
        "made": ensemble._made,
        "temperature": getattr(ensemble, "temperature_", None),
    }
    arrays = {f"base/{path}": value for path, value in values.items()}
    own["members"] = []
    for i, (member, (meta, trainable)) in enumerate(zip(ensemble.estimators_, parts, strict=True)):
        number = ensemble._numbers[i]
        history, matrix = stored_history.write(meta["history"])
        about_it = {"history": history, "trainable": member.trainable, "number": number}
        own["members"].append(meta | about_it)
        arrays |= {f"{i}/{name}": value for name, value in (trainable | matrix).items()}
    return stored.data_state(ensemble) | own, arrays


def restore(
    ensemble: CheapEnsemble, meta: dict, arrays: dict[str, np.ndarray], base: Any = None
) -> None:
    """Set the fitted attributes of an ensemble from the contents of a file.

    Parameters
    ----------
    ensemble : CheapEnsemble
        Constructed from the stored parameters.
    meta, arrays
        The result of `fitted_state`.
    base : Base, keras.Model or None, default=None
        The base, where another estimator of the file has restored it; or the network that the
        user gave again.

    Raises
    ------
    ValueError
        If a name, shape, type, drawn value or fingerprint does not match the network.
    """
    stored.restore_data(ensemble, meta)
    found = stored.restore_base(ensemble, meta, stored.group(arrays, "base"), base)
    ensemble._seeds, ensemble._made = meta["seeds"], meta["made"]
    ensemble._fitted_as, ensemble._joint_optimizer = ensemble._settings_fitted(), None
    ensemble.base_history_, ensemble.history_ = meta["base_history"], meta["history"]
    members = []
    with workspace.check_out(found) as network:
        for i, about in enumerate(meta["members"]):
            member = ensemble._member(found, about["trainable"], about["number"])
            own = stored.group(arrays, str(i))
            part = stored.restore_part(member, about, own, network, found)
            set_fitted(member, part, stored_history.read(about["history"], own))
            members.append(member)
    if meta["temperature"] is not None:
        ensemble.temperature_ = meta["temperature"]
    ensemble._take_in(found, members, meta["numbers"])
