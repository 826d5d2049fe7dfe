"""Before a team gets more of what is counted over all teams: reserve it, look whether it fits, give it back
if it does not.

The reservation is the product's own marker, without a digest, at the commit that asks for more
(`shared.catalog.reservation`). Whoever dies in between leaves it standing, and it counts; the next look at
the team goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared import names
from shared.app import App
from shared.branch.account import Files, Seen, account_of, share_of
from shared.branch.decision import decide
from shared.catalog.capacity import Grants, Meter, metered
from shared.catalog.catalog import Catalog
from shared.catalog.reservation import Room, growth, room
from shared.marker import NOWHERE, Marker
from shared.messaging.messages import Sweep, TeamMessage
from shared.messaging.outcomes import Event
from shared.requests.request import AccessRequest
from shared.resources.actual import Product
from shared.resources.desired import DesiredGateway
from shared.resources.plan import plan_reservation
from shared.stages.apply import GatewayWriter, apply_plan, remove_administrator
from shared.stages.outgoing import sweep


@dataclass(frozen=True, slots=True)
class DesiredProduct:
    """What shall be written for a team."""

    request: AccessRequest
    catalog: Catalog
    desired: DesiredGateway
    marker: Marker


@dataclass(frozen=True, slots=True)
class Growth:
    """What of that is counted over all teams and is more than the team has; `product` as it was found."""

    wanted: DesiredProduct
    product: Product | None
    meters: frozenset[Meter]


async def growth_of(app: App, wanted: DesiredProduct, product: Product | None) -> Growth | None:
    """None where nothing grows. Where nothing is counted, nothing is read."""
    tokens, marker = wanted.request.tokens, None if product is None else product.marker
    if not metered(wanted.catalog, tokens) or (
        marker is not None and marker.withdrawn is None and marker.digest == wanted.desired.digest
    ):
        return None
    meters = growth(wanted.catalog, tokens, {} if product is None else await _before(app, wanted, product))
    return Growth(wanted, product, meters) if meters else None


async def _before(app: App, wanted: DesiredProduct, product: Product) -> Grants:
    """What is in force of it. What was reserved and never finished is, if the team's keys work: else it was
    for somebody new, or back.
    """
    marker, team = product.marker, wanted.request.team
    if (
        marker is None
        or marker.withdrawn is not None
        or (_is_reserved(marker) and not await _has_keys(app, team))
    ):
        return {}
    return (await share_of(app, await _files(app, wanted), product, team)).firm


async def reserve(
    app: App, event: Event[TeamMessage], growth: Growth, writer: GatewayWriter
) -> Product | None:
    """The product as it is when all that the team needs is reserved and fits; None when it does not, or not
    yet.

    Where others are in the way who have to give way themselves, the reservation stays: else it is given back.
    """
    wanted, product = growth.wanted, growth.product
    await apply_plan(plan_reservation(wanted.desired, wanted.marker, product), writer)
    etag, verdict = writer.etag_of(product), await _look(app, growth)
    if verdict == "no":
        await app.gateway.mark_product(wanted.desired.product, etag, await _as_before(app, event, growth))
        await _tell(app, event)
    return _as_reserved(wanted, product, etag) if verdict == "yes" else None


def _as_reserved(wanted: DesiredProduct, product: Product | None, etag: str) -> Product:
    """With the marker that it had: what that vouched for is there."""
    if product is None:
        return Product(
            wanted.desired.product,
            etag,
            wanted.desired.shown_as,
            published=False,
            marker=wanted.marker.unfinished(),
        )
    return replace(product, etag=etag, subscription_required=True)


async def _tell(app: App, event: Event[TeamMessage]) -> None:
    """Its check said that all is well. Where that is not so any more a sweep says it anew; else the team
    comes back in a moment.
    """
    if (await decide(app, event.message, event.now)).verdict != "wanted":
        again = Sweep(why=f"others have reserved what {event.message.team} asks for", verdict=True)
        await app.bus.send([sweep(app, again, f"{event.root}/sweep/{int(event.now.timestamp())}", event.now)])


async def _look(app: App, growth: Growth) -> Room:
    """By the account as it is now, when what this team asks for stands in it."""
    wanted = growth.wanted
    files = await _files(app, wanted)
    account = await account_of(app, files, Seen(await app.gateway.products()))
    return room(wanted.catalog, account, wanted.request.team, wanted.request.tokens, growth.meters)


async def _files(app: App, wanted: DesiredProduct) -> Files:
    contents = await app.repository.archive(wanted.marker.commit)
    return Files.of(wanted.catalog, contents, app.places.requests)


def _is_reserved(marker: Marker) -> bool:
    return not marker.digest and marker.withdrawn is None and marker.commit != NOWHERE


async def _as_before(app: App, event: Event[TeamMessage], growth: Growth) -> Marker:
    """Where nobody knows what was before, what the policy grants is in force if keys work; else nothing is,
    and it goes after grace.
    """
    marker, reserved = (
        None if growth.product is None else growth.product.marker,
        growth.wanted.marker.unfinished(),
    )
    if marker is not None and not _is_reserved(marker):
        return marker
    if await _has_keys(app, growth.wanted.request.team):
        return replace(reserved, commit=NOWHERE)
    # Whoever finds it withdrawn takes the administrator's keys for removed.
    await remove_administrator(app.gateway, growth.wanted.desired.product)
    return replace(reserved, withdrawn=event.now)


async def _has_keys(app: App, team: str) -> bool:
    subscription = await app.gateway.subscription(names.subscription(team))
    return subscription is not None and subscription.state == "active"
