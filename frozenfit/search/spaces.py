"""The search space of each kind of estimator; every part can be fixed, replaced or left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scipy.stats import loguniform
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from frozenfit.search._optuna import load_optuna
from frozenfit.utils.names import did_you_mean

if TYPE_CHECKING:
    import optuna

# With a smaller fraction, common small layers train one filter whatever the fraction is.
_LEAST_FRACTION = 0.005
# "auto" depends on the schedule and the layer types; the other rates are half a decade apart.
_RATES = ("auto", 0.001, 0.003, 0.01, 0.03)
_KINDS = ("filters", "random")
_ELM_INITS = ("random", "orthogonal")
_ELM_UNITS = (50, 2000)


@dataclass(frozen=True)
class Space:
    """The search space of one estimator.

    Attributes
    ----------
    prefix : str
        Prefix of the network's parameter names in the whole estimator, for a pipeline.
    parts : dict of str to object
        An Optuna distribution, a callable of a trial, or a fixed value for each part.
    groups : tuple of str
        Patterns of weight paths, each of which has its own fraction.
    own : frozenset of str
        Names of the parameters that take the prefix.
    defaults : tuple of dict
        Values for the first trials.
    """

    prefix: str
    parts: dict[str, Any]
    groups: tuple[str, ...]
    own: frozenset[str]
    defaults: tuple[dict[str, Any], ...]

    def sample(self, trial: Any) -> dict[str, Any]:
        """Suggest a value for every part.

        Parameters
        ----------
        trial : optuna.Trial
            The trial, or a FixedTrial with the values of an earlier one.

        Returns
        -------
        dict of str to object
            Parameters for ``set_params`` of the whole estimator.
        """
        values = {name: _drawn(trial, name, part) for name, part in self.parts.items()}
        if "fraction" in values or "kind" in values:
            values["trainable"] = self._trainable(values)
        if "units" in values:
            values["hidden_layer_sizes"] = (int(values.pop("units")),)
        return {self.prefix + n if n in self.own else n: v for n, v in values.items()}

    def _trainable(self, values: dict[str, Any]) -> Any:
        kind = values.pop("kind", "filters")
        if not self.groups:
            p = _rounded(values.pop("fraction"))
            return p if kind == "filters" else f"{kind}({p}) | batch_norm()"
        values.pop("fraction", None)
        cuts = [
            f"{kind}({_rounded(values.pop(_group_name(glob)))}).on({glob!r})"
            for glob in self.groups
        ]
        return " | ".join([*cuts, "head()", "batch_norm()"])

    def known_good(self) -> list[dict[str, Any]]:
        """Return the values for the first trials that the parts allow.

        Returns
        -------
        list of dict
            Values by name, without duplicates.
        """
        found: list[dict[str, Any]] = []
        for default in self.defaults:
            values = {n: v for n, v in default.items() if _allows(self.parts.get(n), v)}
            if values and values not in found:
                found.append(values)
        return found


def suggest(
    trial: optuna.trial.BaseTrial,
    estimator: BaseEstimator,
    *,
    groups: Sequence[str] = (),
    leave: Sequence[str] = (),
    **parts: Any,
) -> dict[str, Any]:
    """Suggest parameters for an estimator.

    The space of a `PartialNetClassifier` or `PartialNetRegressor` has the parts `kind` (of the
    selector: ``"filters"`` as with ``trainable=0.1``, or ``"random"`` for individual parameters),
    `fraction` (0.005 to 1 on a logarithmic scale, because accuracy changes most at small
    fractions), `frozen` and `learning_rate`. The space of an ELM has `units` and `weight_init`.

    Parameters
    ----------
    trial : optuna.Trial
        The trial.
    estimator : estimator
        An estimator of this package, or a pipeline that ends in one.
    groups : sequence of str, default=()
        Patterns of weight paths, such as ``("block1_*", "block2_*")``. Each has its own fraction
        in place of `fraction`; all other hidden weights are frozen.
    leave : sequence of str, default=()
        Parts that are not searched and keep the value of the estimator.
    **parts : object
        Parts and further parameters of the estimator by name: an Optuna distribution to suggest
        from, a callable ``f(trial) -> value``, or a fixed value. `trainable` replaces `kind` and
        `fraction`.

    Returns
    -------
    dict of str to object
        Parameters for ``estimator.set_params``.

    Raises
    ------
    ValueError
        If a name is neither a part of the space nor a parameter of the estimator, or the estimator
        has no search space.
    ImportError
        If Optuna is not installed.

    See Also
    --------
    FreezeSearchCV : Its parameter `space` takes these keyword arguments.
    distributions : The space for other search estimators.

    Examples
    --------
    >>> import optuna
    >>> from frozenfit import PartialNetClassifier, search
    >>> trial = optuna.trial.FixedTrial({"kind": "random", "fraction": 0.02})
    >>> search.suggest(trial, PartialNetClassifier(), frozen="zero", learning_rate=0.01)
    {'frozen': 'zero', 'learning_rate': 0.01, 'trainable': 'random(0.02) | batch_norm()'}
    """
    return make_space(estimator, groups=groups, leave=leave, **parts).sample(trial)


def make_space(
    estimator: BaseEstimator, *, groups: Sequence[str] = (), leave: Sequence[str] = (), **parts: Any
) -> Space:
    """Make the space that `suggest` samples; the parameters are documented there.

    Returns
    -------
    Space
        The space.
    """
    optuna = load_optuna()
    prefix, core = target(estimator)
    own = core.get_params(deep=True)
    base, defaults = _space_of(core, own, tuple(groups), optuna.distributions)
    if "trainable" in parts:
        base = {n: p for n, p in base.items() if n != "kind" and not n.startswith("fraction")}
        groups = ()
    known = {*base, *own, *estimator.get_params(deep=True)}
    for name in [*parts, *leave]:
        if name not in known:
            raise ValueError(
                f"{type(core).__name__} has no parameter, and its search space no part, named "
                f"{name!r}. {did_you_mean(name, [*base, *sorted(known)])}"
            )
    chosen = {n: p for n, p in {**base, **parts}.items() if n not in leave}
    if "kind" in chosen and not any(n.startswith("fraction") for n in chosen):
        raise ValueError(
            "The part 'kind' requires the part 'fraction'. Give both or neither in `leave`."
        )
    extra = {n: own[n] for n in parts if n in own and n not in base}
    complete = tuple({**extra, **default} for default in defaults)
    return Space(prefix, chosen, tuple(groups), frozenset(own), complete)


def distributions(
    estimator: BaseEstimator, library: Literal["sklearn", "optuna"] = "sklearn"
) -> dict[str, Any]:
    """Return the search space as parameter distributions, for other search estimators.

    Parameters
    ----------
    estimator : estimator
        An estimator of this package, or a pipeline that ends in one.
    library : {"sklearn", "optuna"}, default="sklearn"
        ``"sklearn"`` for `sklearn.model_selection.RandomizedSearchCV`, ``"optuna"`` for
        `optuna_integration.OptunaSearchCV`.

    Returns
    -------
    dict of str to distribution
        One distribution per parameter. `trainable` is a fraction, because these searches cannot
        combine a kind and a fraction into a selector.

    Raises
    ------
    ValueError
        If `library` is invalid, or the estimator has no search space.

    See Also
    --------
    suggest : The space for an Optuna trial.

    Examples
    --------
    >>> from frozenfit import PartialNetClassifier, search
    >>> sorted(search.distributions(PartialNetClassifier()))
    ['frozen', 'learning_rate', 'trainable']
    """
    if library not in ("sklearn", "optuna"):
        raise ValueError(f"`library` must be 'sklearn' or 'optuna', got {library!r}.")
    prefix, core = target(estimator)
    params = core.get_params(deep=False)
    if _is_elm(params):
        sizes = [(n,) for n in (50, 100, 200, 500, 1000, 2000)]
        choices: dict[str, Any] = {"hidden_layer_sizes": sizes, "weight_init": list(_ELM_INITS)}
        fraction = None
    else:
        _check_partial(core, params)
        choices = {"frozen": list(_frozen_values(params)), "learning_rate": list(_RATES)}
        fraction = (_LEAST_FRACTION, 1.0)
    if library == "sklearn":
        found = {**({"trainable": loguniform(*fraction)} if fraction else {}), **choices}
    else:
        kinds = load_optuna().distributions
        found = {"trainable": kinds.FloatDistribution(*fraction, log=True)} if fraction else {}
        found |= {name: kinds.CategoricalDistribution(values) for name, values in choices.items()}
    return {prefix + name: value for name, value in found.items()}


def target(estimator: BaseEstimator) -> tuple[str, Any]:
    """Return the last step of a pipeline, which is the estimator that is searched.

    Parameters
    ----------
    estimator : estimator
        Any estimator.

    Returns
    -------
    prefix : str
        Prefix of its parameter names, such as ``"partialnetclassifier__"``.
    core : estimator
        The last step, also of nested pipelines; an estimator that is no pipeline itself.
    """
    prefix = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    return prefix, estimator


def _space_of(
    core: Any, own: dict[str, Any], groups: tuple[str, ...], kinds: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the parts of an estimator's default space, and the values of its first trials."""
    if _is_elm(own):
        parts = {
            "units": kinds.IntDistribution(*_ELM_UNITS, log=True),
            "weight_init": kinds.CategoricalDistribution(_ELM_INITS),
        }
        return parts, [{"units": 1000, "weight_init": "random"}]
    _check_partial(core, own)
    names = [_group_name(glob) for glob in groups] or ["fraction"]
    fraction = kinds.FloatDistribution(_LEAST_FRACTION, 1.0, log=True)
    parts = {
        "kind": kinds.CategoricalDistribution(_KINDS),
        **dict.fromkeys(names, fraction),
        "frozen": kinds.CategoricalDistribution(_frozen_values(own)),
        "learning_rate": kinds.CategoricalDistribution(_RATES),
    }
    trainable = own["trainable"]
    first = trainable if isinstance(trainable, float) and trainable < 1 else 0.1
    frozen = _frozen_values(own)[0] if own["frozen"] == "auto" else own["frozen"]
    same = {"kind": "filters", "frozen": frozen, "learning_rate": "auto"}
    defaults = [{**same, **dict.fromkeys(names, p)} for p in (first, 1.0)]
    return parts, defaults


def _is_elm(params: dict[str, Any]) -> bool:
    return {"hidden_layer_sizes", "alpha"} <= params.keys()


def _check_partial(core: Any, params: dict[str, Any]) -> None:
    if not {"trainable", "frozen", "learning_rate"} <= params.keys():
        raise ValueError(
            f"There is no search space for {type(core).__name__}. Set `space` to a function "
            "f(trial, estimator) that returns parameters."
        )


def _frozen_values(params: dict[str, Any]) -> tuple[str, ...]:
    import keras  # here, so that `frozenfit.search` can be imported without a backend

    given = isinstance(params.get("model"), keras.Model)
    return ("keep", "random", "zero") if given else ("random", "zero")


def _group_name(glob: str) -> str:
    return f"fraction {glob}"


def _rounded(p: float) -> float:
    """Keep two digits, so that the selector can be read and written by hand."""
    return float(f"{p:.2g}")


def _drawn(trial: Any, name: str, part: Any) -> Any:
    kinds = load_optuna().distributions
    if isinstance(part, kinds.FloatDistribution):
        return trial.suggest_float(name, part.low, part.high, step=part.step, log=part.log)
    if isinstance(part, kinds.IntDistribution):
        return trial.suggest_int(name, part.low, part.high, step=part.step, log=part.log)
    if isinstance(part, kinds.CategoricalDistribution):
        return trial.suggest_categorical(name, part.choices)
    return part(trial) if isinstance(part, Callable) else part


def _allows(part: Any, value: Any) -> bool:
    """Return whether a distribution contains a value."""
    kinds = load_optuna().distributions
    if isinstance(part, kinds.CategoricalDistribution):
        return value in part.choices
    if isinstance(part, kinds.FloatDistribution | kinds.IntDistribution):
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        return numeric and part.low <= value <= part.high
    return False
