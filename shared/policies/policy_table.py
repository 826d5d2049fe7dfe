"""Where API Management allows each policy that is compiled, and what its tiers cannot do.

Neither the schemas of policies nor the management interface say it; the reference page of each policy does:
https://learn.microsoft.com/azure/api-management/api-management-policies
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Tier = Literal[
    "consumption", "developer", "basic", "standard", "premium", "basicv2", "standardv2", "premiumv2"
]
Section = Literal["inbound", "backend", "outbound", "on-error"]
Scope = Literal["product", "api"]

_ALL: frozenset[Tier] = frozenset(get_args(Tier))
_NOT_CONSUMPTION: frozenset[Tier] = _ALL - {"consumption"}
_ANYWHERE: frozenset[Section] = frozenset(get_args(Section))
_INBOUND: frozenset[Section] = frozenset({"inbound"})

#: The longest policy document in bytes: https://learn.microsoft.com/azure/api-management/service-limits
MAX_POLICY_BYTES = dict.fromkeys(sorted(_NOT_CONSUMPTION), 256 * 1024) | {"consumption": 16 * 1024}
#: The products of an instance: https://learn.microsoft.com/azure/api-management/service-limits (limits of
#: 2026)
MAX_PRODUCTS: dict[Tier, int] = {
    "consumption": 100, "developer": 100, "basic": 200, "standard": 500, "premium": 2_000,
    "basicv2": 200, "standardv2": 500, "premiumv2": 2_000,
}  # fmt: skip
#: Circuit breakers of backends: https://learn.microsoft.com/azure/api-management/backends#limitations
WITH_BREAKERS = _NOT_CONSUMPTION


@dataclass(frozen=True, slots=True)
class Allowed:
    """Where a policy may stand. All compiled policies may stand at the scopes of products and APIs; with
    `once`, only once per section.

    `key` is the key of the catalogue that asks for it, empty for what every catalogue needs.
    """

    sections: frozenset[Section] = _INBOUND
    tiers: frozenset[Tier] = _ALL
    once: bool = False
    key: str = ""


#: Scopes: `cors` is for the API, because a preflight request has no key and so belongs to no product.
ONLY_AT: dict[str, Scope] = {"cors": "api"}

TABLE: dict[str, Allowed] = {
    "authentication-managed-identity": Allowed(),
    "base": Allowed(_ANYWHERE),
    "choose": Allowed(_ANYWHERE),
    "cors": Allowed(once=True, key="origins"),
    "forward-request": Allowed(frozenset({"backend"})),
    "include-fragment": Allowed(_ANYWHERE),
    "llm-content-safety": Allowed(tiers=_NOT_CONSUMPTION, key="contentSafety"),
    "llm-emit-token-metric": Allowed(),
    "llm-semantic-cache-lookup": Allowed(once=True, key="semanticCache"),
    "llm-semantic-cache-store": Allowed(frozenset({"outbound"}), once=True, key="semanticCache"),
    "llm-token-limit": Allowed(tiers=_NOT_CONSUMPTION),
    "rate-limit-by-key": Allowed(tiers=_NOT_CONSUMPTION),
    "retry": Allowed(_ANYWHERE),
    "return-response": Allowed(_ANYWHERE),
    "rewrite-uri": Allowed(),
    "set-backend-service": Allowed(frozenset({"inbound", "backend"})),
    "set-body": Allowed(frozenset({"inbound", "backend", "outbound"})),
    "set-header": Allowed(_ANYWHERE),
    "set-query-parameter": Allowed(frozenset({"inbound", "backend"})),
    "set-status": Allowed(_ANYWHERE),
    "set-variable": Allowed(_ANYWHERE),
    "trace": Allowed(_ANYWHERE),
    "validate-azure-ad-token": Allowed(key="entraTokens"),
}
