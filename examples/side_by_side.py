"""A linear model, an ELM, a partial and a full network: accuracy, log loss, seconds, bytes.

python examples/side_by_side.py
python examples/side_by_side.py --budget cpu --tabular FOLDER --out docs/results
"""

from __future__ import annotations

import pickle
import time
from functools import partial

import lab
from lab import figures
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from frozenfit import ELMClassifier, PartialNetClassifier

MODELS = ("linear", "ELM", "a tenth", "everything")
TABLES = (
    "bank_additional",
    "spambase",
    "satimage",
    "wine_quality",
    "pendigits",
    "covertype15k",
    "magic_gamma",
    "letter",
    "adult",
)
SETTINGS = {
    "tiny": {"tables": (), "images": {"digits": (200, 100)}, "rates": (0.006,), "epochs": 1},
    "cpu": {"tables": TABLES[:5], "images": {}},
    "long": {"tables": TABLES, "images": {"mnist": (20000, 10000)}},
}
for budget in SETTINGS.values():
    budget.setdefault("rates", (0.002, 0.006, 0.02))
    budget |= {
        "C of the linear model": (0.1, 1.0, 10.0),
        "drawn part of the training part": 0.8,
        "networks": "mlp of 512 units; lenet5 for images",
        "epochs": budget.get("epochs", "auto"),
    }


def arms(settings):
    sets = (*settings["tables"], *settings["images"])
    return [{"data": name, "model": model} for name in sets for model in MODELS]


def run(arm, seed, run):
    name, kind = arm["data"], arm["model"]
    image = name in run.settings["images"]
    if image:
        data = run.images(seed, name, *run.settings["images"][name])
    else:
        data = run.table(seed, name, run.settings["drawn part of the training part"])
    scale = [] if image else [StandardScaler()]
    if kind == "linear":
        flat = [FunctionTransformer(_rows)] if image else scale

        def make(C):
            return make_pipeline(*flat, LogisticRegression(C=C, max_iter=1000))

        rates = run.settings["C of the linear model"]
    elif kind == "ELM":

        def make(rate):
            return make_pipeline(ELMClassifier(random_state=seed))

        rates = ("leave-one-out",)  # of the ridge; nothing else is chosen
    else:

        def make(rate):
            return make_pipeline(
                *scale,
                PartialNetClassifier(
                    "lenet5" if image else "mlp",
                    trainable=1.0 if kind == "everything" else 0.1,
                    epochs=run.settings["epochs"],
                    learning_rate=rate,
                    lr_schedule="cosine",
                    random_state=seed,
                ),
            )

        rates = ()
    model, values = run.fit(arm, make, data, rates)
    last = model[-1]
    linear = kind == "linear"
    values["bytes"] = len(pickle.dumps(last)) if linear else lab.file_size(last)
    start = time.process_time()
    model.predict(data.X_test)
    return values | {"predict_cpu_seconds": time.process_time() - start}


def _rows(X):
    return X.reshape(len(X), -1)


def claims(settings):
    for name in (*settings["tables"], *settings["images"]):
        arm = {"data": name}
        for a, b, relation in (
            ("ELM", "linear", "larger"),
            ("a tenth", "linear", "larger"),
            ("a tenth", "everything", "not smaller"),
        ):
            text = f"{name}: {a} − {b}"
            yield lab.Claim(text, arm | {"model": a}, arm | {"model": b}, relation)


EXPERIMENT = lab.Experiment(
    name="side_by_side",
    title="How do a linear model, an ELM, a tenth and everything compare?",
    claim=(
        "Random features with a ridge (ELM) are more accurate than a linear model, and a network "
        "of which a tenth of the units is trained keeps the accuracy of the fully trained one."
    ),
    source="A question on a forum; Rosenfeld and Tsotsos (2018), arXiv:1802.00844.",
    setting=(
        "Tables have their official split, or a third for testing; the seed draws four fifths of "
        "the training part. Networks have the default number of epochs, which a pilot run chooses "
        "on tables. The linear model has its C chosen as the networks have their learning rate; the"
        " ELM chooses its ridge by leave-one-out. Bytes are those of a pickle of the linear model, "
        "and of a file of the others."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(
        ("data", "model"), plain=("loss", "cpu_seconds", "predict_cpu_seconds", "bytes")
    ),
    figure=partial(figures.dots, lines="model", panels="data", width=3.4),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
