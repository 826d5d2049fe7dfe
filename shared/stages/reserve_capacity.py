"""Before a team gets more of what is counted over all teams: reserve it, check whether it fits, and give it
back if it does not.

The reservation is the product's own marker, without a digest, at the commit that asks for more
(`shared.catalog.reservation`). When the host dies in between, the reservation stays and counts; the next
attempt for the team goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared import names
from shared.app import App
from shared.branch.account import KnownObjects, RequestFiles, account_of, share_of
from shared.branch.decision import decide
from shared.branch.evaluation import files_of, request_files
from shared.catalog.capacity import Grants, Meter, metered
from shared.catalog.catalog import Catalog
from shared.catalog.reservation import Room, growth, room
from shared.git import Tree
from shared.marker import NOWHERE, Marker
from shared.messaging.messages import Sweep, TeamMessage
from shared.messaging.outcomes import Event
from shared.requests.request import AccessRequest
from shared.resources.actual import Product
from shared.resources.desired import DesiredGateway
from shared.resources.product import plan_reservation
from shared.stages.apply import GatewayWriter, apply_plan, remove_administrator
from shared.stages.outgoing import ask_for_sweep


@dataclass(frozen=True, slots=True)
class DesiredProduct:
    """The desired product of a team, with the request and the catalogue that it was compiled from."""

    request: AccessRequest
    catalog: Catalog
    desired: DesiredGateway
    marker: Marker
    tree: Tree


@dataclass(frozen=True, slots=True)
class Growth:
    """`meters`: what is counted over all teams and grows for this one; `product`: as it was found."""

    wanted: DesiredProduct
    product: Product | None
    meters: frozenset[Meter]


async def growth_of(app: App, wanted: DesiredProduct, product: Product | None) -> Growth | None:
    """Return None where nothing grows. Where nothing is counted, nothing is read."""
    tokens, marker = wanted.request.tokens, None if product is None else product.marker
    if not metered(wanted.catalog, tokens) or (
        marker is not None and marker.withdrawn is None and marker.digest == wanted.desired.digest
    ):
        return None
    meters = growth(
        wanted.catalog, tokens, {} if product is None else await _granted_before(app, wanted, product)
    )
    return Growth(wanted, product, meters) if meters else None


async def _granted_before(app: App, wanted: DesiredProduct, product: Product) -> Grants:
    """The grants in force. An unfinished reservation counts if the team's keys work; else the team was
    new, or came back.
    """
    marker, team = product.marker, wanted.request.team
    if marker is None or marker.withdrawn is not None:
        return {}
    if _is_reserved(marker) and not await _has_keys(app, team):
        return {}
    return (await share_of(app, await _files(app, wanted), product, team)).firm


async def reserve(
    app: App, event: Event[TeamMessage], growth: Growth, writer: GatewayWriter
) -> Product | None:
    """Return the product with its reservation, when all that the team needs fits; else None.

    A reservation that does not fit is given back, but it stays where other teams will give theirs back.
    """
    wanted, product = growth.wanted, growth.product
    await apply_plan(plan_reservation(wanted.desired, wanted.marker, product).writable(), writer)
    etag, fits = writer.etag_of(product), await _room(app, growth)
    if fits == "no":
        await app.gateway.mark_product(wanted.desired.product, etag, await _former_marker(app, event, growth))
        await _report_refusal(app, event)
    return _as_reserved(wanted, product, etag) if fits == "yes" else None


def _as_reserved(wanted: DesiredProduct, product: Product | None, etag: str) -> Product:
    """A product that existed keeps its former marker here: what that vouches for is there."""
    if product is None:
        return Product(
            wanted.desired.product,
            etag,
            wanted.desired.shown_as,
            published=False,
            marker=wanted.marker.unfinished(),
        )
    return replace(product, etag=etag, subscription_required=True)


async def _report_refusal(app: App, event: Event[TeamMessage]) -> None:
    """The check run of the request said that it is valid. Where the other reservations make it invalid, a
    sweep writes a new check run; else the stage comes back in a moment.
    """
    if (await decide(app, event.message, event.now)).kind != "active":
        message = Sweep(why=f"others have reserved what {event.message.team} asks for", verdict=True)
        await ask_for_sweep(app, event, message)


async def _room(app: App, growth: Growth) -> Room:
    """Whether the growth fits, by the account with the team's reservation in it."""
    wanted = growth.wanted
    files = await _files(app, wanted)
    account = await account_of(app, files, KnownObjects(await app.gateway.products()))
    return room(wanted.catalog, account, wanted.request.team, wanted.request.tokens, growth.meters)


async def _files(app: App, wanted: DesiredProduct) -> RequestFiles:
    files = await files_of(app, wanted.marker.commit, wanted.tree)
    return request_files(app, wanted.catalog, files)


def _is_reserved(marker: Marker) -> bool:
    return not marker.digest and marker.withdrawn is None and marker.commit != NOWHERE


async def _former_marker(app: App, event: Event[TeamMessage], growth: Growth) -> Marker:
    """The marker before the reservation. Where it is unknown: a marker without a commit if the team's keys
    work, because then the policy is in force; else a withdrawn one, and the product goes after grace.
    """
    marker = None if growth.product is None else growth.product.marker
    reserved = growth.wanted.marker.unfinished()
    if marker is not None and not _is_reserved(marker):
        return marker
    if await _has_keys(app, growth.wanted.request.team):
        return replace(reserved, commit=NOWHERE)
    # A withdrawn product is taken to have no administrator's subscription.
    await remove_administrator(app.gateway, growth.wanted.desired.product)
    return replace(reserved, withdrawn=event.now)


async def _has_keys(app: App, team: str) -> bool:
    subscription = await app.gateway.subscription(names.subscription(team))
    return subscription is not None and subscription.state == "active"
