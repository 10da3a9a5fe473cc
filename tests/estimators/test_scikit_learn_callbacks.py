"""scikit-learn's callbacks: `set_callbacks`, which scikit-learn has since 1.9."""

from __future__ import annotations

import numpy as np
import pytest
from estimator_data import classifier, regressor, same, table, targets
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("sklearn.callback")
from sklearn.callback import ProgressBar, ScoringMonitor  # noqa: E402

NAMES = np.array(["ant", "bee", "cat"])


def scores(monitor, name):
    return [row[name] for row in monitor.get_logs().data if row["task_name"] == "epoch"]


def test_a_scoring_monitor_scores_every_epoch():
    X, y = table()
    monitor = ScoringMonitor(scoring="accuracy")
    estimator = classifier(epochs=3, learning_rate=0.01).set_callbacks(monitor).fit(X, NAMES[y])
    found = scores(monitor, "accuracy")
    assert len(found) == 3 and found[-1] == estimator.score(X, NAMES[y])
    assert found == estimator_scores(X, y)


def estimator_scores(X, y):
    """Accuracy after one, two and three epochs at one rate."""
    return [classifier(epochs=n, learning_rate=0.01).fit(X, y).score(X, y) for n in (1, 2, 3)]


def test_a_scoring_monitor_sees_the_targets_as_given():
    X, y = targets()
    monitor = ScoringMonitor(scoring="neg_mean_absolute_error")
    estimator = regressor().set_callbacks(monitor).fit(X, y)
    last = scores(monitor, "neg_mean_absolute_error")[-1]
    assert last == pytest.approx(-np.abs(estimator.predict(X) - y).mean())


def test_a_scoring_monitor_scores_the_best_weights_at_the_end():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(40, 4)), rng.integers(0, 2, 40)
    monitor = ScoringMonitor(scoring="neg_log_loss")
    estimator = classifier(early_stopping=True, epochs=20, learning_rate=0.1, patience=3)
    estimator.set_callbacks(monitor).fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    fit = [row for row in monitor.get_logs().data if row["task_name"] == "fit"][0]
    proba = estimator.predict_proba(X[:30])[np.arange(30), y[:30]]
    assert fit["neg_log_loss"] == pytest.approx(np.log(proba).mean())
    assert fit["neg_log_loss"] != scores(monitor, "neg_log_loss")[-1]


def test_a_progress_bar_shows_the_epochs(capsys):
    classifier().set_callbacks(ProgressBar()).fit(*table())
    assert "PartialNetClassifier" in capsys.readouterr().out


def test_a_progress_bar_reaches_through_a_pipeline(capsys):
    X, y = table()
    make_pipeline(StandardScaler(), classifier()).set_callbacks(ProgressBar()).fit(X, y)
    shown = capsys.readouterr().out
    assert "Pipeline" in shown and "PartialNetClassifier" in shown


def test_a_progress_bar_reaches_through_a_search(capsys):
    X, y = table()
    search = GridSearchCV(classifier(), {"trainable": [0.5, 1.0]}, cv=2)
    search.set_callbacks(ProgressBar()).fit(X, y)
    shown = capsys.readouterr().out
    assert "GridSearchCV" in shown and "PartialNetClassifier" in shown


def test_a_scoring_monitor_works_inside_a_search():
    X, y = table()
    monitor = ScoringMonitor(scoring="accuracy")
    search = GridSearchCV(classifier().set_callbacks(monitor), {"trainable": [0.5]}, cv=2)
    search.fit(X, NAMES[y])
    assert scores(monitor, "accuracy")


def test_scikit_learns_callbacks_change_nothing():
    X, y = table()
    watched = classifier().set_callbacks(ScoringMonitor(scoring="accuracy")).fit(X, y)
    assert same(watched, classifier().fit(X, y))


def test_scikit_learns_callbacks_are_refused_as_keras_callbacks():
    with pytest.raises(TypeError, match="`callbacks` must be keras.callbacks.Callback"):
        classifier(callbacks=[ProgressBar()]).fit(*table())
