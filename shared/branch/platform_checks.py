"""What a catalogue asks of a platform that cannot do it: said when the catalogue is read, not when API
Management refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import get_args
from xml.etree.ElementTree import fromstring

from shared.catalog.catalog import Catalog, CatalogVerdict, read_catalog
from shared.catalog.terms import Classification
from shared.documents.document import Document, KeyPath
from shared.documents.field_types import MOST_REQUESTS_PER_MINUTE, MOST_TOKENS, MOST_TOKENS_PER_MINUTE
from shared.documents.problem import capped
from shared.documents.strict_yaml import read_bytes
from shared.names import LONGEST_TEAM
from shared.policies.api_policy import api_policy
from shared.policies.policy_table import LONGEST, TABLE, WITH_BREAKERS, Tier
from shared.policies.product_policy import product_policy
from shared.requests.details import ModelAccess, TokenQuota
from shared.requests.request import AccessRequest
from shared.resources.desired import Platform

Fault = tuple[KeyPath, str, str]
"""Where in the catalogue, a reason and a message. A model stands there by its name."""

Faults = Callable[[Catalog], Iterator[Fault]]


@lru_cache(maxsize=64)
def read_fitting_catalog(path: str, content: bytes, faults: Faults | None) -> CatalogVerdict:
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
    return CatalogVerdict(
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
    yield from _cluster_faults(catalog, platform)
    if platform.vault_url is None:
        yield from _vault_faults(catalog)


def _cluster_faults(catalog: Catalog, platform: Platform) -> Iterator[Fault]:
    for model in catalog.models:
        if model.shared is not None and platform.cluster is None:
            message = "This platform has no GPU cluster. Write 'endpoint' or 'pool' instead."
            yield ("models", model.name, "shared"), "NoCluster", message
        elif model.access_secret is not None and platform.cluster and platform.cluster.dialect == "0.6":
            message = (
                "KAITO 0.6, the AKS add-on, takes no access secret. Remove it, or choose a preset that needs "
                "none."
            )
            yield ("models", model.name, "accessSecret"), "NotAllowed", message


def _vault_faults(catalog: Catalog) -> Iterator[Fault]:
    """Everything for which a key has to stand in the platform's vault."""
    for model in catalog.models:
        if any(member.credential for member in model.members):
            message = (
                "This platform has no vault for the keys of providers (PLATFORM_VAULT_URL). Ask the platform "
                "team."
            )
            yield ("models", model.name), "NoPlatformVault", message
    if catalog.content_safety is not None:
        message = "Its key stands in the platform's own vault, and there is none (PLATFORM_VAULT_URL)."
        yield ("contentSafety",), "NoPlatformVault", message


def tier_faults(catalog: Catalog, tier: Tier) -> Iterator[Fault]:
    """What the tier of API Management cannot do: policies, circuit breakers, and documents of that length."""
    documents = {
        "the API": [api_policy(catalog)],
        "a team that asks for every model": [
            product_policy(request, catalog) for request in everything(catalog)
        ],
    }
    yield from _element_faults([text for texts in documents.values() for text in texts], tier)
    for model in catalog.models:
        if model.breaker is not None and tier not in WITH_BREAKERS:
            message = f"API Management's tier '{tier}' has no circuit breakers."
            yield ("models", model.name, "circuitBreaker"), "TierCannot", message
    for owner, texts in documents.items():
        yield from _length_faults(owner, max(len(text.encode()) for text in texts), tier)


def _element_faults(policies: Iterable[str], tier: Tier) -> Iterator[Fault]:
    """The elements of these policies that the tier does not have."""
    # just compiled
    used = {element.tag for text in policies for element in fromstring(text).iter()}  # noqa: S314
    for tag in sorted(used & TABLE.keys()):
        if tier not in TABLE[tag].tiers:
            message = (
                f"API Management's tier '{tier}' has no '{tag}', which this needs. Choose another tier, and "
                "set APIM_TIER."
            )
            yield (TABLE[tag].key or "models",), "TierCannot", message


def _length_faults(owner: str, size: int, tier: Tier) -> Iterator[Fault]:
    if size > LONGEST[tier]:
        message = (
            f"The policy of {owner} would have {size:,} bytes; API Management's tier '{tier}' takes "
            f"{LONGEST[tier]:,}. Offer fewer models."
        )
        yield ("models",), "TierCannot", message


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
    quota = TokenQuota(MOST_TOKENS, "Monthly")
    return AccessRequest(
        team="t" * LONGEST_TEAM,
        display_name="",
        owner="",
        cost_center="c" * 100,
        entra_group=None,
        models=tuple(
            ModelAccess(
                each.name,
                each.provider,
                MOST_TOKENS_PER_MINUTE,
                quota,
                each.dedicated.instance_types[0] if each.dedicated and each.name in own else None,
            )
            for each in catalog.models
        ),
        tokens_per_minute=MOST_TOKENS_PER_MINUTE,
        daily_token_quota=MOST_TOKENS,
        playground_access=False,
        tracing_enabled=False,
        data_classification=classification,
        expires=None,
        requests_per_minute=MOST_REQUESTS_PER_MINUTE,
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
