"""The health check: one cheap call to each remote system that a stage needs, all at the same time and with a
time limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from datetime import timedelta

from shared import names
from shared.api.records import Health, Probe
from shared.app import App
from shared.branch.account import KnownObjects
from shared.branch.evaluation import evaluate_all
from shared.branch.review import Baseline
from shared.cluster_ports import Cluster
from shared.documents.problem import listed
from shared.errors import MergekeyError, PermanentError, Unavailable
from shared.resources.backends import require_readable
from shared.resources.bearer import base_url
from shared.resources.served_kinds import NEEDED
from shared.stages.open_ways import find_open_ways

#: The time limit of one call.
TIMEOUT = timedelta(seconds=5)
#: The account of capacity may take this many times as long, because all requests are read.
_CAPACITY_FACTOR = 8


async def check_everything(app: App, limit: timedelta = TIMEOUT) -> Health:
    """Probe every remote system. A missing role is reported too, with the system's own message."""
    calls = [_probe(app, system, call, limit) for system, call in _calls(app)]
    probes = await asyncio.gather(*calls, _probe(app, "capacity", _capacity(app), limit * _CAPACITY_FACTOR))
    return Health(all(probe.healthy for probe in probes), tuple(probes))


def _calls(app: App) -> Iterator[tuple[str, Awaitable[object]]]:
    """A call for each system. Probes use the reserved name `catalogue`; "not found" proves that the service
    answers. A missing branch is an error, because nothing can be granted without it.
    """
    secret = names.primary_key_secret(names.CATALOG_TEAM)
    yield "GitHub", _branch(app)
    yield "Service Bus", app.dead_letters.peek(1)
    yield "API Management", _gateway(app)
    yield "bearer keys", _bearer_keys(app)
    yield "Key Vault", app.vault.versions(secret)
    yield "role assignments", app.roles.readers_of(secret)
    if app.cluster is not None:
        yield "Kubernetes", _cluster(app.cluster)
        yield "ways around API Management", _open_ways(app)
    if app.projects is not None:
        yield "Foundry", app.projects.project(names.project(names.CATALOG_TEAM))


async def _capacity(app: App) -> None:
    """Raise PermanentError if more of a model is in force than may be granted. Errors while reading are
    ignored, because the other probes report them.
    """
    try:
        head = await app.repository.head()
        tree = None if head is None else await app.repository.tree(head.tree)
        if head is None or tree is None:
            return
        reviewed = await evaluate_all(
            app,
            head.commit,
            tree,
            Baseline(today=app.clock.now().date()),
            KnownObjects(await app.gateway.products()),
        )
    except MergekeyError:
        return
    if reviewed.overcommitted:
        models = listed(sorted(reviewed.overcommitted))
        raise PermanentError(
            f"more is in force than may be granted of {models}; see GET /api/models", reason="Overcommitted"
        )


async def _gateway(app: App) -> None:
    """Raise AccessDenied for a provider's key that the gateway cannot read: calls that need it fail."""
    _, values = await asyncio.gather(
        app.gateway.api(names.API),
        app.gateway.named_values(names.CREDENTIAL_PREFIX, app.platform.repository),
    )
    require_readable({value.url: value.unreadable for value in values if value.ours and value.unreadable})


async def _bearer_keys(app: App) -> None:
    """Raise PermanentError where the platform's own key is not taken as a bearer token. That the API's
    contract says so proves nothing: what counts is the answer to a call. Without that API nothing is asked.
    """
    gateway = app.gateway
    api, subscription = await asyncio.gather(gateway.api(names.BEARER_API), gateway.subscription(names.PROBE))
    if api is None or not api.was_finished:
        return
    if subscription is None or subscription.state != "active":
        raise Unavailable("the platform's own key is not there yet", reason="BearerKeysUnproven")
    key = (await gateway.keys(names.PROBE))[0]
    status = await app.gateway_calls.status(f"{base_url(app.platform.gateway_url)}/models", key.as_bearer())
    if status != 200:
        raise PermanentError(
            f"GET /models with a bearer key is answered with {status}: write `bearerKeys: mirrored` into the "
            "catalogue, or false",
            reason="BearerKeysRefused",
        )


async def _cluster(cluster: Cluster) -> None:
    """Raise KindNotServed for a kind without which no team gets a workspace."""
    served, _ = await asyncio.gather(cluster.served(), cluster.namespace(names.namespace(names.CATALOG_TEAM)))
    if missing := served.first_missing(NEEDED):
        raise missing


async def _open_ways(app: App) -> None:
    """Raise PermanentError if models can be called past API Management, or their calls taken away."""
    ways = await find_open_ways(app)
    if ways:
        raise PermanentError("; ".join(way.text for way in ways), reason=ways[0].reason)


async def _branch(app: App) -> None:
    if await app.repository.head() is None:
        raise Unavailable("the branch of requests does not exist", reason="NoBranch")


async def _probe(app: App, system: str, call: Awaitable[object], limit: timedelta) -> Probe:
    began = app.clock.now()
    reason = message = None
    try:
        await asyncio.wait_for(call, limit.total_seconds())
    except MergekeyError as error:
        reason, message = error.reason, error.message
    except TimeoutError:
        reason, message = "NoAnswer", f"no answer within {limit.total_seconds():g} s"
    took = max(app.clock.now() - began, timedelta(0))
    return Probe(system, reason is None, round(took / timedelta(milliseconds=1)), reason, message)
