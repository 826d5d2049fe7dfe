"""The answers of the HTTP API, made from what was read. Pure. No key is ever read for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import get_args
from urllib.parse import quote

from shared import names
from shared.api.conditions import conditions
from shared.api.records import (
    BackendState,
    Endpoints,
    Gpus,
    Granted,
    GrantedModel,
    Grants,
    ModelList,
    Offer,
    ProviderBackend,
    ProviderList,
    Reader,
    Share,
    TeamRecord,
    Withdrawal,
)
from shared.api.team_view import TeamView
from shared.branch.review import Review
from shared.catalog.capacity import Capacity
from shared.catalog.catalog import Catalog, CatalogModel
from shared.catalog.terms import Ability
from shared.catalog.workspace_checks import node_cost, nodes_of
from shared.inventory.differences import differences, plans_for_catalog
from shared.inventory.snapshot import Snapshot
from shared.inventory.unmanaged import is_stranger
from shared.marker import Marker, reader_of
from shared.requests.details import ModelAccess
from shared.requests.request import AccessRequest
from shared.resources import bearer
from shared.resources.actual import ActualBackend, RoleGrant
from shared.resources.backends import Backend
from shared.resources.desired import Platform, compile_catalog
from shared.resources.plan import known
from shared.resources.unified_api import PATH


def team_record(view: TeamView, platform: Platform, commit: str) -> TeamRecord:
    """The record of one team, as its members may see it."""
    found, parts = view.on_branch, conditions(view, platform)
    marker = view.product.marker if view.product else None
    return TeamRecord(
        team=found.team,
        access=found.access,
        ready=all(condition.status == "True" for condition in parts),
        path=found.path or (marker.path if marker else ""),
        commit=commit,
        provisioned_commit=marker.commit if marker else None,
        entra_group=reading_group(view, platform),
        readers=tuple(_readers(view)),
        secrets=names.secrets(found.team),
        endpoints=_endpoints(view.catalog, platform.gateway_url),
        withdrawn=None
        if view.withdrawn is None
        else Withdrawal(view.withdrawn, view.withdrawn + view.times.grace),
        granted=None if view.granted is None else _granted(view.granted, view, platform),
        conditions=parts,
        problems=found.problems,
    )


def _readers(view: TeamView) -> Iterator[Reader]:
    """The groups by their assignments; strangers as sweeps tell them."""
    keys = view.actual.keys
    endpoint = keys.newest(names.endpoint_secret(view.on_branch.team))
    named = None if endpoint is None else endpoint.tags.get("reader")
    for group in sorted({each.group for found in keys.readers.values() for each in found}):
        of_group = {
            secret: [each for each in keys.readers.get(secret, ()) if each.group == group]
            for secret in names.secrets(view.on_branch.team)
        }
        secrets = tuple(secret for secret, found in of_group.items() if found)
        yield Reader(group, secrets, _are_strangers(chain(*of_group.values()), named))


def _are_strangers(grants: Iterable[RoleGrant], named: str | None) -> bool:
    return all(is_stranger(each, named) for each in grants)


def _endpoints(catalog: Catalog | None, gateway_url: str) -> Endpoints:
    has_bearer = catalog is not None and catalog.bearer_way is not None
    return Endpoints(
        gateway_url, f"{gateway_url}/{PATH}/v1", bearer.base_url(gateway_url) if has_bearer else None
    )


def reading_group(view: TeamView, platform: Platform) -> str | None:
    """The group that may see the record: that of the request, or, without a valid request, the one that was
    granted access last.
    """
    if view.on_branch.request is not None:
        return view.on_branch.request.entra_group
    ours = (str(platform.repository), view.on_branch.team)
    # The endpoint comes first, because the tag of a key may still name the group that could read it before.
    tags = (
        secret.tags
        for secret in reversed(view.secrets)
        if (secret.tags.get("repository"), secret.tags.get("team")) == ours
    )
    return next((reader for each in tags if (reader := reader_of(each))), None)


def model_list(catalog: Catalog, reviewed: Review, commit: str, with_shares: bool) -> ModelList:
    """The catalogue with its grants. `reviewed` is the review of all requests; `with_shares` adds the share
    of every team.
    """
    offers = tuple(
        _offer(
            model, _grants(reviewed.capacity[model.name], with_shares), model.name in reviewed.overcommitted
        )
        for model in catalog.models
    )
    return ModelList(commit, catalog.currency, catalog.over_commitment, offers)


def _grants(capacity: Capacity, with_shares: bool) -> Grants:
    shares = tuple(Share(team, tokens) for team, tokens in capacity.granted.items()) if with_shares else None
    return Grants(capacity.capacity, capacity.limit, capacity.total, capacity.unlimited, shares)


def _granted(request: AccessRequest, view: TeamView, platform: Platform) -> Granted:
    return Granted(
        display_name=request.display_name,
        owner=request.owner,
        cost_center=request.cost_center,
        models=tuple(_model(access, view, platform) for access in request.models),
        tokens_per_minute=request.tokens_per_minute,
        daily_token_quota=request.daily_token_quota,
        data_classification=request.data_classification,
        playground_access=request.playground_access,
        playground_project=names.project(request.team)
        if request.playground_access and platform.playground
        else None,
        tracing_enabled=request.tracing_enabled,
        expires=request.expires,
    )


def _model(access: ModelAccess, view: TeamView, platform: Platform) -> GrantedModel:
    model = view.offered.model(access.name) if view.offered else None
    base = f"{platform.gateway_url}/{PATH}/deployments/{quote(access.name, safe='')}"
    retirement = model.retirement if model else None
    return GrantedModel(
        name=access.name,
        provider=access.provider,
        tokens_per_minute=access.tokens_per_minute,
        token_quota=access.token_quota,
        instance_type=access.instance_type,
        chat_completions_url=f"{base}/chat/completions",
        embeddings_url=f"{base}/embeddings",
        retires_on=retirement.on if retirement else None,
        successor=retirement.successor if retirement else None,
        gpus=_gpus(access, view),
        serves=() if model is None else tuple(each for each in get_args(Ability) if each in model.serves),
    )


def _gpus(access: ModelAccess, view: TeamView) -> Gpus | None:
    """What the cluster says of a workspace comes before what the tables say."""
    catalog, size = view.offered, access.instance_type
    model = catalog.model(access.name) if catalog else None
    setup = catalog.setup(model) if catalog and model else None
    if catalog is None or setup is None or size is None:
        return None
    counted_nodes = nodes_of(setup, size)
    will_take = counted_nodes if isinstance(counted_nodes, int) else None
    found = node_cost(_nodes_seen(access, view) or will_take, catalog.node_price.get(size))
    return Gpus(found.nodes, found.per_hour, found.per_month, catalog.currency)


def _nodes_seen(access: ModelAccess, view: TeamView) -> int:
    """0 where the cluster does not say (yet)."""
    existing = known(view.actual.workspaces.workspaces, ())
    return next((each.nodes for each in existing if each.name == names.workspace(access.name)), 0)


def _offer(model: CatalogModel, grants: Grants, overcommitted: bool) -> Offer:
    return Offer(
        name=model.name,
        provider=model.provider,
        private=model.private,
        data_classes=tuple(sorted(model.data_classes)),
        price=model.price,
        max_tokens_per_minute=model.max_tokens_per_minute,
        max_daily_tokens=model.max_daily_tokens,
        shared=bool(model.members),
        instance_types=model.dedicated.instance_types if model.dedicated else (),
        fallback=model.fallback,
        cached=model.cached,
        screened=model.screened,
        retires_on=model.retirement.on if model.retirement else None,
        successor=model.retirement.successor if model.retirement else None,
        grants=grants,
        overcommitted=overcommitted,
    )


def provider_list(catalog: Catalog, platform: Platform, snapshot: Snapshot, commit: str) -> ProviderList:
    """The backends of the catalogue. The snapshot needs to have only the platform's side: the unified API,
    backends, named values and shared workspaces.
    """
    marker = snapshot.api.marker if snapshot.api else None
    plans = plans_for_catalog(catalog, platform, snapshot)
    return ProviderList(
        commit=commit,
        provisioned_commit=marker.commit if marker else None,
        backends=tuple(_backends(catalog, platform, snapshot.backends)),
        differences=(
            *(each.message for each in differences(names.CATALOG_TEAM, plans)),
            *map(str, snapshot.not_served.values()),
        ),
    )


def _backends(
    catalog: Catalog, platform: Platform, found: Mapping[str, ActualBackend]
) -> Iterator[ProviderBackend]:
    desired = {backend.name: backend for backend in compile_catalog(catalog, platform).backends}
    ours = Marker(platform.repository, names.CATALOG_TEAM, "", "")
    for name in sorted(desired.keys() | {name for name in found if name.startswith(names.SHARED_PREFIX)}):
        actual, backend = found.get(name), desired.get(name)
        url, state = (backend.url or None) if backend else None, _state(actual, backend, ours)
        if actual is None:
            yield ProviderBackend(name, None, url, None, (), state)
        else:
            yield ProviderBackend(name, actual.url or None, url, actual.breaker, actual.members, state)


def _state(actual: ActualBackend | None, desired: Backend | None, ours: Marker) -> BackendState:
    if actual is None:
        return "missing"
    if not ours.owns(actual.marker):
        return "not_managed"
    if desired is None:
        return "not_needed"
    return "as_catalogued" if actual.equivalent_to(desired) else "different"
