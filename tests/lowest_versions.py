"""Print pins of the lowest versions that pyproject.toml allows, as constraints of pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

# What only tests and documentation need may be of any age.
_TOOLS = ("test", "docs", "all")


def lowest_versions() -> list[str]:
    """Return a line such as "keras==3.11" for each requirement with a lower bound."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    project = tomllib.loads(text)["project"]
    requirements = list(project["dependencies"])
    for extra, more in project["optional-dependencies"].items():
        requirements += more if extra not in _TOOLS else []
    bounds = (re.match(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)$", each) for each in requirements)
    pins = [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]
    # The tests install the CPU build of TensorFlow, a package with its own name.
    return [*pins, *(f"tensorflow-cpu{pin[10:]}" for pin in pins if pin.startswith("tensorflow=="))]


if __name__ == "__main__":
    print(*lowest_versions(), sep="\n")
