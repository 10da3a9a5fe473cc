"""Models in files, as the commands use them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from frozenfit.cli.tables import Samples, read_samples, select_columns
from frozenfit.utils.optional import import_with_backend


class Model:
    """A saved estimator, with the encoder of its table where it has one.

    Parameters
    ----------
    path : str
        A file that `frozenfit.save` wrote.

    Attributes
    ----------
    whole : estimator or Pipeline
        What the file contains.
    estimator : estimator
        The estimator, without the encoder.
    encoder : TableEncoder or None
        The encoder.
    unused : list of str
        Columns of the last table that the model does not use.

    Raises
    ------
    StorageError
        If the file cannot be loaded.
    ValueError
        If the file contains several estimators.
    """

    def __init__(self, path: str):
        self.path = path
        self.unused: list[str] = []
        self.whole: Any = import_with_backend("frozenfit.storage").load(path)
        if isinstance(self.whole, dict):
            raise ValueError(
                f"{path} contains several estimators: {', '.join(self.whole)}. Load it in Python, "
                "and save one of them."
            )
        steps = [step for _, step in getattr(self.whole, "steps", [("", self.whole)])]
        self.estimator: Any = steps[-1]
        self.encoder: Any = steps[0] if len(steps) > 1 else None
        if getattr(self.estimator, "_task", None) == "multilabel":
            raise ValueError(f"{path} predicts several labels per sample: use it in Python.")

    @property
    def target(self) -> str | None:
        """Name of the column that the model predicts, where the file has it."""
        return None if self.encoder is None else self.encoder.target_name_

    def read(self, path: str, target: str | None = None) -> Samples:
        """Read samples as the model takes them.

        Parameters
        ----------
        path : str
            A csv, parquet or npz file. Columns that the model does not use are left out.
        target : str or None, default=None
            The target, if it is to be read too.

        Returns
        -------
        Samples
            The samples and the target.

        Raises
        ------
        ValueError
            If the file cannot be read, or lacks columns of the model.
        """
        names = getattr(self.encoder or self.estimator, "feature_names_in_", None)
        text = self._text_columns()
        if target is not None and getattr(self.whole, "classes_", np.empty(0)).dtype.kind in "UO":
            text.append(target)
        X, y = read_samples(path, target, text=text)
        if not hasattr(X, "columns"):
            if names is not None:
                raise ValueError(
                    f"{self.path} was trained on columns with names, such as {names[0]!r}, and "
                    f"{path} has no names. Give a csv or parquet file."
                )
            return Samples(X, y)
        if names is not None:
            known = {*names, target, self.target}
            self.unused = [str(name) for name in X.columns if name not in known]
            return Samples(select_columns(X, names, path), y)
        if self.encoder is not None:
            return Samples(X.to_numpy(dtype=object), y)
        return Samples(_numbers(X, path), y)

    def report_unused(self) -> None:
        """Print which columns of the last table the model does not use, to standard error."""
        if self.unused:
            names = ", ".join(map(repr, self.unused))
            print(f"frozenfit: the model does not use the columns {names}", file=sys.stderr)

    def _text_columns(self) -> list[str]:
        """Columns of categories other than booleans, which pandas recognizes by itself."""
        if not hasattr(self.encoder, "feature_names_in_"):
            return []
        return [
            name
            for name, column in zip(
                self.encoder.feature_names_in_, self.encoder.columns_, strict=True
            )
            if not set(getattr(column, "categories", ["True"])) <= {"True", "False", None}
        ]


def _numbers(frame: Any, path: str) -> np.ndarray:
    for name in frame.columns:
        if np.asarray(frame[name]).dtype.kind not in "biuf":
            raise ValueError(
                f"Column {name!r} of {path} must contain numbers: the model has no encoder."
            )
    return frame.to_numpy(dtype=float)
