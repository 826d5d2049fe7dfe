"""One road for all tests of this folder in a process. They share a repository and a clock, and use teams of
their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from standins.identity import IDENTITY_HEADER
from standins.stack import FEW_SESSIONS, Stack
from standins.tests.reference.comparison import Comparison
from tests.conftest import ROOT
from tests.end_to_end.road import Road
from tests.end_to_end.search import HOMES, places
from tests.end_to_end.written import CATALOG_PATH, Clone, Request, new_team

RESIDENTS = ["resident", *(f"resident-{number:02}" for number in range(15))]


@pytest.fixture(scope="package")
def whole_road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """The stack, logging all there is to log, and a repository whose catalogue is provisioned.

    At the end, whatever these tests left behind is searched for keys.
    """
    folder = tmp_path_factory.mktemp("road")
    with (
        Stack(
            folder, ROOT, FEW_SESSIONS, log_level="DEBUG", run_options=("--latency", "none", "--exchanges")
        ) as stack,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("IDENTITY_ENDPOINT", f"{stack.addresses['identity']}/msi/token")
        patch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        road = Road(stack, Clone(stack.git_url, folder / "clone"))
        shutil.copytree(ROOT / "examples" / "access-repo" / "platform", road.clone.path / "platform")
        catalog = road.clone.path / CATALOG_PATH
        catalog.write_text(catalog.read_text().replace("total: 3", "total: 50"))
        # Beside so many that stay, the guard lets the few of each test go.
        road.clone.write(*(Request(name) for name in RESIDENTS))
        push = road.push("The catalogue and a team")
        road.status(push, "catalogue", "catalog", "success")
        road.advance(5)
        for name in RESIDENTS:
            road.status(push, name, "keys", "success")
            road.status(push, name, "gateway", "success")  # it waits for the catalogue, the keys do not
        yield road
        road.close()
        assert places(folder) == HOMES, "a key is in API Management and in the vault, and nowhere else"


@pytest.fixture(autouse=True)
def road_as_described(whole_road: Road, comparison: Comparison) -> Iterator[None]:
    """Every request and answer of these tests agrees with the vendors' official descriptions."""
    yield
    comparison.check(whole_road.stack.control)


@pytest.fixture
def road(whole_road: Road) -> Road:
    """The road with nothing under way, nothing counted and nothing broken."""
    whole_road.stack.ensure_host()  # a test that failed may have left it stopped
    whole_road.settle()
    whole_road.stack.control.forget_calls()
    whole_road.stack.control.forget_faults()
    return whole_road


@pytest.fixture
def team() -> str:
    return new_team()
