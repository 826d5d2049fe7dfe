"""What a catalogue asks of a platform that cannot do it: said when the catalogue is read, not when API
Management refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

Fault = tuple[KeyPath, str, str]
"""Where in the catalogue, a reason and a message. A model stands there by its name."""

Faults = Callable[[Catalog], Iterator[Fault]]


@lru_cache(maxsize=64)
def read_fitting_catalog(path: str, content: bytes, faults: Faults | None) -> ParsedCatalog:
    """The catalogue in a file's content, when it asks for nothing that is at fault. Never raises; all
    problems at once.

    Every push, stage and sweep reads the same few catalogues, and to read one takes most of a webhook's time:
    they are remembered.
    """
    verdict = read_catalog(path, content)
    found = list(faults(verdict.catalog)) if verdict.catalog is not None and faults is not None else []
    if not found:
        return verdict
    document = read_bytes(path, content)
    return ParsedCatalog(
        None,
        capped(
            document.problem(_place(document, where), reason, message) for where, reason, message in found
        ),
    )


@lru_cache(maxsize=8)
def faults_of(platform: Platform) -> Faults:
    """What knows the platform's limits; the same one for the same platform."""
    return partial(platform_faults, platform=platform)


def platform_faults(catalog: Catalog, platform: Platform) -> Iterator[Fault]:
    """Everything that this platform cannot do."""
    yield from tier_faults(catalog, platform.tier)
    for model in catalog.models:
        if model.shared is not None and platform.cluster is None:
            yield (
                ("models", model.name, "shared"),
                "NoCluster",
                "This platform has no GPU cluster. Write 'endpoint' or 'pool' instead.",
            )
        if (
            model.access_secret is not None
            and platform.cluster is not None
            and platform.cluster.dialect == "0.6"
        ):
            advice = (
                "KAITO 0.6, the AKS add-on, takes no access secret. Remove it, or choose a preset that needs "
                "none."
            )
            yield ("models", model.name, "accessSecret"), "NotAllowed", advice
        if platform.vault_url is None and any(member.credential for member in model.members):
            advice = (
                "This platform has no vault for the keys of providers (PLATFORM_VAULT_URL). Ask the platform "
                "team."
            )
            yield ("models", model.name), "NoPlatformVault", advice
    if platform.vault_url is None and catalog.content_safety is not None:
        yield (
            ("contentSafety",),
            "NoPlatformVault",
            "Its key stands in the platform's own vault, and there is none (PLATFORM_VAULT_URL).",
        )


def tier_faults(catalog: Catalog, tier: Tier) -> Iterator[Fault]:
    """What the tier of API Management cannot do: policies, circuit breakers, and documents of that length."""
    teams = [product_policy(request, catalog) for request in everything(catalog)]
    documents = {"the API": [api_policy(catalog)], "a team that asks for every model": teams}
    policies = [text for texts in documents.values() for text in texts]
    # just compiled
    used = {element.tag for text in policies for element in fromstring(text).iter()}  # noqa: S314
    for tag in sorted(used & TABLE.keys()):
        if tier not in TABLE[tag].tiers:
            advice = (
                f"API Management's tier '{tier}' has no '{tag}', which this needs. Choose another tier, and "
                "set APIM_TIER."
            )
            yield (TABLE[tag].key or "models",), "TierCannot", advice
    for model in catalog.models:
        if model.breaker is not None and tier not in WITH_BREAKERS:
            yield (
                ("models", model.name, "circuitBreaker"),
                "TierCannot",
                f"API Management's tier '{tier}' has no circuit breakers.",
            )
    for whose, texts in documents.items():
        size = max(len(text.encode()) for text in texts)
        if size > MAX_POLICY_BYTES[tier]:
            advice = (
                f"The policy of {whose} would have {size:,} bytes; API Management's tier '{tier}' takes "
                f"{MAX_POLICY_BYTES[tier]:,}."
            )
            yield ("models",), "TierCannot", f"{advice} Offer fewer models."


def everything(catalog: Catalog) -> Iterator[AccessRequest]:
    """The request with the longest policy, for each class of data: for all models, on workspaces of the
    team's own.
    """
    # Classes that may be sent to the same models have the same policy, but for answers that are kept.
    classes = {
        (frozenset(m.name for m in catalog.models if of in m.data_classes), of == "restricted"): of
        for of in get_args(Classification)
    }
    return (_longest(catalog, classification) for classification in classes.values())


def _longest(catalog: Catalog, classification: Classification) -> AccessRequest:
    """A workspace of the team's own makes the policy longer, and shorter too: its model is nobody's fallback
    then.
    """
    dedicated = frozenset(model.name for model in catalog.models if model.dedicated)
    longest = _everything(catalog, classification, dedicated)
    for name in sorted(dedicated & {model.fallback for model in catalog.models}):
        # What one model adds does not depend on the others, so that trying each once is enough.
        other = _everything(catalog, classification, _own(longest) - {name})
        longest = max(longest, other, key=lambda request: len(product_policy(request, catalog)))
    return longest


def _own(request: AccessRequest) -> frozenset[str]:
    return frozenset(access.name for access in request.models if access.instance_type is not None)


def _everything(catalog: Catalog, classification: Classification, own: frozenset[str]) -> AccessRequest:
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


def _place(document: Document, where: KeyPath) -> KeyPath:
    """With the number of the model's entry in place of its name."""
    if len(where) < 2:
        return where
    written = document.get(("models",))
    found = (
        index
        for index, entry in enumerate(written if isinstance(written, list) else [])
        if entry.get("name") == where[1]
    )
    return ("models", next(found), *where[2:])
