"""Reads and writes the contracts of products and of the unified API, which require a subscription.

Lists show the same fields of them as single reads do.
"""

from __future__ import annotations

import re
from typing import Any

from shared.adapters.answers import text
from shared.marker import RULES, parse_marker
from shared.policies.policy_xml import canonical_digest
from shared.resources.actual import Api, Fragment, Product
from shared.resources.unified_api import KEY_NAMES

FRAGMENT_DESCRIPTION = f"managed by mergekey; rules {RULES}"
_RULES = re.compile(r"managed by mergekey; rules (?P<rules>[0-9]{1,9})")

#: The fields of every write of a product: calls need a key, and subscriptions need no approval.
REQUIRE_SUBSCRIPTION: dict[str, Any] = {"subscription_required": True, "approval_required": False}


def product_of(contract: Any, etag: str) -> Product:
    """A subscription is required by default, as the service itself reads its descriptions."""
    published, required = text(contract.state) == "published", contract.subscription_required is not False
    return Product(
        text(contract.name),
        etag,
        contract.display_name or "",
        published,
        parse_marker(contract.description),
        required,
    )


def api_of(contract: Any, etag: str) -> Api:
    operations, required = (
        contract.api_revision_description or "",
        contract.subscription_required is not False,
    )
    names = contract.subscription_key_parameter_names
    where = (names.header or "", names.query or "") if names else ("", "")
    return Api(etag, operations, parse_marker(contract.description), required, where)


def fragment_of(contract: Any, _: str) -> Fragment:
    """The description ends with the number of our rules."""
    said = _RULES.fullmatch(contract.description or "")
    return Fragment(canonical_digest(text(contract.value)), int(said["rules"]) if said else 0)


def require_keys(where: tuple[str, str] = KEY_NAMES) -> dict[str, Any]:
    """The fields of every write of an API that takes keys there: header, parameter of the query."""
    from azure.mgmt.apimanagement.models import SubscriptionKeyParameterNamesContract

    header, query = where
    names = SubscriptionKeyParameterNamesContract(header=header, query=query)
    return {"subscription_required": True, "subscription_key_parameter_names": names}
