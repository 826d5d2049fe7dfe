"""The policy of a team's product, which grants models and limits, and the fragment that finds the requested
model.

The gateway runs product policies before API policies. The product policy grants and limits a call, the API
policy routes it. It passes its decision on in variables: `granted-model`, `data-class`, `fallback-model`,
`dedicated`, `backend`, `cached`. Before anything else it answers which models a key is for: such a call has
no body, names no model, and counts for no limit but its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring

from shared.catalog.catalog import Catalog, CatalogModel, ContentSafety, SemanticCache
from shared.names import CACHE_BACKEND, FRAGMENT, SAFETY_BACKEND, backend, product
from shared.policies.policy_xml import (
    REMAINING_MODEL_TOKENS,
    REMAINING_REQUESTS,
    REMAINING_TOKENS,
    another_when,
    carries_digest,
    expression,
    is_literal,
    literal,
    policies,
    refuse,
    refuse_body,
    respond,
    section,
    set_backend,
    set_variable,
    text_of,
    when,
    with_digest,
)
from shared.requests.request import AccessRequest, ModelAccess

#: The categories of the content safety service:
#: https://learn.microsoft.com/azure/ai-services/content-safety/concepts/harm-categories
HARMS = ("Hate", "SelfHarm", "Sexual", "Violence")

#: Seconds; the longest that API Management allows is 300.
_MINUTE = "60"
#: How often a team's keys may ask for the list of their models.
LISTS_PER_MINUTE = "60"
#: What OpenAI's form of a model has besides its name. No date is known.
_MODEL = {"object": "model", "created": 0, "owned_by": "mergekey"}


def requested_model_fragment() -> str:
    """The fragment that reads the body, refuses what two readers could read differently, and finds the model:
    in the path, else in the body, else in a header.
    """
    root = Element("fragment")
    set_variable(root, "scanned-body", expression("scanned body"))
    refuse_body(root)
    set_variable(root, "requested-model", expression("requested model"))
    return text_of(root)


def product_policy(request: AccessRequest, catalog: Catalog) -> str:
    """Compile the models that the team may call, and their limits.

    A model that may not see the team's class of data is not named, whatever the request says; nor is one that
    is not on offer.
    """
    root = policies()
    inbound = section(root, "inbound")
    set_variable(inbound, "data-class", literal(request.data_classification))
    allowed = list(_allowed(request, catalog))
    _tell_models(inbound, request.team, allowed)
    set_variable(inbound, "verb", expression("verb"))
    SubElement(inbound, "include-fragment", {"fragment-id": FRAGMENT})
    _refuse_keys_twice(inbound, allowed, catalog)
    _team_limits(inbound, request)
    names = ", ".join(literal(access.name) for access, _ in allowed)
    message = f"This key is not for that model. It is for: {names or 'no model'}."
    choose = SubElement(inbound, "choose") if allowed else inbound
    for access, model in allowed:
        _grant(_asked_for(choose, model), request, access, model, catalog)
    refuse(SubElement(choose, "otherwise") if allowed else inbound, 403, message)
    if catalog.cache is not None and any(_is_cached(request, model, catalog) for _, model in allowed):
        _answer_from_cache(root, catalog.cache)
    return with_digest(root)


def _asked_for(choose: Element, model: CatalogModel) -> Element:
    """The branch of calls that name the model, by its name or an alias."""
    if not model.aliases:
        return another_when(choose, "variable is", name="requested-model", value=model.name)
    return another_when(choose, "one of", name="requested-model", value=_names(model))


def _names(model: CatalogModel) -> str:
    return " ".join(map(literal, (model.name, *model.aliases)))


def _tell_models(inbound: Element, team: str, allowed: list[tuple[ModelAccess, CatalogModel]]) -> None:
    """Answer which models the key is for, or whether it is for one, in OpenAI's form."""
    asked = when(inbound, "asks for models")
    counting = {"counter-key": f"{literal(team)}/list", "calls": LISTS_PER_MINUTE, "renewal-period": _MINUTE}
    SubElement(asked, "rate-limit-by-key", counting)
    set_variable(asked, "asked-model", expression("asked model"))
    names = sorted(name for _, model in allowed for name in (model.name, *model.aliases))
    listed = {"object": "list", "data": [{"id": literal(name), **_MODEL} for name in names]}
    all_or_one = SubElement(asked, "choose")
    whole = SubElement(all_or_one, "when", condition=expression("no model is named"))
    respond(whole, "200", json.dumps(listed), "OK")
    if names:
        one = another_when(all_or_one, "one of", name="asked-model", value=" ".join(names))
        respond(one, "200", expression("one model"), "OK")
    refuse(SubElement(all_or_one, "otherwise"), 404, "This key is for no such model.")


def granted_by(policy: str) -> Mapping[str, int | None] | None:
    """The grants of a product policy of ours, by model, in the form of `AccessRequest.tokens`, but 0 for a
    dedicated workspace, of which it does not say the instance type; None for any other text.

    A policy that was edited since is read as it is, because it is in force.
    """
    try:
        # The gateway's policies are written by its administrators: this XML is trusted.
        root = fromstring(policy)  # noqa: S314
    except ParseError:
        return None
    inbound = root.find("inbound")
    if inbound is None or not carries_digest(root):
        return None
    branches = {_variable(branch, "granted-model"): branch for branch in inbound.iterfind("choose/when")}
    overall = _per_minute(inbound)
    return {model: _least(branch, overall) for model, branch in branches.items() if model is not None}


def _least(branch: Element, overall: int | None) -> int | None:
    if _variable(branch, "dedicated") is not None:
        return 0
    return min((bound for bound in (_per_minute(branch), overall) if bound is not None), default=None)


def _variable(parent: Element, name: str) -> str | None:
    found = parent.find(f"set-variable[@name='{name}']")
    return None if found is None else found.get("value")


def _per_minute(parent: Element) -> int | None:
    """The limit that stands right here; None for none, and for what is no number."""
    found = parent.find("llm-token-limit[@tokens-per-minute]")
    text = "" if found is None else found.get("tokens-per-minute", "")
    return int(text) if text.isdecimal() else None


def _allowed(request: AccessRequest, catalog: Catalog) -> Iterator[tuple[ModelAccess, CatalogModel]]:
    for access in request.models:
        model = catalog.model(access.name)
        if model is not None and request.data_classification in model.data_classes:
            yield access, model


def _is_screened(model: CatalogModel, catalog: Catalog) -> bool:
    return model.screened and catalog.content_safety is not None


def _refuse_keys_twice(
    inbound: Element, allowed: list[tuple[ModelAccess, CatalogModel]], catalog: Catalog
) -> None:
    """Content safety must read what the model reads. This stands before the limits, because a refused call is
    not counted.
    """
    screened = [_names(model) for _, model in allowed if _is_screened(model, catalog)]
    if screened:
        twice = when(inbound, "screened, with a key twice", value=" ".join(screened))
        refuse(twice, 400, "A key stands twice in an object of the body.")


def _counter(team: str, model: str | None = None) -> str:
    """The key of a counter: `<team>` for a team, `<team>:<model>` for one of its models.

    API Management has one counter per key, whatever the scope and the policy, so no two keys may be equal: a
    team's name has neither `:` nor `/`. `<team>/month` is the form of a team's counter of another period.
    """
    return literal(team) if model is None else f"{literal(team)}:{literal(model)}"


def _team_limits(inbound: Element, request: AccessRequest) -> None:
    """The limits over all models together. Calls are limited first, because counting them is cheap."""
    if request.requests_per_minute is not None:
        counting = {
            "counter-key": _counter(request.team),
            "remaining-calls-header-name": REMAINING_REQUESTS,
        }
        SubElement(
            inbound,
            "rate-limit-by-key",
            {"calls": str(request.requests_per_minute), "renewal-period": _MINUTE, **counting},
        )
    daily = None if request.daily_token_quota is None else (request.daily_token_quota, "Daily")
    _token_limit(inbound, _counter(request.team), request.tokens_per_minute, daily)


def _grant(
    branch: Element, request: AccessRequest, access: ModelAccess, model: CatalogModel, catalog: Catalog
) -> None:
    quota = None if access.token_quota is None else (access.token_quota.tokens, access.token_quota.period)
    _token_limit(branch, _counter(request.team, access.name), access.tokens_per_minute, quota)
    if model.screened and catalog.content_safety is not None:
        _screen(branch, catalog.content_safety)
    metric = SubElement(branch, "llm-emit-token-metric", namespace="mergekey")
    for name, value in _dimensions(request, access):
        SubElement(metric, "dimension", name=name, value=value)
    set_variable(branch, "granted-model", literal(access.name))
    fallback = _fallback(request, model, catalog)
    if fallback is not None:
        set_variable(branch, "fallback-model", literal(fallback))
    if _is_cached(request, model, catalog):
        set_variable(when(branch, "variable is", name="verb", value="chat"), "cached", "yes")
    if access.instance_type is not None:
        set_variable(branch, "dedicated", "yes")
        set_backend(branch, backend(request.team, access.name))


def _dimensions(request: AccessRequest, access: ModelAccess) -> Iterator[tuple[str, str]]:
    """API Management takes at most five custom dimensions."""
    yield "Team", literal(request.team)
    yield "Model", literal(access.name)
    if request.cost_center is not None and is_literal(request.cost_center):
        yield "Cost centre", request.cost_center
    yield "Product", product(request.team)


def _fallback(request: AccessRequest, model: CatalogModel, catalog: Catalog) -> str | None:
    """The model to ask when this one fails: only one that the team may call itself, and that is served to all
    teams.
    """
    granted = {
        access.name: known for access, known in _allowed(request, catalog) if access.instance_type is None
    }
    fallback = granted.get(model.fallback or "")
    return fallback.name if fallback is not None and fallback.serves_all else None


def _is_cached(request: AccessRequest, model: CatalogModel, catalog: Catalog) -> bool:
    """Restricted data is never cached."""
    return model.cached and catalog.cache is not None and request.data_classification != "restricted"


def _screen(branch: Element, safety: ContentSafety) -> None:
    """Harmful prompts are refused with 403 before they reach a model."""
    screen = SubElement(branch, "llm-content-safety", {"backend-id": SAFETY_BACKEND, "shield-prompt": "true"})
    categories = SubElement(screen, "categories", {"output-type": "EightSeverityLevels"})
    for harm in HARMS:
        SubElement(categories, "category", name=harm, threshold=str(safety.threshold))


def _answer_from_cache(root: Element, cache: SemanticCache) -> None:
    """Once per section, as API Management requires. Cached answers are kept apart by team and model."""
    found = when(section(root, "inbound"), "variable is set", name="cached")
    asked = {"embeddings-backend-id": CACHE_BACKEND, "embeddings-backend-auth": "system-assigned"}
    lookup = SubElement(
        found, "llm-semantic-cache-lookup", {"score-threshold": format(cache.score.normalize(), "f"), **asked}
    )
    SubElement(lookup, "vary-by").text = expression("subscription")
    SubElement(lookup, "vary-by").text = expression("the variable", name="granted-model")
    keep = when(section(root, "outbound"), "variable is set", name="cached")
    SubElement(keep, "llm-semantic-cache-store", duration=str(cache.seconds))


def _token_limit(
    parent: Element, counter: str, per_minute: int | None, quota: tuple[int, str] | None
) -> None:
    """One counter per key whatever the scope, so the key names the team. A limit per minute answers 429, a
    quota 403.
    """
    if per_minute is None and quota is None:
        return
    limits = {"counter-key": counter, "estimate-prompt-tokens": "false"}
    left = REMAINING_MODEL_TOKENS if ":" in counter else REMAINING_TOKENS
    if per_minute is not None:
        limits |= {"tokens-per-minute": str(per_minute), "remaining-tokens-header-name": left}
    if quota is not None:
        limits |= {"token-quota": str(quota[0]), "token-quota-period": quota[1]}
    SubElement(parent, "llm-token-limit", limits)
