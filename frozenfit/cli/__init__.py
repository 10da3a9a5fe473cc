"""The command ``frozenfit``: train, use, evaluate, export and search networks from a shell.

`main` reads the command line; each command is one module that calls the library. `options` has the
parser and the options that commands share, `settings` the options of the estimator; `tables` reads
and writes files of data, `targets` and `scores` the values to predict, `models` saved models.

Nothing here imports Keras before the words on the command line are checked: importing a backend
takes seconds, and a typo should be reported at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from frozenfit import __version__
from frozenfit.cli import evaluate, export, info, predict, search, train
from frozenfit.cli.options import Parser, check_option_names
from frozenfit.utils.names import did_you_mean

__all__ = ["main"]

_COMMANDS = {
    "train": train,
    "predict": predict,
    "evaluate": evaluate,
    "export": export,
    "info": info,
    "search": search,
}
_EXAMPLES = """examples:
  frozenfit train people.csv --target income --out income.frozenfit
  frozenfit predict income.frozenfit new.csv --out predictions.csv --proba
  frozenfit evaluate income.frozenfit test.csv --json
  frozenfit export income.frozenfit income.keras
  frozenfit train --dataset digits --trainable 0.1 --epochs 20 --out digits.frozenfit
  frozenfit train --dataset mnist --model lenet5 --trainable "batch_norm() | head()" \\
      --model-params batch_norm=True --epochs 3 --out mnist.frozenfit
  frozenfit evaluate mnist.frozenfit --dataset mnist
  frozenfit info mnist.frozenfit
  frozenfit search --dataset digits --epochs 20 --trials 40 --objectives score trainable \\
      --storage journal.log --workers 2 --report search.html --out best.frozenfit

The environment variable KERAS_BACKEND (tensorflow, jax or torch) selects the backend.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments after ``frozenfit``. None uses those of the process.

    Returns
    -------
    int
        The exit code: 0, or 2 after an error, which is printed to standard error in one line, or
        130 after an interruption.

    Examples
    --------
    >>> from frozenfit.cli import main
    >>> main(["--version"])  # doctest: +ELLIPSIS
    frozenfit ...
    0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # silences TensorFlow's start-up messages
    try:
        parser, commands = _make_parser()
        if not words:
            parser.print_help()
            return 0
        if not words[0].startswith("-"):
            if words[0] not in commands:
                raise ValueError(
                    f"Unknown command {words[0]!r}. {did_you_mean(words[0], commands)}"
                )
            check_option_names(commands[words[0]], words[1:])
        arguments = parser.parse_args(words)
        return arguments.run(arguments)
    except SystemExit as leaving:  # --help and --version have printed
        return int(leaving.code or 0)
    except KeyboardInterrupt as stop:
        print(f"frozenfit: {str(stop) or 'interrupted, nothing was saved'}", file=sys.stderr)
        return 130
    except (ValueError, TypeError, ImportError, OSError, RuntimeError, MemoryError) as error:
        return _fail(error)
    except Exception as error:
        # Importing frozenfit.storage for its StorageError would load a backend.
        if type(error).__name__ == "StorageError":
            return _fail(error)
        raise


def _fail(error: Exception) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"frozenfit: {text}", file=sys.stderr)
    return 2


def _make_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser and its commands by name."""
    parser = Parser(
        prog="frozenfit",
        description="Train a selected part of a neural network and freeze all other parameters.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"frozenfit {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands = {}
    for name, module in _COMMANDS.items():
        description = module.run.__doc__.partition("\n")[0]
        commands[name] = subparsers.add_parser(
            name,
            allow_abbrev=False,
            help=description[0].lower() + description[1:].rstrip("."),
            description=description,
        )
        module.add_options(commands[name])
        commands[name].set_defaults(run=module.run)
    return parser, commands
