"""The checks of a request against the catalogue, and the access that it is granted."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, get_args

from shared.catalog.catalog import Catalog, CatalogModel, Dedicated
from shared.catalog.terms import Classification
from shared.documents.problem import did_you_mean, listed, quote
from shared.requests.details import ModelAccess, Period, RequestedModel, TokenQuota

EntitlementProblem = tuple[RequestedModel, str, str, str]
"""The requested model, the key of its entry that has the problem, the reason and the message."""

_KeyProblem = tuple[str, str, str]
_DAYS: Final[dict[Period, int]] = {"Daily": 1, "Weekly": 7, "Monthly": 30, "Yearly": 365}


def check_entitlements(
    requested_models: Sequence[RequestedModel],
    catalog: Catalog,
    classification: object,
    leaving: Container[str],
) -> Iterator[EntitlementProblem]:
    """All problems of the requested models with the catalogue, for data of this class, which may be unknown.

    Models in `leaving` were removed from the catalogue while in use: that is a problem of the catalogue, and
    none is found here.
    """
    seen: set[str] = set()
    for requested in requested_models:
        if requested.name in seen:
            yield (
                requested,
                "name",
                "DuplicateModel",
                f"The model {quote(requested.name)} is asked for twice. Remove one of the two entries.",
            )
        seen.add(requested.name)
        model = catalog.model(requested.name)
        problems: Iterable[_KeyProblem]
        if model is None:
            problems = () if requested.name in leaving else _unknown(requested, catalog)
        else:
            problems = chain(
                _problems_with(requested, model, requested_models),
                _not_for_class(model, requested_models, catalog, classification),
            )
        for key, reason, message in problems:
            yield requested, key, reason, message


def needs_call_limit(
    requested_models: Sequence[RequestedModel], catalog: Catalog
) -> Iterator[EntitlementProblem]:
    """The problems of a request without `requestsPerMinute`: pictures have no tokens, so nothing else limits
    the calls for them.
    """
    for requested in requested_models:
        model = catalog.model(requested.name)
        if model is not None and "images" in model.serves:
            advice = "Pictures have no tokens. Add 'requestsPerMinute' to the limits of the request."
            what = f"{quote(model.name)} makes pictures, and nothing limits the calls for them."
            yield requested, "name", "NoCallLimit", f"{what} {advice}"


def granted(requested: RequestedModel, model: CatalogModel) -> ModelAccess:
    """The access that is granted for a valid requested model. Where the request names no limit, the
    catalogue's ceiling holds.
    """
    daily = TokenQuota(model.max_daily_tokens, "Daily") if model.max_daily_tokens is not None else None
    default = model.dedicated.instance_types[0] if requested.dedicated and model.dedicated else None
    return ModelAccess(
        name=model.name,
        provider=model.provider,
        tokens_per_minute=requested.tokens_per_minute
        if requested.tokens_per_minute is not None
        else model.max_tokens_per_minute,
        token_quota=requested.token_quota or daily,
        instance_type=requested.instance_type or default,
    )


def _unknown(requested: RequestedModel, catalog: Catalog) -> Iterator[_KeyProblem]:
    known = [model.name for model in catalog.models]
    aliased = catalog.named_by(requested.name)
    if aliased is not None:
        advice = f"Ask for {quote(aliased.name)}; callers may then use both names."
        yield "name", "UnknownModel", f"{quote(requested.name)} is an alias. {advice}"
        return
    advice = did_you_mean(requested.name, known) or f" On offer: {listed(known[:20])}."
    yield "name", "UnknownModel", f"There is no model {quote(requested.name)} in the catalogue.{advice}"


def _problems_with(
    requested: RequestedModel, model: CatalogModel, requested_models: Sequence[RequestedModel]
) -> Iterator[_KeyProblem]:
    if requested.provider != model.provider:
        advice = (
            f"{quote(model.name)} is a {model.provider} model, but is asked for as {requested.provider}. "
            f"Write it under '{model.provider}'."
        )
        yield "name", "WrongProvider", advice
        return
    yield from _above_ceilings(requested, model)
    if requested.instance_type is not None and not requested.dedicated:
        advice = "'instanceType' is for workspaces of your own only. Add 'dedicated: true', or remove it."
        if requested.provider == "foundry":
            advice = "'instanceType' is for kaito models only. Remove it."
        yield "instanceType", "NotAllowed", advice
    if requested.dedicated:
        yield from _dedicated_problems(requested, model.dedicated, requested_models)
    elif not model.serves_all:
        advice = (
            f"Nothing serves {quote(model.name)} to several teams. Ask for a workspace of your own: "
            f"{_how_dedicated(requested)}."
        )
        yield "name", "NoSharedEndpoint", advice


def _not_for_class(
    model: CatalogModel, requested_models: Sequence[RequestedModel], catalog: Catalog, classification: object
) -> Iterator[_KeyProblem]:
    if classification not in get_args(Classification) or classification in model.data_classes:
        return
    allowed = [other.name for other in catalog.models if classification in other.data_classes]
    asked = [name for name in allowed if name in {requested.name for requested in requested_models}]
    which = (
        f"Of the models in this request {listed(asked)} may be"
        if asked
        else "No model in this request may be"
    )
    offer = f"on offer for it: {listed(allowed[:20])}" if allowed else "the catalogue has none for it"
    advice = (
        f"{quote(model.name)} may not be sent {classification} data, which 'dataClassification' speaks of. "
        f"{which}; {offer}."
    )
    yield "name", "DataClassNotAllowed", advice


def _how_dedicated(requested: RequestedModel) -> str:
    return "add 'instanceType'" if requested.where[0] == "data" else "add 'dedicated: true'"


def _above_ceilings(requested: RequestedModel, model: CatalogModel) -> Iterator[_KeyProblem]:
    most = model.max_tokens_per_minute
    if most is not None and requested.tokens_per_minute is not None and requested.tokens_per_minute > most:
        advice = (
            f"{requested.tokens_per_minute:,} tokens per minute are more than a team may have of "
            f"{quote(model.name)}. Write at most {most}."
        )
        yield "tokensPerMinute", "AboveCeiling", advice
    if requested.token_quota is not None and model.max_daily_tokens is not None:
        quota, ceiling = (
            requested.token_quota,
            _quota_ceiling(model.max_daily_tokens, requested.token_quota.period),
        )
        if quota.tokens > ceiling:
            advice = (
                f"A {quota.period} quota of {quota.tokens:,} tokens is more than a team may have of "
                f"{quote(model.name)}."
            )
            yield (
                "tokenQuota",
                "AboveCeiling",
                f"{advice} Write at most {ceiling} ({model.max_daily_tokens} a day).",
            )


def _quota_ceiling(daily: int, period: Period) -> int:
    return daily // 24 if period == "Hourly" else daily * _DAYS[period]


def _dedicated_problems(
    requested: RequestedModel, permission: Dedicated | None, requested_models: Sequence[RequestedModel]
) -> Iterator[_KeyProblem]:
    if permission is None:
        advice = (
            f"The catalogue allows no workspaces of a team's own for {quote(requested.name)}. Ask the "
            "platform team, or choose another model."
        )
        yield "dedicated", "DedicatedNotAllowed", advice
        return
    if requested.instance_type is not None and requested.instance_type not in permission.instance_types:
        advice = (
            f"{quote(requested.instance_type)} is not allowed for {quote(requested.name)}. Write one of "
            f"{listed(permission.instance_types)}."
        )
        yield "instanceType", "InstanceTypeNotAllowed", advice
    count = len({other.name for other in requested_models if other.dedicated})
    if count > permission.per_team:
        advice = (
            f"This request asks for {count} dedicated models; with {quote(requested.name)} among them a team "
            f"may have {permission.per_team}."
        )
        yield "dedicated", "AboveCeiling", advice
