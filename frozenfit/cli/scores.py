"""How good the predictions of a model are: as numbers, as text, as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from frozenfit.cli.targets import as_classes, read_target

_MOST_PRINTED = 20  # classes of a confusion matrix


class ClassScores:
    """Accuracy, log loss and confusion matrix of a classifier.

    Parameters
    ----------
    accuracy : float
        Fraction of the rows whose class is predicted.
    log_loss : float
        Mean negative logarithm of the predicted probability of the true class.
    classes : list
        The classes.
    confusion : ndarray of shape (n_classes, n_classes)
        Number of rows by true class (rows) and predicted class (columns).
    """

    task = "classification"

    def __init__(self, accuracy: float, log_loss: float, classes: list, confusion: np.ndarray):
        self.accuracy, self.log_loss = accuracy, log_loss
        self.classes, self.confusion = classes, confusion

    @property
    def line(self) -> str:
        """The scores in one phrase."""
        return f"test accuracy {self.accuracy:.3f}, log loss {self.log_loss:.3f}"

    def lines(self, rows: str) -> list[str]:
        """Return the scores as text.

        Parameters
        ----------
        rows : str
            What was evaluated, such as "540 images".

        Returns
        -------
        list of str
            The lines.
        """
        text = [f"test accuracy {self.accuracy:.3f} on {rows}", f"log loss {self.log_loss:.3f}"]
        if len(self.classes) > _MOST_PRINTED:
            return [*text, f"confusion matrix of {len(self.classes)} classes: see --json"]
        names = [str(name) for name in self.classes]
        numbers = [[f"{count:,}" for count in row] for row in self.confusion.tolist()]
        first = max(map(len, names))
        widths = [max(map(len, column)) for column in zip(names, *numbers, strict=True)]
        table = [
            "  ".join([name.ljust(first), *(c.rjust(w) for c, w in zip(row, widths, strict=True))])
            for name, row in zip(["", *names], [names, *numbers], strict=True)
        ]
        return [*text, "confusion matrix (rows: true class, columns: predicted class)", *table]

    def to_json(self) -> dict[str, Any]:
        """Return the scores as values of JSON.

        Returns
        -------
        dict
            ``accuracy``, ``log_loss``, ``classes`` and ``confusion_matrix``.
        """
        return {
            "accuracy": self.accuracy,
            "log_loss": self.log_loss,
            "classes": self.classes,
            "confusion_matrix": self.confusion.tolist(),
        }


class RegressionScores:
    """Coefficient of determination, RMSE and MAE of a regressor.

    Parameters
    ----------
    r2 : float or None
        Coefficient of determination; None where the target is constant or has a single row.
    rmse : float
        Root of the mean squared error.
    mae : float
        Mean absolute error.
    """

    task = "regression"

    def __init__(self, r2: float | None, rmse: float, mae: float):
        self.r2, self.rmse, self.mae = r2, rmse, mae

    @property
    def line(self) -> str:
        """The scores in one phrase."""
        r2 = "" if self.r2 is None else f"test R2 {self.r2:.3f}, "
        return f"{r2}RMSE {self.rmse:.4g}, MAE {self.mae:.4g}"

    def lines(self, rows: str) -> list[str]:
        """Return the scores as text.

        Parameters
        ----------
        rows : str
            What was evaluated, such as "540 rows".

        Returns
        -------
        list of str
            The lines.
        """
        return [f"{self.line} on {rows}"]

    def to_json(self) -> dict[str, Any]:
        """Return the scores as values of JSON.

        Returns
        -------
        dict
            ``r2``, ``rmse`` and ``mae``.
        """
        return {"r2": self.r2, "rmse": self.rmse, "mae": self.mae}


def score(model: Any, X: Any, y: Any, name: str) -> ClassScores | RegressionScores:
    """Compare the predictions of a model with a target.

    Parameters
    ----------
    model : estimator or Pipeline
        A fitted classifier or regressor.
    X : array-like
        The samples, as the model takes them.
    y : array-like of shape (n_samples,)
        The target.
    name : str
        The name of the target, for errors.

    Returns
    -------
    ClassScores or RegressionScores
        The scores.

    Raises
    ------
    ValueError
        If the target has missing values, or classes that the model does not have.
    """
    from sklearn import metrics
    from sklearn.base import is_classifier

    if is_classifier(model):
        true = as_classes(y, name, model.classes_)
        probabilities = model.predict_proba(X)
        labels = np.arange(len(model.classes_))
        predicted = as_classes(model.predict(X), name, model.classes_)
        return ClassScores(
            float(np.mean(predicted == true)),
            float(metrics.log_loss(true, probabilities, labels=labels)),
            model.classes_.tolist(),
            metrics.confusion_matrix(true, predicted, labels=labels),
        )
    true, _ = read_target(y, name, "regression")
    predicted = model.predict(X)
    return RegressionScores(
        float(metrics.r2_score(true, predicted)) if len(np.unique(true)) > 1 else None,
        float(np.sqrt(np.mean((true - predicted) ** 2))),
        float(np.mean(np.abs(true - predicted))),
    )
