"""Which parameters of an ensemble can be combined, and how its members are trained together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frozenfit.estimators.ensemble_training import Together
from frozenfit.utils.scikit_learn import has_callbacks

if TYPE_CHECKING:
    from frozenfit.estimators.ensemble_base import CheapEnsemble

__all__ = ["check_settings", "make_together", "refuse_if_joint", "stops_together"]


def stops_together(ensemble: CheapEnsemble) -> bool:
    """Return whether the validation loss of the ensemble ends the training of all members.

    Parameters
    ----------
    ensemble : CheapEnsemble
        The ensemble.

    Returns
    -------
    bool
        False where each member stops by itself.
    """
    joint = ensemble.base == "joint"
    return ensemble.stopping == "ensemble" or (joint and ensemble.stopping == "auto")


def check_settings(ensemble: CheapEnsemble) -> None:
    """Raise a ValueError where parameters of an ensemble cannot be combined.

    Parameters
    ----------
    ensemble : CheapEnsemble
        The ensemble, each of whose parameters is valid by itself.

    Raises
    ------
    ValueError
        If adapters would scale zeros, or a joint base is combined with members that train kernels
        or stop by themselves.
    """
    if ensemble.members == "adapters" and ensemble._settings.frozen == "zero":
        raise ValueError(
            "`members='adapters'` requires kernels that can be scaled, got an estimator with "
            "frozen='zero'. Use frozen='auto'."
        )
    if ensemble.base != "joint":
        return
    if ensemble.members != "adapters":
        raise ValueError(
            "`base='joint'` requires members='adapters', which share the kernels that are trained "
            f"for all of them, got members={ensemble.members!r}. Use members='adapters', or "
            "base='trained'."
        )
    if ensemble.stopping == "members":
        raise ValueError(
            "`base='joint'` requires stopping='auto' or 'ensemble', because the shared kernels "
            "have one best epoch for all members, got stopping='members'. Use stopping='ensemble'."
        )


def make_together(ensemble: CheapEnsemble) -> Together | None:
    """Return how the members of an ensemble are trained in one compiled pass.

    Parameters
    ----------
    ensemble : CheapEnsemble
        The ensemble.

    Returns
    -------
    Together or None
        None trains one after the other.

    Raises
    ------
    ValueError
        If members that require one pass must be trained one after the other.
    """
    required_by, instead = _requirement(ensemble)
    # The callbacks of scikit-learn follow one member after the other.
    follows = has_callbacks(ensemble)
    if follows and required_by is not None:
        raise ValueError(
            f"`{required_by}` requires an ensemble without callbacks of scikit-learn, which follow "
            f"one member after the other. Use {instead}, or remove the callbacks."
        )
    if ensemble.vectorize is False and required_by is not None:
        raise ValueError(
            f"`{required_by}` requires members that are trained in one compiled pass, got "
            f"vectorize=False. Use vectorize='auto', or {instead}."
        )
    if follows or not ensemble.vectorize:
        return None
    average = ensemble._average if stops_together(ensemble) else None
    return Together(required_by, instead, ensemble.base == "joint", average)


def _requirement(ensemble: CheapEnsemble) -> tuple[str | None, str]:
    """Return the parameter for which members must be trained in one pass, and an alternative."""
    if ensemble.base == "joint":
        return "base='joint'", "base='frozen' or base='trained'"
    if stops_together(ensemble):
        return "stopping='ensemble'", "stopping='members'"
    if ensemble.vectorize is True:
        return "vectorize=True", "vectorize='auto', which trains such members one after the other"
    return None, ""


def refuse_if_joint(ensemble: CheapEnsemble, method: str) -> None:
    """Raise a ValueError where members were trained jointly with their base.

    Parameters
    ----------
    ensemble : CheapEnsemble
        A fitted ensemble.
    method : str
        The method that requires members that do not depend on each other.

    Raises
    ------
    ValueError
        If they do.
    """
    if ensemble._fitted_as["base"] == "joint":
        raise ValueError(
            f"`{method}` requires members that do not depend on each other, but with base='joint' "
            "the kernels are trained for exactly these members. Fit again with another "
            "n_estimators, use base='trained', or predict with n_members=... for the first members."
        )
