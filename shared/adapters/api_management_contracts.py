"""The doors of API Management, read and written: products and the unified API, and that nobody gets through
them without a key.

Lists show the same of them as single reads do.
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

#: What every write of a product says: calls need a key, and who may subscribe gets one at once.
REQUIRE_SUBSCRIPTION: dict[str, Any] = {"subscription_required": True, "approval_required": False}


def product_of(contract: Any, etag: str) -> Product:
    """Where nothing is said a subscription is required: so the service reads its own descriptions."""
    published, closed = text(contract.state) == "published", contract.subscription_required is not False
    return Product(
        text(contract.name),
        etag,
        contract.display_name or "",
        published,
        parse_marker(contract.description),
        closed,
    )


def api_of(contract: Any, etag: str) -> Api:
    operations, closed = contract.api_revision_description or "", contract.subscription_required is not False
    names = contract.subscription_key_parameter_names
    where = (names.header or "", names.query or "") if names else ("", "")
    return Api(etag, operations, parse_marker(contract.description), closed, where)


def fragment_of(contract: Any, _: str) -> Fragment:
    """Its description is for people, and has the number of the rules behind it."""
    said = _RULES.fullmatch(contract.description or "")
    return Fragment(canonical_digest(text(contract.value)), int(said["rules"]) if said else 0)


def require_keys() -> dict[str, Any]:
    """What every write of the API says."""
    from azure.mgmt.apimanagement.models import SubscriptionKeyParameterNamesContract

    header, query = KEY_NAMES
    names = SubscriptionKeyParameterNamesContract(header=header, query=query)
    return {"subscription_required": True, "subscription_key_parameter_names": names}
