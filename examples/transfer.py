"""Transfer: how much of a trained network must be trained again for another task.

python examples/transfer.py
python examples/transfer.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

import time
from functools import lru_cache

import keras
import lab
import numpy as np
from lab import figures
from scipy.ndimage import rotate

from frozenfit import PartialNetClassifier, with_head

ARMS = {
    "head": "head()",
    "head, batch norm": "head() | batch_norm()",
    "head, conv1": "head() | batch_norm() | layers('conv1')",
    "head, conv2": "head() | batch_norm() | layers('conv2')",
    "head, dense": "head() | batch_norm() | layers('dense1', 'dense2')",
    "everything": "everything()",
    "LP-FT": "everything()",
    "from scratch": "everything()",
}
SHIFTS = {
    "rotation": lambda X, rng: rotate(X, 30, axes=(1, 2), reshape=False, order=1),
    "noise": lambda X, rng: np.clip(X + rng.normal(0, 0.4, X.shape), 0, 1),
    "inversion": lambda X, rng: 1 - X,
}
DIGITS, CLOTHES = "digits 0-4 to 5-9", "MNIST to Fashion-MNIST"
SETTINGS = {
    "tiny": {
        "network": "mlp",
        "tasks": (DIGITS,),
        "arms": ("LP-FT",),
        "data": "digits",
        "source": (300, 1),
        "target_samples": (50,),
        "steps": (6,),
        "test": 200,
        "rates": (0.003,),
    },
    "cpu": {
        "network": "lenet5",
        "tasks": (DIGITS,),
        "arms": ("head", "head, dense", "everything", "LP-FT", "from scratch"),
        "data": "mnist",
        "source": (10000, 3),
        "target_samples": (500,),
        "steps": (100, 600),
        "test": 2000,
        "rates": (0.001, 0.003, 0.01),
    },
    "long": {
        "network": "lenet5",
        "tasks": (DIGITS, CLOTHES),
        "arms": tuple(ARMS),
        "data": "mnist",
        "source": (20000, 5),
        "target_samples": (50, 500, 5000),
        "steps": (100, 300, 1000, 3000),
        "test": 10000,
        "rates": (0.001, 0.003, 0.01),
    },
}


def arms(settings):
    return [
        {"task": task, "samples": samples, "steps": steps, "arm": arm}
        for task in settings["tasks"]
        for samples in settings["target_samples"]
        for steps in settings["steps"]
        for arm in settings["arms"]
    ]


def parts(task: str, samples: int, seed: int, run) -> tuple[lab.Data, lab.Data]:
    """Return the source and the target, of which `samples` are drawn."""
    name, count = run.settings["data"], run.settings["source"][0]
    if task == CLOTHES:
        return run.images(seed, name, count), run.images(seed, "fashion_mnist", samples)
    data = run.images(seed, name, 10**9)  # all of it, divided by class below
    low, low_test = data.y < 5, data.y_test < 5
    source = lab.Data(data.X[low], data.y[low], data.X_test[low_test], data.y_test[low_test])
    target = lab.Data(data.X[~low], data.y[~low], data.X_test[~low_test], data.y_test[~low_test])
    return sampled(source, count, seed), sampled(target, samples, seed)


def sampled(data: lab.Data, count: int, seed: int) -> lab.Data:
    chosen = lab.drawn(data.y, count, seed)
    return data._replace(X=data.X[chosen], y=data.y[chosen])


@lru_cache(maxsize=4)
def pretrained(task: str, seed: int, run):
    """Train the source network of a seed, once for all arms."""
    source, _ = parts(task, 50, seed, run)
    model = PartialNetClassifier(
        run.settings["network"],
        model_params={"batch_norm": True},
        trainable=1.0,
        epochs=run.settings["source"][1],
        random_state=1000 + seed,
    )
    return model.fit(source.X, source.y).to_keras()


class LinearProbeThenFineTune(PartialNetClassifier):
    """The head for half of the epochs, then everything for the other half, at the same rate."""

    def fit(self, X, y):
        """Fit in two halves."""
        epochs = self.epochs
        self.set_params(trainable="head()", epochs=epochs - epochs // 2)
        super().fit(X, y)
        self.set_params(trainable="everything()", epochs=epochs // 2, warm_start=True)
        return super().fit(X, y)


def run(arm, seed, run):
    _, data = parts(arm["task"], arm["samples"], seed, run)
    name = arm["arm"]
    scratch = name == "from scratch"
    model, params = run.settings["network"], {"batch_norm": True}
    if not scratch:
        source, params = pretrained(arm["task"], seed, run), None
        # A new head at random values: LP-FT is a claim about such heads.
        keras.utils.set_random_seed(seed)
        model = with_head(source, len(np.unique(data.y)))
    kind = LinearProbeThenFineTune if name == "LP-FT" else PartialNetClassifier
    batches = -(-len(data.X) // 32)

    def make(rate):
        return kind(
            model,
            model_params=params,
            trainable=ARMS[name],
            frozen="random" if scratch else "keep",
            epochs=max(2, round(arm["steps"] / batches)),
            learning_rate=rate,
            lr_schedule="cosine",
            random_state=seed,
        )

    values = run.choose(arm, make, data.X, data.y)
    start = time.process_time()
    clf = make(values["rate"]).fit(data.X, data.y)
    values["cpu_seconds"] = time.process_time() - start
    values |= lab.measure(clf, data, stored=False)
    outside = []
    for shift, change in SHIFTS.items():
        rng = np.random.default_rng(0)  # the same test parts for all arms and seeds
        changed = change(data.X_test, rng).astype("float32")
        values[shift] = float(clf.score(changed, data.y_test))
        outside.append(values[shift])
    return values | {"out of distribution": float(np.mean(outside))}


def claims(settings):
    for a, b, of in (
        ("everything", "from scratch", "accuracy"),
        ("everything", "head", "accuracy"),
        ("LP-FT", "everything", "accuracy"),
        ("LP-FT", "everything", "out of distribution"),
    ):
        if not {a, b} <= set(settings["arms"]):
            continue
        for task in settings["tasks"]:
            for samples in settings["target_samples"]:
                for steps in settings["steps"]:
                    where = {"task": task, "samples": samples, "steps": steps}
                    text = f"{task}, {samples} samples, {steps} steps: {a} − {b}"
                    text += ", out of distribution" if of != "accuracy" else ""
                    yield lab.Claim(text, {**where, "arm": a}, {**where, "arm": b}, "larger", of)


def draw(results):
    """Draw accuracy against steps, one panel for each target, within and outside."""
    arms = results.arms()
    panels = list(dict.fromkeys((arm["task"], arm["samples"]) for arm in arms))
    names = list(dict.fromkeys(arm["arm"] for arm in arms))
    columns = ("accuracy", "out of distribution")
    figure, pictures = figures.new(2 * len(panels), 4.4, 3.1, columns=2)
    spots = iter(pictures)
    for task, samples in panels:
        for of in columns:
            axes, ends = next(spots), []
            for i, name in enumerate(names):
                style = {"color": figures.COLORS[i], "marker": figures.MARKERS[i]}
                some = lab.pick(arms, task=task, samples=samples, arm=name)
                for arm in some:
                    figures.points(axes, results, arm, of, arm["steps"], style)
                heights = [100 * results.spread(arm, of).mean for arm in some]
                x = [arm["steps"] for arm in some]
                axes.plot(x, heights, ls=figures.DASHES[i], color=style["color"], lw=1.2)
                ends.append((heights[-1], name, style["color"]))
            figures.end_labels(axes, ends)
            axes.set(xscale="log", xlabel="steps", ylabel=f"{of}, %")
            axes.set_xticks(x, [str(steps) for steps in x])
            axes.minorticks_off()
            level = 0.1 if task == CLOTHES else 0.2
            figures.chance_line(axes.axhline, axes.get_ylim, axes.set_ylim, level)
            axes.set_title(f"{task}, {samples} samples; chance {100 * level:g} %", fontsize=9)
            axes.grid(alpha=0.25)
    figures.legend(figure, results, (), "accuracy")
    return figure


EXPERIMENT = lab.Experiment(
    name="transfer",
    title="What should be trained on a pretrained network?",
    claim=(
        "A frozen pretrained network extracts good features where there is little data; training "
        "more of it is better where there is more; both beat training from scratch. Training a new "
        "head first and then everything (LP-FT) beats fine-tuning everything: by 1 point within "
        "the distribution and 10 points outside it."
    ),
    source=(
        "A question on a forum; Kumar, Raghunathan, Jones, Ma and Liang (2022), arXiv:2202.10054."
    ),
    setting=(
        "LeNet-5 with batch normalization is trained on the source and gets a new random head for "
        "the target. All arms have the same number of steps, and a learning rate chosen alike; LP-"
        "FT spends half of the steps on the head and half on everything, both at its rate. Batch "
        'normalization is trained in all arms but "head" and the first half of LP-FT. Out of '
        "distribution is the mean over the test part rotated by 30 degrees, with Gaussian noise of "
        "standard deviation 0.4, and inverted."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(
        ("task", "samples", "steps", "arm"),
        ("accuracy", "out of distribution", "rotation", "noise", "inversion"),
        plain=("parameters", "cpu_seconds"),
    ),
    figure=draw,
    published_setting={
        "network": "ResNet-50, CLIP ViT-B/16",
        "tasks": "ten pairs of data sets with shifts, such as DomainNet and CIFAR-10 to STL",
        "data": "ImageNet and others",
    },
    published_source="The abstract of arXiv:2202.10054.",
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
