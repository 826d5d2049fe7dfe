"""One real cluster for each controller that is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from standins.tests.plugin import StandIns
from tests.cluster.build import Absent
from tests.cluster.real import StandInsAt, StartCluster
from tests.gateways.build import NAMES, program
from tests.gateways.real import RealGateways, real_gateways


@pytest.fixture(scope="module", params=NAMES)
def gateways(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealGateways]:
    """Skips where the environment does not ask for the controller, or there is no program."""
    controller = NAMES[request.param]
    try:
        program(controller)
        standins: StandIns = request.getfixturevalue("standins")
        start: StartCluster = request.getfixturevalue("new_real_cluster")
        beside = StandInsAt(standins.control, standins.addresses, standins.ca)
        folder = tmp_path_factory.mktemp("gateways") / "controller"
        with (
            start(beside, f"gateways-{request.param}") as cluster,
            real_gateways(cluster, controller, folder) as found,
        ):
            yield found
    except Absent as reason:
        pytest.skip(str(reason))
