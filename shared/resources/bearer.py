"""The second API, for clients that send `Authorization: Bearer <key>`: its contract, and its plan.

API Management reads one header for a subscription's key, before any policy. So the same operations stand once
more, at another path, under the same policy, and are linked to the same products. Two ways lead there:

- `native`: the API's contract says `bearer: enabled`, as samples of the service do (api-version
  2025-03-01-preview); no published description has the field, so it counts when it is read back.
- `mirrored`: the API reads the header `Authorization`, and each subscription has a mirror whose keys are the
  first one's with `Bearer ` before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared import names
from shared.catalog.terms import BearerWay
from shared.errors import NotManaged
from shared.marker import Marker
from shared.names import BEARER_API, PROBE
from shared.policies.policy_xml import digest_of
from shared.resources.actual import Api, Policy, Subscription
from shared.resources.desired import DesiredCatalog, DesiredGateway
from shared.resources.plan import (
    Change,
    Create,
    Delete,
    Plan,
    Refused,
    Unread,
    Update,
    in_steps,
    known,
    refusal,
)
from shared.resources.product import ActualProduct, plan_product
from shared.resources.subscription import is_own
from shared.resources.unified_api import KEY_NAMES

#: The path of the API on the gateway. It ends as the unified API's does: AzureOpenAI clients append it, and
#: send a token in this header, too.
BEARER_PATH = "bearer/openai"
#: Where the two kinds of API expect keys: header, parameter of the query.
KEY_NAMES_OF: dict[BearerWay, tuple[str, str]] = {
    "native": KEY_NAMES,
    "mirrored": ("Authorization", "Authorization"),
}


def base_url(gateway_url: str) -> str:
    """The base URL of plain OpenAI clients."""
    return f"{gateway_url}/{BEARER_PATH}/v1"


@dataclass(frozen=True, slots=True)
class ActualBearer:
    """The second API as it exists. `takes_bearer`: its contract, read back, has the native way's field."""

    api: Api | None = None
    policy: Policy | None = None
    takes_bearer: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether products may be linked to it."""
        return self.api is not None and self.api.was_finished

    def takes_keys(self, way: BearerWay) -> bool:
        """Whether it refuses calls without a key, and expects keys where this way has them."""
        if self.api is None or not self.api.subscription_required:
            return False
        return self.api.key_names == KEY_NAMES_OF[way] and (way != "native" or self.takes_bearer)


@dataclass(frozen=True, slots=True)
class BearerKeys:
    """How the API is marked: with the marker, and for keys of this way."""

    marker: Marker
    way: BearerWay


def plan_bearer(desired: DesiredCatalog, marker: Marker, actual: ActualBearer) -> Plan:
    """The API with its policy; marked last, together with the way that keys go. `marker` is the catalogue's.

    An import writes the contract without the field of the native way, so the marking follows each import. An
    API that the catalogue does not want is deleted, with its links.
    """
    api = actual.api
    if (
        refused := ()
        if api is None
        else refusal("api", BEARER_API, f"API {BEARER_API!r}", marker, api.marker)
    ):
        return Plan(refused=refused if desired.bearer is not None else ())
    if desired.bearer is None:
        return Plan(in_steps([] if api is None else [Delete("api", BEARER_API, api.etag)]))
    sealed = replace(marker, digest=desired.bearer_digest)
    importing = _import(desired, sealed, api)
    is_marked = api is not None and api.is_current(sealed.digest, desired.api_digest)
    is_right = is_marked and actual.takes_keys(desired.bearer)
    marking = Update("api marker", BEARER_API, None, BearerKeys(sealed, desired.bearer))
    return Plan(in_steps(importing, _policy(desired, actual.policy), () if is_right else [marking]))


def _import(desired: DesiredCatalog, marker: Marker, api: Api | None) -> tuple[Change, ...]:
    if api is not None and api.operations == desired.api_digest:
        return ()
    kept = api.marker if api is not None and api.marker is not None else marker.unfinished()
    return (Update("api", BEARER_API, api.etag if api else None, (desired, kept)),)


def _policy(desired: DesiredCatalog, actual: Policy | None) -> tuple[Change, ...]:
    if actual is not None and actual.digest == digest_of(desired.policy):
        return ()
    return (Update("api policy", BEARER_API, actual.etag if actual else None, desired.policy),)


def plan_probe(
    desired: DesiredGateway | None, marker: Marker, actual: ActualProduct, *, mirrored: bool
) -> Plan:
    """The platform's own product and key, with which is seen whether bearer keys work; None takes them away.
    `marker` is the catalogue's.
    """
    if desired is None:
        return _without_probe(marker, actual)
    standing = None if actual.product is None else actual.product.marker
    # The catalogue may move: the product is not written for that.
    path = standing.path if standing is not None and standing.path else marker.path
    sealed = replace(marker, digest=desired.digest, path=path)
    plan = plan_product(desired, sealed, actual)
    found = known(actual.subscription, None)
    refused = (*plan.refused, *_refused_key(marker, found))
    if refused:
        return Plan(refused=refused)
    works = found is not None and (found.state, found.product) == ("active", PROBE)
    key = () if works else (Update("subscription", PROBE, found.etag if found else None),)
    mirror = mirror_changes(
        marker,
        names.mirror(PROBE),
        PROBE,
        known(actual.mirror, None),
        is_wanted=mirrored,
        is_equal=works,
    )
    return replace(plan, steps=in_steps(*plan.steps, key, mirror))


def _refused_key(owner: Marker, found: Subscription | None) -> tuple[Refused, ...]:
    if found is None or is_own(owner, found):
        return ()
    text = f"there is a subscription {found.name} that is not managed by mergekey: rename or remove it"
    return (Refused("subscription", found.name, NotManaged, text),)


def _without_probe(owner: Marker, actual: ActualProduct) -> Plan:
    product = actual.product
    own = (each for each in map(_known, actual.own) if each is not None and is_own(owner, each))
    gone = [Delete("subscription", each.name, each.etag) for each in own]
    if product is None or not owner.may_change(product.marker):
        return Plan(in_steps(gone))
    # Whoever was cut off while the product was made has left the administrator's.
    administrators = Delete("administrator subscription", PROBE, "")
    return Plan(in_steps(gone, [administrators], [Delete("product", PROBE, product.etag)]))


def _known(found: Subscription | Unread | None) -> Subscription | None:
    return known(found, None)


def mirror_changes(
    owner: Marker, name: str, product: str, found: Subscription | None, *, is_wanted: bool, is_equal: bool
) -> Sequence[Change]:
    """What a mirror of a subscription needs; `is_equal`: its keys are the subscription's. One that the
    catalogue does not want is deleted, where it is ours.
    """
    if found is None:
        return (Create("mirror", name),) if is_wanted else ()
    if not is_wanted:
        return (Delete("subscription", name, found.etag),) if is_own(owner, found) else ()
    if (found.state, found.product) == ("active", product) and is_equal:
        return ()
    return (Update("mirror", name, found.etag),)
