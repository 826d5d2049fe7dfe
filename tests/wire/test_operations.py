"""Long-running operations at a service that is told to be difficult: where outcomes are asked for, what
fails, and what is refused for a while.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.errors import AccessDenied, MergekeyError, Rejected, Unavailable
from shared.marker import Marker
from shared.resources.backends import NamedValue
from shared.resources.desired import DesiredCatalog
from standins.stack import APIM_ID
from standins.tests.plugin import StandIns
from tests.wire.adapters import Adapters, the_adapters

SECRET = NamedValue("mergekey-slow", "https://contoso.vault.azure.net/secrets/slow")
API = {"openapi": "3.0.1", "info": {"title": "AI models", "version": "1"}, "paths": {}}
#: By kind of call, everything whose end is waited for.
OPERATIONS: dict[str, Callable[[Adapters], Awaitable[object]]] = {
    "PUT policy fragment": lambda at: at.gateway.put_fragment("slow", "<fragment/>"),
    "PUT api": lambda at: at.gateway.put_api(
        "slow", DesiredCatalog(API, "", "", ()), Marker(1, "catalogue", "a", "b", "c"), None
    ),
    "PUT named value": lambda at: at.gateway.put_named_value(SECRET, 1, None),
}


@pytest.fixture
async def adapters(standins: StandIns) -> AsyncIterator[Adapters]:
    """With the roles that the deployment gives, and no more."""
    before = standins.control.options("azure")["owners"]
    standins.control.set_options("azure", owners=["operator"])
    async with the_adapters(standins) as adapters:
        yield adapters
    standins.control.set_options("azure", owners=before)


@contextmanager
def options(standins: StandIns, **changed: Any) -> Iterator[None]:
    before = standins.control.options("resource-manager")
    standins.control.set_options("resource-manager", **changed)
    try:
        yield
    finally:
        standins.control.set_options("resource-manager", **{name: before[name] for name in changed})


def statuses(standins: StandIns, kind: str) -> list[int]:
    return [call.status for call in standins.control.calls("resource-manager") if call.kind == kind]


async def refusal_of(call: Awaitable[object]) -> MergekeyError:
    with pytest.raises(MergekeyError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize(
    ("place", "outcomes", "reads"), [("tenant", [200], 1), ("service", [200], 1), ("locations", [403], 1)]
)
async def test_a_write_ends_well_wherever_its_outcome_is_asked_for(
    standins: StandIns, adapters: Adapters, kind: str, place: str, outcomes: list[int], reads: int
) -> None:
    """Where the role does not allow to ask, the resource itself tells."""
    standins.control.forget_calls()
    with options(standins, operations_at=place):
        await OPERATIONS[kind](adapters)
    assert statuses(standins, "GET operation status") == outcomes
    assert statuses(standins, kind.replace("PUT", "GET")) == [200] * reads


@pytest.mark.parametrize("body", ["", "{}", '{"name": "odd"}'])
async def test_an_outcome_without_a_status_is_read_from_the_resource(
    standins: StandIns, adapters: Adapters, body: str
) -> None:
    standins.control.forget_calls()
    standins.control.fault("resource-manager", "GET operation status", status=200, body=body)
    await OPERATIONS["PUT named value"](adapters)
    assert statuses(standins, "GET named value") == [200]


async def test_a_resource_is_read_until_it_settles_so_many_times(
    standins: StandIns, adapters: Adapters
) -> None:
    standins.control.forget_calls()
    with options(standins, operations_at="locations", long_running_seconds=30):
        error = await refusal_of(OPERATIONS["PUT policy fragment"](adapters))
    assert (type(error), error.reason) == (Unavailable, "OperationUnfinished")
    assert statuses(standins, "GET policy fragment") == [200, 200]
    standins.control.advance(31)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ValidationError", "This is no API", (Rejected, "Rejected")),
        ("ManagementApiRequestFailed", "no way to :3443", (Unavailable, "Unavailable")),
        ("ValidationError", "Entity with specified identifier not found", (Unavailable, "NotFound")),
    ],
)
async def test_an_operation_that_fails_says_why(
    standins: StandIns,
    adapters: Adapters,
    code: str,
    message: str,
    expected: tuple[type[MergekeyError], str],
) -> None:
    standins.control.fault("resource-manager", "PUT api", when="later", code=code, body=message)
    error = await refusal_of(OPERATIONS["PUT api"](adapters))
    assert (type(error), error.reason) == expected
    assert code in error.message
    assert message in error.message


@pytest.mark.parametrize("kind", ["PUT policy fragment", "PUT api"])
async def test_a_write_that_left_nothing_says_which_right_would_tell_why(
    standins: StandIns, adapters: Adapters, kind: str
) -> None:
    await remove(standins, adapters, kind)
    standins.control.fault("resource-manager", kind, when="later")
    with options(standins, operations_at="locations"):
        error = await refusal_of(OPERATIONS[kind](adapters))
    assert (type(error), error.reason) == (AccessDenied, "AccessDenied")
    assert "Microsoft.ApiManagement/locations/operationStatuses/read" in error.message


async def remove(standins: StandIns, adapters: Adapters, kind: str) -> None:
    """A failed change would leave what was there before."""
    standins.control.set_options("azure", check_roles=False)
    client: Any = adapters.gateway._client
    where = APIM_ID.split("/")[4], APIM_ID.split("/")[-1]
    try:
        if kind == "PUT api":
            await client.api.begin_delete(*where, "slow", "*", polling=False)
        else:
            await client.policy_fragment.delete(*where, "slow", "*")
    finally:
        standins.control.set_options("azure", check_roles=True)


async def test_nothing_after_a_write_that_ended_well_is_tried_again(
    standins: StandIns, adapters: Adapters
) -> None:
    standins.control.fault("resource-manager", "GET policy fragment", status=404)
    error = await refusal_of(OPERATIONS["PUT policy fragment"](adapters))
    assert (type(error), error.reason) == (Unavailable, "NotFound")


@pytest.mark.parametrize("how", [{"when": "later"}, {"status": 400}], ids=["later", "at once"])
async def test_a_secret_that_cannot_be_read_names_itself_and_the_role(
    standins: StandIns, adapters: Adapters, how: dict[str, Any]
) -> None:
    words = "Failed to read the secret"
    body = words if "when" in how else f'{{"error": {{"code": "ValidationError", "message": "{words}"}}}}'
    standins.control.fault("resource-manager", "PUT named value", code="ValidationError", body=body, **how)
    error = await refusal_of(OPERATIONS["PUT named value"](adapters))
    assert (type(error), error.reason) == (AccessDenied, "SecretUnreadable")
    for word in ("'slow'", "https://contoso.vault.azure.net", "Key Vault Secrets User", words):
        assert word in error.message


@pytest.mark.parametrize(
    ("status", "code", "message", "reason"),
    [
        (422, "ManagementApiRequestFailed", "no way to :3443", "Unavailable"),
        (400, "ValidationError", "Entity with specified identifier not found", "NotFound"),
    ],
)
@pytest.mark.parametrize("kind", ["PUT api", "PUT api policy", "PUT named value", "PUT product api"])
async def test_what_is_refused_for_a_while_is_tried_again(
    standins: StandIns,
    adapters: Adapters,
    kind: str,
    status: int,
    code: str,
    message: str,
    reason: str,
) -> None:
    calls: dict[str, Callable[[Adapters], Awaitable[object]]] = {
        **OPERATIONS,
        "PUT api policy": lambda at: at.gateway.put_api_policy("slow", "<policies/>", None),
        "PUT product api": lambda at: at.gateway.link_product("slow", "slow"),
    }
    body = f'{{"error": {{"code": "{code}", "message": "{message}"}}}}'
    standins.control.fault("resource-manager", kind, status=status, body=body)
    error = await refusal_of(calls[kind](adapters))
    assert (type(error), error.reason) == (Unavailable, reason)
