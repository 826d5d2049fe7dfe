"""Long-running operations that do not end, or end badly: a stage waits for a while, and comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from shared.adapters.azure_sdk import OperationTimeout
from shared.errors import Rejected, Unavailable
from shared.marker import Marker
from shared.resources.backends import NamedValue
from shared.resources.desired import DesiredCatalog
from standins.tests.plugin import StandIns
from tests.wire.adapters import Adapters, the_adapters

# An operation that nobody began is asked for.
pytestmark = pytest.mark.wrong_on_purpose

NAMED = NamedValue("mergekey-odd", "https://contoso.vault.azure.net/secrets/odd")
#: By kind of call, everything whose end is waited for.
OPERATIONS: dict[str, Callable[[Adapters], Awaitable[object]]] = {
    "PUT policy fragment": lambda at: at.gateway.put_fragment("odd", "<fragment/>"),
    "PUT api": lambda at: at.gateway.put_api(
        "odd", DesiredCatalog({}, "", "", ()), Marker(1, "catalogue", "a", "b", "c"), None
    ),
    "PUT named value": lambda at: at.gateway.put_named_value(NAMED, 1, None),
}
_PATH = (
    "/subscriptions/0/providers/Microsoft.ApiManagement/locations/local/operationStatuses/odd?api-"
    "version=2024-05-01"
)


@pytest.fixture
async def adapters(standins: StandIns) -> AsyncIterator[Adapters]:
    async with the_adapters(standins) as adapters:
        yield adapters


def begins(standins: StandIns, kind: str, pause: str = "") -> None:
    """The next call of the kind is answered as one that goes on."""
    address = standins.addresses["resource-manager"] + _PATH
    body = json.dumps({"name": "odd", "properties": {"provisioningState": "InProgress"}})
    standins.control.fault(
        "resource-manager",
        kind,
        status=201,
        body=body,
        headers={"Azure-AsyncOperation": address, **_pause(pause)},
    )


def goes(standins: StandIns, body: Any, pause: str = "") -> None:
    """Whoever asks how it goes is told so."""
    text = body if isinstance(body, str) else json.dumps(body)
    standins.control.fault(
        "resource-manager", "GET operation status", status=200, body=text, headers=_pause(pause), count=None
    )


def _pause(seconds: str) -> dict[str, str]:
    return {"Retry-After": seconds} if seconds else {}


def looks(standins: StandIns) -> int:
    return sum(call.kind == "GET operation status" for call in standins.control.calls("resource-manager"))


@pytest.mark.parametrize("kind", OPERATIONS)
async def test_an_operation_is_looked_at_so_many_times(
    standins: StandIns, adapters: Adapters, kind: str
) -> None:
    begins(standins, kind)
    goes(standins, {"status": "InProgress"}, "0.001")
    standins.control.forget_calls()
    with pytest.raises(Unavailable) as caught:
        await OPERATIONS[kind](adapters)
    assert caught.value.reason == "OperationUnfinished"
    assert looks(standins) == 3


@pytest.mark.parametrize("kind", OPERATIONS)
async def test_an_operation_is_waited_for_so_long_whatever_the_service_asks_for(
    standins: StandIns, kind: str
) -> None:
    async with the_adapters(standins, OperationTimeout(seconds=0.5)) as adapters:
        begins(standins, kind, "3600")
        goes(standins, {"status": "InProgress"}, "3600")
        with pytest.raises(Unavailable) as caught:
            await OPERATIONS[kind](adapters)
        assert caught.value.reason == "OperationUnfinished"


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("body", ["", "null", "[]", "<html>", "{}", '{"status": 5}', '{"status": null}'])
async def test_news_of_an_operation_that_make_no_sense_end_the_wait(
    standins: StandIns, adapters: Adapters, kind: str, body: str
) -> None:
    begins(standins, kind)
    goes(standins, body)
    with pytest.raises(Unavailable):
        await OPERATIONS[kind](adapters)


async def test_a_pause_that_nobody_understands_ends_the_wait(standins: StandIns, adapters: Adapters) -> None:
    begins(standins, "PUT policy fragment")
    goes(standins, {"status": "InProgress"}, "soon")
    with pytest.raises(Unavailable, match="UnexpectedAnswer"):
        await OPERATIONS["PUT policy fragment"](adapters)


async def test_an_operation_that_failed_is_refused(standins: StandIns, adapters: Adapters) -> None:
    begins(standins, "PUT api")
    goes(standins, {"status": "Failed", "error": {"code": "ValidationError", "message": "This is no API"}})
    with pytest.raises(Rejected, match="ValidationError This is no API"):
        await OPERATIONS["PUT api"](adapters)
