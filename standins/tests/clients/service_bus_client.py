"""Microsoft's Service Bus SDK for JavaScript in a process of its own, driven line by line
(`service_bus_client.mjs`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standins.tests.clients import line_client
from standins.tests.clients.line_client import LineClient

ABSENT = (
    "Node or the npm package @azure/service-bus is not installed here: where npm is, `make contract` "
    "installs the package into .contract-venv and runs these tests"
)
_SCRIPT = Path(__file__).with_suffix(".mjs")


def installed() -> tuple[str, str]:
    """Node, and the folder that has the package. Skips the test where one of them is missing."""
    node, folder = shutil.which("node"), os.environ.get("MERGEKEY_CONTRACT_NODE", "")
    if node is None or not (Path(folder) / "node_modules" / "@azure" / "service-bus").is_dir():
        pytest.skip(ABSENT)
    return node, folder


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[LineClient]:
    """The client, not connected yet."""
    node, folder = installed()
    environment = {**os.environ, "MERGEKEY_CONTRACT_NODE": folder}
    async with line_client.started(node, str(_SCRIPT), environment=environment) as client:
        yield client
