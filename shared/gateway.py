"""The gateway's room: the unified API that serves all models, and a product per team that says who may call which, and how much."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.apply import GatewayWriter, perform
from shared.domain.desired import DesiredGateway, compile_catalog, compile_gateway
from shared.domain.marker import Marker
from shared.domain.names import API, CREDENTIAL_PREFIX, SHARED_PREFIX, product
from shared.domain.plan import ActualCatalog, ActualGateway, plan_catalog, plan_cleaning, plan_gateway
from shared.domain.request import AccessRequest
from shared.errors import Busy, InvalidRequest, NotManaged, Rejected
from shared.messages import CATALOG_TEAM, TeamMessage
from shared.outcome import Done, Event, Outcome, Waiting, worth_saying
from shared.ports import App
from shared.standing import Standing, require_unmoved
from shared.successors import ask_for_keys

#: While the unified API is not there yet, on a new platform only.
FIRST_WAIT = timedelta(seconds=1)
#: Policies of teams are written within a sweep.
CLEANING_WAIT = timedelta(minutes=5)


async def provide_models(app: App, event: Event[TeamMessage], standing: Standing) -> Outcome:
    """The API, its fragment and policy, what serves the models, and the secrets that this needs."""
    assert standing.catalog is not None
    desired = compile_catalog(standing.catalog, app.platform)
    marker = Marker(app.platform.repository, CATALOG_TEAM, standing.path, standing.commit, desired.digest)
    actual = await _actual_catalog(app)
    if actual.api is not None and not marker.owns(actual.api.marker):
        raise NotManaged(f"there is an API {API!r} that is not managed by mergekey: rename or remove it")
    plan, cleaning = plan_catalog(desired, marker, actual), plan_cleaning(desired, marker, actual)
    if plan or cleaning:
        await require_unmoved(app, event, standing)
    await perform(plan, GatewayWriter(app.gateway, marker))
    try:
        await perform(cleaning, GatewayWriter(app.gateway, marker))
    except Rejected:
        # The service refuses to delete what a policy names: teams' policies follow the catalogue, but not at once.
        return Waiting(CLEANING_WAIT, "StillNamedByPolicies")
    return Done(worth_saying(event, bool(plan), "models in place"), wrote=bool(plan) or bool(cleaning))


async def _actual_catalog(app: App) -> ActualCatalog:
    api, policy, backends, values = await asyncio.gather(
        app.gateway.api(API),
        app.gateway.api_policy(API),
        app.gateway.backends(SHARED_PREFIX),
        app.gateway.named_values(CREDENTIAL_PREFIX, app.platform.repository),
    )
    return ActualCatalog(api, policy, tuple(backends), tuple(values))


async def provide_product(app: App, event: Event[TeamMessage], standing: Standing) -> Outcome:
    """The team's product. The backends are read only when something differs."""
    assert standing.request is not None
    assert standing.catalog is not None
    name, team = product(standing.request.team), standing.request.team
    _require_cluster(app, standing.request)
    desired = compile_gateway(standing.request, standing.catalog, app.platform)
    marker = Marker(app.platform.repository, team, standing.path, standing.commit, desired.digest)
    actual, policy, api, linked = await asyncio.gather(
        app.gateway.product(name),
        app.gateway.product_policy(name),
        app.gateway.api(API),
        app.gateway.is_linked(name, API) if event.closely else _unknown(),
    )
    if actual is not None and not marker.owns(actual.marker):
        raise NotManaged(f"there is a product {name} that is not managed by mergekey for {team}: rename or remove it")
    if api is None or api.marker is None or not api.marker.digest:
        return Waiting(FIRST_WAIT, "CatalogueNotProvisioned")
    same = actual is not None and actual.marker is not None and actual.marker.digest == desired.digest
    unread = (same and not event.closely) or (actual is None and not desired.backends)
    backends = None if unread else tuple(await app.gateway.backends(f"{name}--"))
    plan = plan_gateway(desired, marker, ActualGateway(actual, policy, backends, linked))
    if plan:
        await require_unmoved(app, event, standing)
    try:
        await perform(plan, GatewayWriter(app.gateway, marker), lambda: ask_for_keys(app, event, standing.commit))
    except Rejected:
        await _require_backends(app, desired)
        raise
    return Done(worth_saying(event, bool(plan), "product and policy in place"), wrote=bool(plan))


async def _require_backends(app: App, desired: DesiredGateway) -> None:
    """A policy that names a backend which somebody deleted meanwhile is refused; the next look finds what is missing."""
    standing = {backend.name for backend in await app.gateway.backends(f"{desired.product}--")}
    if any(backend.name not in standing for backend in desired.backends):
        raise Busy("a backend was deleted while the policy was written", reason="BackendGone") from None


async def _unknown() -> None:
    return None


def _require_cluster(app: App, request: AccessRequest) -> None:
    if app.platform.cluster is None and any(model.instance_type for model in request.models):
        raise InvalidRequest("this platform has no GPU cluster: ask for the shared model, without `dedicated`", reason="NoCluster")
