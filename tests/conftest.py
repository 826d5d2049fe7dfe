"""How processes share the tests, and the real API server. Fixtures that tests of
the app and of the stand-ins have in common are in `standins/tests/plugin.py`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from standins.tests.plugin import StandIns
from tests.cluster.build import Absent
from tests.cluster.real import RealCluster, StandInsAt, StartCluster, real_cluster

ROOT = Path(__file__).resolve().parent.parent
#: Folders that take longest, and those whose tests wait for sockets half of their time. Processes that share
#: the tests begin with them: at the end come many short files of tests that only compute, which keep all
#: cores busy.
LONGEST_FIRST = (
    "end_to_end", "chaos", "runtime", "simulation", "infra", "upgrade", "wire", "gateway", "contract",
)  # fmt: skip
#: The first file of the second half of `end_to_end`. A process takes all files of a half: each that has one
#: of them starts the whole road.
SECOND_HALF = "tests/end_to_end/test_f"


class _Shares(LoadFileScheduling):
    """What a process takes at a time: a file, or half a folder whose files share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        if _folder(nodeid) == "end_to_end":
            return f"end to end {'second' if nodeid >= SECOND_HALF else 'first'} half"
        return super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return _Shares(config, log) if config.option.dist == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and tests stay to the end: the garbage collector need not look at them, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    folder = _folder(item.nodeid)
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


def _folder(nodeid: str) -> str:
    """The folder in `tests/` that a test is in."""
    return nodeid.split("/")[1]


@pytest.fixture(scope="session")
def new_real_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> StartCluster:
    """Starts a real API server. Skips where there is no program, and where several processes share the tests:
    each would start a control plane of its own, of 600 MB.
    """

    @contextmanager
    def start(beside: StandInsAt, name: str) -> Iterator[RealCluster]:
        if hasattr(request.config, "workerinput"):
            pytest.skip(
                "needs a real API server: `make contract` starts one, and so does this file by itself"
            )
        try:
            with real_cluster(beside, tmp_path_factory.mktemp("cluster"), name) as cluster:
                yield cluster
        except Absent as reason:
            pytest.skip(str(reason))

    return start


@pytest.fixture(scope="session")
def real_server(standins: StandIns, new_real_cluster: StartCluster) -> Iterator[RealCluster]:
    """A real API server for the tests of all files, which use namespaces of their own."""
    with new_real_cluster(StandInsAt(standins.control, standins.addresses, standins.ca), "real") as cluster:
        yield cluster
