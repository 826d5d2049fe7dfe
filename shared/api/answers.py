"""From what was seen to what is answered. Pure, and without any key: nothing here ever had one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from shared import names
from shared.api.conditions import conditions
from shared.api.records import (
    BackendState,
    Endpoints,
    Granted,
    GrantedModel,
    Grants,
    ModelList,
    Offer,
    ProviderBackend,
    ProviderList,
    Share,
    TeamRecord,
    Withdrawal,
)
from shared.api.team_view import View
from shared.branch.review import Review
from shared.catalog.capacity import Capacity
from shared.catalog.catalog import Catalog, CatalogModel
from shared.inventory.drift import catalog_drift
from shared.inventory.snapshot import Snapshot
from shared.marker import Marker, reader_of
from shared.requests.details import ModelAccess
from shared.requests.request import AccessRequest
from shared.resources.actual import ActualBackend
from shared.resources.backends import Backend
from shared.resources.desired import Platform, compile_catalog
from shared.resources.unified_api import PATH


def team_record(view: View, platform: Platform, commit: str) -> TeamRecord:
    """Everything about one team that may be told to it."""
    said, judged = view.said, conditions(view, platform)
    product = view.world.products.get(names.product(said.team))
    marker = product.marker if product else None
    return TeamRecord(
        team=said.team,
        access=said.access,
        ready=all(condition.status == "True" for condition in judged),
        path=said.path or (marker.path if marker else ""),
        commit=commit,
        provisioned_commit=marker.commit if marker else None,
        entra_group=group_of(view, platform),
        secrets=names.secrets(said.team),
        endpoints=Endpoints(platform.gateway_url, f"{platform.gateway_url}/{PATH}/v1"),
        withdrawn=None
        if view.withdrawn is None
        else Withdrawal(view.withdrawn, view.withdrawn + view.times.grace),
        granted=None if said.request is None else _granted(said.request, view.catalog, platform),
        conditions=judged,
        problems=said.problems,
    )


def group_of(view: View, platform: Platform) -> str | None:
    """Who may see the record: the group of the request; where there is no valid one, the group that was let
    in last.
    """
    if view.said.request is not None:
        return view.said.request.entra_group
    ours = (str(platform.repository), view.said.team)
    # The endpoint's tag first: that of a key may still name whoever could read it before.
    tags = (
        secret.tags
        for secret in reversed(view.secrets)
        if (secret.tags.get("repository"), secret.tags.get("team")) == ours
    )
    return next((reader for each in tags if (reader := reader_of(each))), None)


def model_list(catalog: Catalog, reviewed: Review, commit: str, closely: bool) -> ModelList:
    """`reviewed` is the review of all requests; `closely`: with every team's share."""
    offers = tuple(
        _offer(model, _grants(reviewed.ledgers[model.name], closely), model.name in reviewed.overcommitted)
        for model in catalog.models
    )
    return ModelList(commit, catalog.currency, catalog.over_commitment, offers)


def _grants(ledger: Capacity, closely: bool) -> Grants:
    shares = tuple(Share(team, tokens) for team, tokens in ledger.granted.items()) if closely else None
    return Grants(ledger.capacity, ledger.limit, ledger.total, ledger.unlimited, shares)


def _granted(request: AccessRequest, catalog: Catalog | None, platform: Platform) -> Granted:
    return Granted(
        display_name=request.display_name,
        owner=request.owner,
        cost_center=request.cost_center,
        models=tuple(
            _model(access, catalog.model(access.name) if catalog else None, platform)
            for access in request.models
        ),
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


def _model(access: ModelAccess, model: CatalogModel | None, platform: Platform) -> GrantedModel:
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
    )


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


def provider_list(catalog: Catalog, platform: Platform, world: Snapshot, commit: str) -> ProviderList:
    """`world` needs the platform's side only: the unified API, backends, named values, shared workspaces."""
    marker = world.api.marker if world.api else None
    return ProviderList(
        commit=commit,
        provisioned_commit=marker.commit if marker else None,
        backends=tuple(_backends(catalog, platform, world.backends)),
        differences=tuple(catalog_drift(catalog, platform, world)),
    )


def _backends(
    catalog: Catalog, platform: Platform, found: Mapping[str, ActualBackend]
) -> Iterator[ProviderBackend]:
    wanted = {backend.name: backend for backend in compile_catalog(catalog, platform).backends}
    ours = Marker(platform.repository, names.CATALOG_TEAM, "", "")
    for name in sorted(wanted.keys() | {name for name in found if name.startswith(names.SHARED_PREFIX)}):
        actual, desired = found.get(name), wanted.get(name)
        url, state = (desired.url or None) if desired else None, _state(actual, desired, ours)
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
