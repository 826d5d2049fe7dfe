"""The parts of a catalogue that this platform cannot provide. They are reported when the catalogue is read,
not when API Management refuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import get_args
from xml.etree.ElementTree import fromstring

from shared.catalog.catalog import Catalog, ParsedCatalog, read_catalog
from shared.catalog.terms import Classification
from shared.documents.document import Document, KeyPath
from shared.documents.field_types import MAX_REQUESTS_PER_MINUTE, MAX_TOKENS, MAX_TOKENS_PER_MINUTE
from shared.documents.problem import capped
from shared.documents.strict_yaml import read_bytes
from shared.names import MAX_TEAM_LENGTH
from shared.policies.api_policy import api_policy
from shared.policies.policy_table import MAX_POLICY_BYTES, TABLE, WITH_BREAKERS, Tier
from shared.policies.product_policy import product_policy
from shared.requests.details import ModelAccess, TokenQuota
from shared.requests.request import AccessRequest
from shared.resources.desired import Platform

PlatformProblem = tuple[KeyPath, str, str]
"""A place in the catalogue, a reason and a message. In the place, a model is given by its name."""

PlatformCheck = Callable[[Catalog], Iterator[PlatformProblem]]


@lru_cache(maxsize=64)
def read_supported_catalog(path: str, content: bytes, check: PlatformCheck | None) -> ParsedCatalog:
    """The catalogue in a file's content, if the check finds no problems. Never raises; returns all problems
    at once. Beside the faults of workspaces the catalogue is in force: no other team may have to wait for
    them to be mended.

    Every push, stage and sweep reads the same few catalogues, and reading one takes most of a webhook's time:
    the results are cached.
    """
    evaluation = _read_catalog(path, content)
    found = list(check(evaluation.catalog)) if evaluation.catalog is not None and check is not None else []
    if not found:
        return evaluation
    document = read_bytes(path, content)
    return ParsedCatalog(
        None,
        capped(
            [
                *evaluation.problems,
                *(
                    document.problem(_with_index(document, where), reason, message)
                    for where, reason, message in found
                ),
            ]
        ),
        evaluation.faults,
    )


#: One object for one content, whatever it is checked for: requests are remembered by their catalogue.
_read_catalog = lru_cache(maxsize=64)(read_catalog)


@lru_cache(maxsize=8)
def platform_check(platform: Platform) -> PlatformCheck:
    """The check of this platform; the same object for the same platform, because results are cached by it."""
    return partial(platform_problems, platform=platform)


def platform_problems(catalog: Catalog, platform: Platform) -> Iterator[PlatformProblem]:
    """Everything in the catalogue that this platform cannot provide."""
    yield from tier_problems(catalog, platform.tier)
    yield from _cluster_problems(catalog, platform)
    if platform.vault_url is None:
        yield from _vault_problems(catalog)


def _cluster_problems(catalog: Catalog, platform: Platform) -> Iterator[PlatformProblem]:
    for model in catalog.models:
        if model.shared is not None and platform.cluster is None:
            message = "This platform has no GPU cluster. Write 'endpoint' or 'pool' instead."
            yield ("models", model.name, "shared"), "NoCluster", message


def _vault_problems(catalog: Catalog) -> Iterator[PlatformProblem]:
    """Everything that needs a key in the gateway's vault."""
    for model in catalog.models:
        if any(member.credential for member in model.members):
            message = (
                "This platform has no vault for the keys of providers (PLATFORM_VAULT_URL). Ask the platform "
                "team."
            )
            yield ("models", model.name), "NoPlatformVault", message
    if catalog.content_safety is not None:
        message = (
            "Its key is kept in the platform's own vault, and this platform has none (PLATFORM_VAULT_URL)."
        )
        yield ("contentSafety",), "NoPlatformVault", message


def tier_problems(catalog: Catalog, tier: Tier) -> Iterator[PlatformProblem]:
    """Everything that the tier of API Management does not support: policies, circuit breakers, and policies
    of that length.
    """
    documents = {
        "the API": [api_policy(catalog)],
        "a team that asks for every model": [
            product_policy(request, catalog) for request in longest_requests(catalog)
        ],
    }
    yield from _element_problems([text for texts in documents.values() for text in texts], tier)
    for model in catalog.models:
        if model.breaker is not None and tier not in WITH_BREAKERS:
            message = f"API Management's tier '{tier}' has no circuit breakers."
            yield ("models", model.name, "circuitBreaker"), "TierCannot", message
    for owner, texts in documents.items():
        yield from _length_problems(owner, max(len(text.encode()) for text in texts), tier)


def _element_problems(policies: Iterable[str], tier: Tier) -> Iterator[PlatformProblem]:
    """The policy elements that the tier does not support."""
    # The XML was compiled by this app.
    used = {element.tag for text in policies for element in fromstring(text).iter()}  # noqa: S314
    for tag in sorted(used & TABLE.keys()):
        if tier not in TABLE[tag].tiers:
            message = (
                f"API Management's tier '{tier}' has no '{tag}', which this needs. Choose another tier, and "
                "set APIM_TIER."
            )
            yield (TABLE[tag].key or "models",), "TierCannot", message


def _length_problems(owner: str, size: int, tier: Tier) -> Iterator[PlatformProblem]:
    if size > MAX_POLICY_BYTES[tier]:
        message = (
            f"The policy of {owner} would have {size:,} bytes; API Management's tier '{tier}' takes "
            f"{MAX_POLICY_BYTES[tier]:,}. Offer fewer models."
        )
        yield ("models",), "TierCannot", message


def longest_requests(catalog: Catalog) -> Iterator[AccessRequest]:
    """The request with the longest policy for each class of data: it asks for all models, on dedicated
    workspaces.
    """
    # Classes with the same models have the same policy, except that answers to restricted data are not
    # cached.
    classes = {
        (frozenset(m.name for m in catalog.models if of in m.data_classes), of == "restricted"): of
        for of in get_args(Classification)
    }
    return (_longest(catalog, classification) for classification in classes.values())


def _longest(catalog: Catalog, classification: Classification) -> AccessRequest:
    """A dedicated workspace makes the policy longer, but its model cannot be a fallback then, which makes the
    policy shorter: both are tried.
    """
    dedicated = frozenset(model.name for model in catalog.models if model.dedicated)
    longest = _request_for_all(catalog, classification, dedicated)
    for name in sorted(dedicated & {model.fallback for model in catalog.models}):
        # The length that one model adds does not depend on the others, so each is tried once.
        other = _request_for_all(catalog, classification, _own(longest) - {name})
        longest = max(longest, other, key=lambda request: len(product_policy(request, catalog)))
    return longest


def _own(request: AccessRequest) -> frozenset[str]:
    return frozenset(access.name for access in request.models if access.instance_type is not None)


def _request_for_all(catalog: Catalog, classification: Classification, own: frozenset[str]) -> AccessRequest:
    quota = TokenQuota(MAX_TOKENS, "Monthly")
    return AccessRequest(
        team="t" * MAX_TEAM_LENGTH,
        display_name="",
        owner="",
        cost_center="c" * 100,
        entra_group=None,
        models=tuple(
            ModelAccess(
                each.name,
                each.provider,
                MAX_TOKENS_PER_MINUTE,
                quota,
                each.dedicated.instance_types[0] if each.dedicated and each.name in own else None,
            )
            for each in catalog.models
        ),
        tokens_per_minute=MAX_TOKENS_PER_MINUTE,
        daily_token_quota=MAX_TOKENS,
        playground_access=False,
        tracing_enabled=False,
        data_classification=classification,
        expires=None,
        requests_per_minute=MAX_REQUESTS_PER_MINUTE,
    )


def _with_index(document: Document, where: KeyPath) -> KeyPath:
    """The place with the index of the model's entry instead of its name."""
    if len(where) < 2:
        return where
    written = document.get(("models",))
    found = (
        index
        for index, entry in enumerate(written if isinstance(written, list) else [])
        if entry.get("name") == where[1]
    )
    return ("models", next(found), *where[2:])
