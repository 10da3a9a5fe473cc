"""The selector of a random subspace, in which weights are trained."""

from __future__ import annotations

from dataclasses import dataclass

from .arguments import call, check_int, check_seed
from .context import Context
from .forms import Form
from .layout import Layout
from .registry import register
from .selector import Selector
from .subspace_form import PROJECTIONS, Subspace

_DEFAULT = "fastfood"


@dataclass(frozen=True, eq=False, repr=False)
class _Subspace(Selector):
    """All weights, trained in a random subspace."""

    d: int
    projection: str
    seed: int | None

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        seed = context.seed if self.seed is None else self.seed
        form = Subspace(self.d, self.projection, seed)
        return dict.fromkeys(layout.paths, form)

    def text(self) -> str:
        projection = None if self.projection == _DEFAULT else self.projection
        return call("subspace", self.d, projection=projection, seed=self.seed)


@register("subspace")
def subspace(d: int, projection: str = _DEFAULT, seed: int | None = None) -> Selector:
    """Train all weights in a random subspace of `d` dimensions.

    The weights of the network are one vector, that of the initial values plus ``P @ t``: `t` has
    `d` coordinates, which start at 0 and are all that is trained, and the columns of the random
    matrix `P` are of unit length. `P` is drawn from the seed again wherever it is needed, so that
    files contain the coordinates alone. The smallest `d` that solves a task is its intrinsic
    dimension.

    Parameters
    ----------
    d : int
        Dimension of the subspace, from 1 to the number of parameters in its weights.
    projection : {"fastfood", "sparse", "dense"}, default="fastfood"
        How the columns of `P` are drawn. With D parameters, a product with `P` takes

        - "fastfood": O(D log d) operations and O(D) memory. `P` is a product of Hadamard,
          permutation and diagonal matrices; its columns have unit length up to a relative error
          of about 1 / sqrt(D), and exactly where D is a multiple of d rounded up to a power of 2.
        - "sparse": O(d sqrt(D)) operations and memory. A column has round(sqrt(D)) entries of
          equal size and random sign, one in each of as many equal parts of the vector.
        - "dense": O(D d) operations and memory, 4 D d bytes. Entries are normal.
    seed : int, default=None
        Seed of the draw. If None, the seed of the context is used, which an estimator derives from
        ``random_state``.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `d` is below 1, `projection` is unknown or `seed` is negative or, when the selector is
        resolved, `d` exceeds the number of parameters, or the selector is combined with a part
        of a weight, such as ``filters(0.1)``, or with ``scales()``.
    TypeError
        If an argument has another type.

    See Also
    --------
    scales : Train scales of the kernels.
    frozenfit.analysis.intrinsic_dimension : Find the smallest dimension that solves a task.

    Notes
    -----
    *Set operations.* A weight that another part of the expression trains as a whole is not in the
    subspace: in ``subspace(100) | head()`` the head is trained whole, and the subspace is one of
    the other weights. ``subspace(100).on("conv*")`` and ``subspace(100) - biases()`` leave weights
    out. Parts with equal arguments are one subspace, others are several.

    *Refused.* ``frozen="zero"``, in which there are no initial values, freeze schedules, which
    train layers at different times, constraints of weights, and `frozenfit.layers.Partial`.

    References
    ----------
    Li, Farkhoor, Liu & Yosinski 2018, "Measuring the intrinsic dimension of objective landscapes",
    arXiv 1804.08838.

    Le, Sarlós & Smola 2013, "Fastfood: approximating kernel expansions in loglinear time", ICML.

    Kane & Nelson 2014, "Sparser Johnson-Lindenstrauss transforms", Journal of the ACM 61(1): one
    entry in each block.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, head, subspace
    >>> print((subspace(290) | head()).resolve(example_layout("lenet5")))
    weight         shape          form                                  trainable   total
    conv1/kernel   (5, 5, 1, 6)   290 coordinates for 43576 parameters        290     150
    head/kernel    (84, 10)       all                                         840     840
    head/bias      (10,)          all                                          10      10
    sum                           2.57%                                     1,140  44,426
    """
    if not isinstance(projection, str):
        raise TypeError(f"`projection` of `subspace` must be a str, got {projection!r}.")
    if projection not in PROJECTIONS:
        names = ", ".join(map(repr, PROJECTIONS))
        raise ValueError(f"`projection` of `subspace` must be one of {names}, got {projection!r}.")
    return _Subspace(check_int("subspace", "d", d), projection, check_seed("subspace", seed))
