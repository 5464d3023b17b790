"""A page that many tests read."""

from xml.etree import ElementTree

import pytest

from tests.evaluation.report.reports import make, tree


@pytest.fixture(scope="session")
def root() -> ElementTree.Element:
    return tree(make())
