"""What a search tries: the space of each kind of estimator, every part fixable or replaceable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import keras
from scipy.stats import loguniform
from sklearn.pipeline import Pipeline

from frozenfit.search._optional import load_optuna

# Below a two-hundredth the smallest usual layers learn one filter whatever the fraction says.
_LEAST_FRACTION = 0.005
# "auto" depends on the schedule and on convolutions; the others are half a decade apart.
_RATES = ("auto", 0.001, 0.003, 0.01, 0.03)
_KINDS = ("filters", "random")
_ELM_INITS = ("random", "orthogonal")
_ELM_UNITS = (50, 2000)


@dataclass(frozen=True)
class Space:
    """The parts that make up the parameters of one estimator.

    Attributes
    ----------
    prefix : str
        What goes before the names in the parameters of the whole estimator, for a pipeline.
    parts : dict of str to object
        Optuna distributions, callables of a trial, and fixed values.
    groups : tuple of str
        Patterns of weight paths with a fraction each.
    own : frozenset of str
        Names of the parameters of the network's estimator, to which `prefix` belongs.
    defaults : tuple of dict
        Values of parts known to be good.
    """

    prefix: str
    parts: dict[str, Any]
    groups: tuple[str, ...]
    own: frozenset[str]
    defaults: tuple[dict[str, Any], ...]

    def sample(self, trial: Any) -> dict[str, Any]:
        """Ask a trial for every part.

        Parameters
        ----------
        trial : optuna.Trial
            The trial, or a FixedTrial to see again what one suggested.

        Returns
        -------
        dict of str to object
            Parameters for ``set_params`` of the whole estimator.
        """
        values = {name: _drawn(trial, name, part) for name, part in self.parts.items()}
        if "fraction" in values or "kind" in values:
            values["trainable"] = self._learned(values)
        if "units" in values:
            values["hidden_layer_sizes"] = (int(values.pop("units")),)
        return {self.prefix + n if n in self.own else n: v for n, v in values.items()}

    def _learned(self, values: dict[str, Any]) -> Any:
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
        """List values for the first trials, those that the parts allow.

        Returns
        -------
        list of dict
            Trial values by name; none twice.
        """
        found: list[dict[str, Any]] = []
        for default in self.defaults:
            values = {n: v for n, v in default.items() if _holds(self.parts.get(n), v)}
            if values and values not in found:
                found.append(values)
        return found


def suggest(
    trial: Any,
    estimator: Any,
    *,
    groups: Sequence[str] = (),
    leave: Sequence[str] = (),
    **parts: Any,
) -> dict[str, Any]:
    """Suggest parameters for an estimator.

    A partial net is asked for the `kind` of selector (``"filters"``: the rule of
    ``trainable=0.1``; ``"random"``: entries anywhere), its `fraction` from 0.005 to 1 on a
    logarithmic scale, as small fractions are where accuracy changes, `frozen` and `learning_rate`;
    an ELM for its `units` and `weight_init`.

    Parameters
    ----------
    trial : optuna.Trial
        The trial that suggests.
    estimator : estimator
        An estimator of this package, or a pipeline that ends in one.
    groups : sequence of str, default=()
        Patterns of weight paths, such as ``("block1_*", "block2_*")``: one fraction for each in
        place of `fraction`; other hidden weights stay frozen.
    leave : sequence of str, default=()
        Parts that stay as the estimator has them.
    **parts : object
        A part by name, or any parameter of the estimator besides: an Optuna distribution is
        suggested from, a callable is called with the trial, anything else is the fixed value.
        ``trainable=`` replaces kind and fraction.

    Returns
    -------
    dict of str to object
        For ``estimator.set_params``.

    Raises
    ------
    ValueError
        If a part is neither one of the space nor a parameter of the estimator, or the estimator
        is of no kind with a space.
    ImportError
        If Optuna is not installed.

    See Also
    --------
    FreezeSearchCV : The search that uses it; ``space={...}`` are these keywords.

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
    estimator: Any, *, groups: Sequence[str] = (), leave: Sequence[str] = (), **parts: Any
) -> Space:
    """Make the space that `suggest` asks a trial for; the parameters are explained there.

    Returns
    -------
    Space
        Its parts, all names checked.
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
            near = get_close_matches(name, sorted(known), 3, 0.4) or sorted(base)
            raise ValueError(
                f"the space of {type(core).__name__} has no part {name!r}; write one of its parts "
                f"or parameters, such as {', '.join(near)}"
            )
    chosen = {n: p for n, p in {**base, **parts}.items() if n not in leave}
    if "kind" in chosen and not any(n.startswith("fraction") for n in chosen):
        raise ValueError(
            "a kind of selector needs a fraction; leave both 'kind' and 'fraction', or neither"
        )
    extra = {n: own[n] for n in parts if n in own and n not in base}
    complete = tuple({**extra, **default} for default in defaults)
    return Space(prefix, chosen, tuple(groups), frozenset(own), complete)


def distributions(estimator: Any, library: str = "sklearn") -> dict[str, Any]:
    """Give the space as parameter distributions, for other search estimators.

    Parameters
    ----------
    estimator : estimator
        An estimator of this package, or a pipeline that ends in one.
    library : {"sklearn", "optuna"}, default="sklearn"
        ``"sklearn"`` for `RandomizedSearchCV`, ``"optuna"`` for `OptunaSearchCV`.

    Returns
    -------
    dict of str to distribution
        One for each parameter. What is trained is a fraction here, as these searches cannot
        join a kind and a fraction.

    Raises
    ------
    ValueError
        If there is no such library, or the estimator is of no kind with a space.

    Examples
    --------
    >>> from frozenfit import PartialNetClassifier, search
    >>> sorted(search.distributions(PartialNetClassifier()))
    ['frozen', 'trainable', 'learning_rate']
    """
    if library not in ("sklearn", "optuna"):
        raise ValueError(f"library is 'sklearn' or 'optuna', found {library!r}")
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


def target(estimator: Any) -> tuple[str, Any]:
    """Find the network's estimator in a pipeline.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    prefix : str
        What goes before its parameter names, such as ``"partialnetclassifier__"``.
    core : estimator
        The last step, of the last step, and so on.
    """
    prefix = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    return prefix, estimator


def _space_of(
    core: Any, own: dict[str, Any], groups: tuple[str, ...], kinds: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the parts of an estimator's own space and its known good values."""
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
            f"there is no space for {type(core).__name__}, only for partial nets and ELMs; give "
            "space=f, a function f(trial, estimator) that returns parameters"
        )


def _frozen_values(params: dict[str, Any]) -> tuple[str, ...]:
    given = isinstance(params.get("model"), keras.Model)
    return ("keep", "random", "zero") if given else ("random", "zero")


def _group_name(glob: str) -> str:
    return f"fraction {glob}"


def _rounded(p: float) -> float:
    """Keep two digits, so that what was learned can be read and written by hand."""
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


def _holds(part: Any, value: Any) -> bool:
    """Say whether a distribution allows a value."""
    kinds = load_optuna().distributions
    if isinstance(part, kinds.CategoricalDistribution):
        return value in part.choices
    if isinstance(part, kinds.FloatDistribution | kinds.IntDistribution):
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        return numeric and part.low <= value <= part.high
    return False
