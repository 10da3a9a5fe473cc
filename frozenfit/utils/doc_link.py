"""The link from scikit-learn's HTML representation of an estimator to the documentation."""

from __future__ import annotations

from functools import cache
from importlib import metadata


class DocumentationLink:
    """Makes scikit-learn link an estimator to the documentation of this package.

    The address is that of the label "Documentation" in the metadata of the installed package
    (``project.urls`` of pyproject.toml). Where there is none, scikit-learn shows no link.
    """

    _doc_link_module = "frozenfit"

    @property
    def _doc_link_template(self) -> str:
        # Without braces, which `str.format` would fill in.
        return documentation_address().replace("{", "%7B").replace("}", "%7D")


@cache
def documentation_address() -> str:
    """Return the address of the documentation, or an empty string.

    Returns
    -------
    str
        The address.

    Examples
    --------
    >>> from frozenfit.utils.doc_link import documentation_address
    >>> isinstance(documentation_address(), str)
    True
    """
    try:
        labeled = metadata.metadata("frozenfit").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # run from a folder
        labeled = []
    for text in labeled:
        label, _, address = text.partition(",")
        if label.strip().lower() == "documentation":
            return address.strip()
    return ""
