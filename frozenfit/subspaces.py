"""The random subspaces of a network: from trained coordinates to the changes of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.projections import draw_projection, project
from frozenfit.selectors import forms


class Projections:
    """The random matrices of the subspaces of a network.

    Their variables belong to no layer, so that no file contains them: the seed in the form of a
    weight determines them.

    Parameters
    ----------
    computed : mapping of str to Form
        The form of each weight by path, of which those in a subspace are used.
    frozen : {"keep", "random", "zero"}
        Values of the frozen parameters.

    Attributes
    ----------
    variables : list of keras.Variable
        The arrays of all matrices.

    Raises
    ------
    ValueError
        If a weight is in a subspace, and frozen parameters are zero.
    """

    def __init__(self, computed: Mapping[str, forms.Form], frozen: str):
        self._forms = _in_subspaces(computed)
        if self._forms and frozen == "zero":
            raise ValueError(
                "`subspace` moves weights away from their initial values, which frozen='zero' "
                "replaces. Use frozen='random' or frozen='keep'."
            )
        self._arrays = {
            path: {name: _variable(name, array) for name, array in _drawn(form).items()}
            for path, form in self._forms.items()
            if form.n_coordinates
        }

    @property
    def variables(self) -> list[keras.Variable]:
        """The arrays of all matrices."""
        return [variable for arrays in self._arrays.values() for variable in arrays.values()]

    def load(self, computed: Mapping[str, forms.Form]) -> None:
        """Replace the matrices by those of other seeds.

        Parameters
        ----------
        computed : mapping of str to Form
            Forms that differ from those before in seeds only.
        """
        before, self._forms = self._forms, _in_subspaces(computed)
        for path, arrays in self._arrays.items():
            if self._forms[path] != before[path]:
                for name, array in _drawn(self._forms[path]).items():
                    arrays[name].assign(array)

    def changes(self, trainable: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the changes of the weights in subspaces.

        Parameters
        ----------
        trainable : mapping of str to tensor
            Trained parameters by path; the coordinates of a subspace have that of its first weight.

        Returns
        -------
        dict of str to tensor
            One flat tensor for each weight in a subspace, by path.
        """
        moved = {}
        for path, arrays in self._arrays.items():
            form = self._forms[path]
            values = {name: ops.convert_to_tensor(v.value) for name, v in arrays.items()}
            coordinates = ops.cast(ops.convert_to_tensor(trainable[path]), "float32")
            moved[form.key] = project(form.projection, values, coordinates, form.total)
        ends = _ends(self._forms)
        return {
            path: moved[form.key][form.offset : ends[path]] for path, form in self._forms.items()
        }


def _in_subspaces(computed: Mapping[str, forms.Form]) -> dict[str, forms.Subspace]:
    return {path: form for path, form in computed.items() if isinstance(form, forms.Subspace)}


def _ends(found: Mapping[str, forms.Subspace]) -> dict[str, int]:
    """Return where the parameters of each weight end in the vector of its subspace."""
    ends: dict[str, int] = {}
    following: dict[tuple, int] = {}
    for path, form in reversed(list(found.items())):
        ends[path] = following.get(form.key, form.total)
        following[form.key] = form.offset
    return ends


def _drawn(form: forms.Subspace) -> dict[str, np.ndarray]:
    return draw_projection(form.projection, form.d, form.total, form.seed)


def _variable(name: str, array: np.ndarray) -> keras.Variable:
    return keras.Variable(
        array, trainable=False, autocast=False, dtype=str(array.dtype), name=f"projection_{name}"
    )
