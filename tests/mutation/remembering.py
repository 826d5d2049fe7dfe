"""A pytest plugin for mutation testing: YAML that was read once is remembered by every mutant that does not
touch its reading.

The tests of the pipeline spend most of their time on reading the same few files. The memory is filled while
the unchanged code is tested; each mutant runs in a fork of that process.
"""

from __future__ import annotations

import os
import time
from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import Phase, settings

from shared.branch import account, platform_checks, review
from shared.catalog import capacity, catalog
from shared.documents import strict_yaml
from shared.documents.document import Document
from shared.requests import request
from tests.fakes import app, gateway
from tests.stages import road

#: What a reading consists of. While one of these is changed, and while it is noted which test runs which
#: function, everything is read anew.
READING = (
    "stats",
    "shared.documents.strict_yaml.",
    "shared.documents.yaml_",
    "shared.documents.document.",
    "shared.documents.problem.",
)

#: Seconds of computing time for one mutant; tests begin with the quickest. What nobody has noticed by then
#: counts as a survivor.
PATIENCE = 8.0

#: What the app and the fakes remember.
REMEMBERED = (
    platform_checks.read_supported_catalog,
    platform_checks._read_catalog,
    platform_checks.platform_check,
    review.read,
    account._granted_by,
    capacity.limits_of,
    gateway.said_by,
    gateway.named_in,
    app._read_catalog,
)

_remembered: dict[tuple[str, bytes], Document] = {}


def read_bytes(path: str, content: bytes) -> Document:
    if os.environ.get("MUTANT_UNDER_TEST", "").startswith(READING):
        return strict_yaml.read_bytes(path, content)
    if (path, content) not in _remembered:
        _remembered[path, content] = strict_yaml.read_bytes(path, content)
    document = _remembered[path, content]
    # Embedded documents are put into the data in place.
    return replace(document, data=deepcopy(document.data))


def pytest_configure() -> None:
    # A mutant is killed by any failure: nobody reads a smallest one.
    settings.register_profile(
        "mutants", phases=(Phase.explicit, Phase.generate), max_examples=50, derandomize=True, database=None
    )
    settings.load_profile("mutants")
    # they import it, and say so to nobody else
    catalog.read_bytes = request.read_bytes = read_bytes  # type: ignore[attr-defined]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    if os.environ.get("MUTANT_UNDER_TEST", "").startswith("shared.") and time.process_time() > PATIENCE:
        pytest.skip("enough was tried")
    # What the unchanged code remembers would hide what a mutant answers, and which tests run a function.
    for remembered in REMEMBERED:
        remembered.cache_clear()
    road.IN_FORCE.clear()
