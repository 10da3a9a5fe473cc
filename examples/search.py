"""Hyperparameter search: is a tenth enough if both arms are searched alike.

python examples/search.py
python examples/search.py --budget cpu --tabular FOLDER --out docs/results
"""

from __future__ import annotations

import time
from functools import partial

import lab
from lab import figures
from optuna.distributions import CategoricalDistribution as OneOf
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from frozenfit import PartialNetClassifier
from frozenfit.search import FreezeSearchCV

TENTH, WHOLE = "at most a tenth", "everything"
BLOCKS, UNIFORM = "a fraction per block", "one fraction"
TABLES = ("satimage", "pendigits", "spambase", "bank_additional")
SETTINGS = {
    "tiny": {"tables": ("digits",), "blocks": (), "trials": 2, "folds": 2, "units": 30},
    "cpu": {"tables": ("digits",), "blocks": (), "trials": 8, "folds": 3},
    "long": {"tables": ("digits", *TABLES), "blocks": ("digits images",), "trials": 40, "folds": 3},
}
for budget in SETTINGS.values():
    budget |= {
        "units": budget.get("units", 500),
        "learning rates": ("auto", 0.003, 0.02, 0.04),
        "epochs": (20, 40) if budget["trials"] > 2 else (1,),
        "fractions of parameters": (0.01, 0.02, 0.05, 0.1),
        "fractions of filters": (0.1, 0.3, 1.0),
        "network of the blocks": "ResNet-14, 5 epochs",
        "drawn part of the training part": 0.8,
    }


def arms(settings):
    tables = [
        {"data": name, "searched": searched}
        for name in settings["tables"]
        for searched in (TENTH, WHOLE)
    ]
    return tables + [
        {"data": name, "searched": searched}
        for name in settings["blocks"]
        for searched in (BLOCKS, UNIFORM)
    ]


def load(name, seed, run):
    if name.startswith("digits"):
        count = 200 if run.settings["trials"] == 2 else 1000
        data = run.images(seed, "digits", count, 540)
        return data if name == "digits images" else data.flat()
    return run.table(seed, name, run.settings["drawn part of the training part"])


def run(arm, seed, run):
    settings = run.settings
    data = load(arm["data"], seed, run)
    space = {"frozen": "random", "learning_rate": OneOf(settings["learning rates"])}
    limits = None
    if arm["searched"] in (TENTH, WHOLE):
        params = {"hidden_layer_sizes": (settings["units"],)}
        net = PartialNetClassifier("mlp", model_params=params, random_state=seed)
        space |= {"kind": "random", "epochs": OneOf(settings["epochs"])}
        if arm["searched"] == TENTH:
            space["fraction"] = OneOf(settings["fractions of parameters"])
        else:
            space["fraction"] = 1.0
    else:
        net = PartialNetClassifier(
            "resnet", model_params={"depth": 14}, epochs=5, random_state=seed
        )
        space |= {"kind": "filters", "fraction": OneOf(settings["fractions of filters"])}
        # Of equal size: neither arm may train more than half of the parameters.
        limits = ["fraction <= 0.5"]
        if arm["searched"] == BLOCKS:
            del space["fraction"]
            groups = tuple(f"block{i}_*" for i in (1, 2, 3))
            space["groups"] = groups
            space |= {f"fraction {g}": OneOf(settings["fractions of filters"]) for g in groups}
    start = time.process_time()
    found = FreezeSearchCV(
        make_pipeline(StandardScaler(), net) if data.X.ndim == 2 else net,
        n_trials=settings["trials"],
        space=space,
        cv=StratifiedKFold(settings["folds"], shuffle=True, random_state=seed),
        directions={"score": "maximize"},
        constraints=limits,
        random_state=seed,
    ).fit(data.X, data.y)
    last = found.best_estimator_[-1] if data.X.ndim == 2 else found.best_estimator_
    return {
        "accuracy": float(found.score(data.X_test, data.y_test)),
        "cross-validation": float(found.best_score_),
        "parameters": sum(line[3] for line in last.parameter_table()),
        "cpu_seconds": time.process_time() - start,
        "found": {name.split("__")[-1]: str(value) for name, value in found.best_params_.items()},
        "n_test": len(data.y_test),
    }


def claims(settings):
    for names, first, second, relation in (
        (settings["tables"], TENTH, WHOLE, "not smaller"),
        (settings["blocks"], BLOCKS, UNIFORM, "larger"),
    ):
        for name in names:
            arms = [{"data": name, "searched": which} for which in (first, second)]
            for of in ("accuracy", "cross-validation"):
                part = "test part" if of == "accuracy" else of
                yield lab.Claim(f"{name}, {part}: {first} − {second}", *arms, relation, of)


EXPERIMENT = lab.Experiment(
    name="search",
    title="Does a search find small networks that are as accurate?",
    claim=(
        "A search finds networks that train at most a tenth of their parameters and are as accurate"
        " as fully trained ones; a fraction for each block is better than one for all."
    ),
    source="This project.",
    setting=(
        "Both arms of a comparison are searched alike: the same number of trials, folds, learning "
        "rates and numbers of epochs. The test part is scored once, by the refitted best trial. "
        "The comparison of blocks may train at most half of the parameters in both arms."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(
        ("data", "searched"), ("accuracy", "cross-validation"), plain=("parameters", "cpu_seconds")
    ),
    figure=partial(figures.dots, lines="searched", panels="data", also="cross-validation"),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
