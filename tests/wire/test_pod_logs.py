"""How the end of a container's log is asked for, and what answers about it mean."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.adapters.kaito import KaitoCluster
from shared.adapters.kaito_logs import LIMIT_BYTES, TAIL_LINES
from shared.errors import AccessDenied, MergekeyError, Unavailable
from standins.tests.plugin import StandIns
from tests.wire.adapters import the_adapters

LOG = "GET pod log"
OF = "team-alpha", "phi-4-0", "phi-4"


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[KaitoCluster]:
    async with the_adapters(standins) as adapters:
        yield adapters.cluster


async def test_only_the_end_of_the_run_before_is_asked_for(cluster: KaitoCluster, standins: StandIns) -> None:
    standins.control.forget_calls()
    assert await cluster.previous_log(*OF) is None
    [call] = [each for each in standins.control.calls("kubernetes") if each.kind == LOG]
    asked = {name: value for name, [value] in parse_qs(urlsplit(call.target).query).items()}
    bounds = {"tailLines": str(TAIL_LINES), "limitBytes": str(LIMIT_BYTES)}
    assert asked == {"container": "phi-4", "previous": "true", **bounds}


@pytest.mark.parametrize(
    ("status", "expected"), [(403, AccessDenied), (500, Unavailable), (502, Unavailable)]
)
async def test_a_log_that_cannot_be_read_is_an_error(
    cluster: KaitoCluster, standins: StandIns, status: int, expected: type[MergekeyError]
) -> None:
    standins.control.fault("kubernetes", LOG, status=status, body="of a model: its text", count=1)
    with pytest.raises(expected) as refused:
        await cluster.previous_log(*OF)
    assert "its text" not in str(refused.value)


async def test_a_log_need_not_be_text(cluster: KaitoCluster, standins: StandIns) -> None:
    standins.control.fault("kubernetes", LOG, status=200, body="\x1b[31m\x00[Errno 98]\r\n", count=1)
    tail = await cluster.previous_log(*OF)
    assert tail is not None
    assert "[Errno 98]" in tail.text
