"""The common parts of the Azure SDK clients: the hosts that get tokens, timeouts, and limits of pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy, SansIOHTTPPolicy
from azure.core.polling.base_polling import BadResponse, BadStatus
from azure.mgmt.core.polling.arm_polling import BodyContentPolling
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling
from azure.mgmt.core.tools import parse_resource_id

from shared.adapters.answers import instance, require_origin
from shared.adapters.pace import Pace, Paced, left_in
from shared.adapters.translate import by_status, of_answer, unexpected
from shared.calls import counted, kind_of
from shared.errors import AccessDenied, MergekeyError, Unavailable

#: A page has a hundred rows in API Management, 25 in Key Vault. A list of more pages than this does not end.
MAX_PAGES = 4_000

Policy = SansIOHTTPPolicy[Any, Any] | AsyncHTTPPolicy[Any, Any]


class Lists(SansIOHTTPPolicy[Any, Any]):
    """For a client that uses GET for lists only: the newer SDKs take a response without `value` for an empty
    list.
    """

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        if request.http_request.method == "GET" and response.http_response.status_code == 200:
            instance(list, json.loads(response.http_response.text())["value"])


class OneHost(SansIOHTTPPolicy[Any, Any]):
    """Restricts a client to one host. It runs before the policy that fetches and attaches a token.

    Links to next pages, addresses of operations and redirections come from answers: one that leads elsewhere
    would take the token along.
    """

    def __init__(self, system: str, url: str) -> None:
        self._system = system
        self._url = url

    def on_request(self, request: PipelineRequest[Any]) -> None:
        require_origin(self._system, request.http_request.url, self._url)
        if request.http_request.method == "POST" and urlsplit(request.http_request.url).path.endswith(
            "/register"
        ):
            # By default the SDK registers a missing resource provider, and waits until that is done.
            raise by_status(self._system, 409, "MissingSubscriptionRegistration")


class Counted(AsyncHTTPPolicy[Any, Any]):
    """Counts the requests of a client by how they are answered. It is the last policy that an adapter gives:
    it sees the service's own answers.
    """

    def __init__(self, system: str) -> None:
        super().__init__()
        self._system = system

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        method = request.http_request.method
        with counted(self._system, method) as call:
            response = await self.next.send(request)
            answer = response.http_response
            call.answered(answer.status_code, left_in(answer.headers, kind_of(method)))
            return response


@dataclass(frozen=True, slots=True)
class ResourceId:
    """The parts of an Azure resource's id: subscription, resource group and name."""

    subscription: str
    group: str
    name: str

    @classmethod
    def of(cls, text: str) -> ResourceId:
        """Parse an id. Raises KeyError for a text that is not an id."""
        parts = parse_resource_id(text)
        return cls(str(parts["subscription"]), str(parts["resource_group"]), str(parts["name"]))


#: The name under which calls are counted, whichever service is behind it: the budget is Resource Manager's.
RESOURCE_MANAGER = "Azure Resource Manager"
#: One for the process: all clients sign in as the same principal.
_PACE = Pace()


def client_options(system: str, url: str, *policies: Policy) -> dict[str, Any]:
    """The options of every client. The SDK does not retry: settlement schedules retries."""
    return {"retry_total": 0, "per_retry_policies": [OneHost(system, url), *policies]}


def resource_manager_options(system: str, url: str) -> dict[str, Any]:
    """The options of a client of Azure Resource Manager; `url` is its endpoint."""
    base = url.rstrip("/")
    return {
        "base_url": base,
        "credential_scopes": ["https://management.azure.com/.default"],
        **client_options(system, base, Paced(_PACE), Counted(RESOURCE_MANAGER)),
    }


async def all_rows(system: str, listed: AsyncIterable[Any]) -> list[Any]:
    """All rows of an SDK's list, page by page. Raises Unavailable for a list that repeats a page, or does not
    end.
    """
    paged: Any = listed  # the generated clients promise less than the AsyncItemPaged that they give
    return [row async for page in _bounded(system, paged.by_page()) async for row in page]


async def _bounded(system: str, pages: Any) -> AsyncIterator[Any]:
    seen: set[str | None] = set()
    async for page in pages:
        yield page
        if pages.continuation_token in seen or len(seen) == MAX_PAGES:
            raise unexpected(system, "the list does not end")
        seen.add(pages.continuation_token)


@dataclass(frozen=True, slots=True)
class OperationTimeout:
    """The limits of waiting for a long-running operation: `seconds` in all, and at most `polls` requests,
    `interval` seconds apart unless the service asks for another pause. A function may run for ten minutes,
    and waits for three operations at most.
    """

    seconds: float = 120.0
    polls: int = 120
    interval: float = 1.0


TIMEOUT = OperationTimeout()


#: Where an operation's outcome is asked for and these are answered (200 without a status in the body), the
#: resource is read instead: the role may lack the action of that address, which the first answer alone names.
_NO_OUTCOME = (200, 403, 404)


class _Polling(AsyncARMPolling):
    """Asks for the outcome where the first answer says; without one the resource is read until its
    provisioning state settles. `no_outcome` is then why.
    """

    def __init__(self, system: str, patience: OperationTimeout) -> None:
        super().__init__(patience.interval, lro_options={"final-state-via": "location"})
        self._system = system
        self._polls = patience.polls
        self.no_outcome: MergekeyError | None = None

    async def update_status(self) -> None:
        """The service may ask for a very short pause, so polls are counted too."""
        if not self._polls:
            raise unfinished(self._system)
        self._polls -= 1
        try:
            await super().update_status()
        except (BadStatus, BadResponse):
            answer = self._pipeline_response.http_response
            if self.no_outcome or answer.status_code not in _NO_OUTCOME:
                raise
            self.no_outcome = of_answer(self._system, HttpResponseError(response=answer))
            resource: BodyContentPolling[Any, Any] = BodyContentPolling()
            resource.set_initial_status(self._initial_response)
            self._operation = resource


async def wait_for_operation(
    system: str,
    patience: OperationTimeout,
    begin: Callable[..., Awaitable[Any]],
    *arguments: Any,
    **named: Any,
) -> Any:
    """Begin a long-running operation, wait for its end, and return the resource as it is then.

    Raises Unavailable for one that takes longer: the operation continues, and the next run finds its result.
    Where the write was taken and the resource is not there then, raises AccessDenied if the outcome could not
    be asked for, else Unavailable with reason NotFound.
    """
    polling = _Polling(system, patience)
    try:
        async with asyncio.timeout(patience.seconds):
            poller = await begin(*arguments, polling=polling, **named)
            return await _end(system, poller, polling)
    except TimeoutError:
        raise unfinished(system) from None


async def _end(system: str, poller: Any, polling: _Polling) -> Any:
    """Wait for the end. The errors carry their cause, as far as the service tells it."""
    try:
        return await poller.result()
    except HttpResponseError as error:
        if error.status_code != 404:
            raise
        cause = polling.no_outcome
        told = "its operation ended well" if cause is None else f"what came of it: {cause.message}"
        text = f"{system} took a write, and then there was nothing (404); {told}"
        if isinstance(cause, AccessDenied):
            raise AccessDenied(text) from None
        raise Unavailable(text, reason="NotFound") from None


def unfinished(system: str) -> Unavailable:
    return Unavailable(f"{system}: an operation has not ended yet", reason="OperationUnfinished")
