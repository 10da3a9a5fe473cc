"""The link to the documentation in scikit-learn's HTML representation."""

from __future__ import annotations

from email.message import Message
from importlib import metadata

import pytest

import frozenfit
from frozenfit.search import FreezeSearchCV
from frozenfit.utils import doc_link

ESTIMATORS = {
    "classifier": frozenfit.PartialNetClassifier,
    "regressor": frozenfit.PartialNetRegressor,
    "ensemble": frozenfit.CheapEnsembleClassifier,
    "elm": frozenfit.ELMClassifier,
    "features": frozenfit.ELMFeatures,
    "encoder": frozenfit.TableEncoder,
    "search": lambda: FreezeSearchCV(frozenfit.PartialNetClassifier()),
}


@pytest.fixture
def published(monkeypatch):
    """A function that sets the addresses in the metadata of the package."""

    def publish(*addresses):
        message = Message()
        for address in addresses:
            message["Project-URL"] = address
        monkeypatch.setattr(metadata, "metadata", lambda name: message)
        doc_link.documentation_address.cache_clear()

    yield publish
    doc_link.documentation_address.cache_clear()


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_an_estimator_links_to_the_documentation(kind, published):
    published("Repository, https://code.test/f", "Documentation, https://docs.test/{f}")
    assert 'href="https://docs.test/%7Bf%7D"' in ESTIMATORS[kind]()._repr_html_()


@pytest.mark.parametrize("addresses", [[], ["Repository, https://code.test/f"]])
def test_without_an_address_there_is_no_link(addresses, published):
    published(*addresses)
    assert "href" not in frozenfit.PartialNetClassifier()._repr_html_()


def test_a_package_that_is_not_installed_has_no_address(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", missing)
    doc_link.documentation_address.cache_clear()
    assert doc_link.documentation_address() == ""
    doc_link.documentation_address.cache_clear()
