"""Does the simulation have teeth? Each safeguard is taken away by substituting a function or a fake; then promises must break.

What is substituted stands here, so that nobody has to believe it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from unittest.mock import patch

from shared import absence, gateway, keys, pipeline, standing, withdrawal
from shared.app import App
from shared.apply import perform
from shared.domain import drift
from shared.domain.catalog import read_catalog
from shared.domain.guard import Absence, Gone
from shared.domain.marker import Marker
from shared.domain.plan import Change, Plan, Update
from shared.domain.request import read_request
from shared.domain.slots import Renewal
from shared.messages import CATALOG_TEAM, TeamMessage
from shared.outcome import Done, Event, Outcome
from shared.standing import Standing
from tests.fakes import bus as fake_bus
from tests.fakes import cluster as fake_cluster
from tests.fakes import gateway as fake_gateway
from tests.simulation.hosts import Hosts

Substitute = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Safeguard:
    """What protects, and what takes its place when it is taken away."""

    name: str
    substitutes: tuple[Substitute, ...]


@contextmanager
def without(safeguard: Safeguard) -> Iterator[None]:
    with ExitStack() as stack:
        for where, name, substitute in safeguard.substitutes:
            stack.enter_context(patch.object(where, name, substitute))
        yield


# ------------------------------------------------------------------------------------------------------- the head is not read again


async def _believe_the_message(app: App, message: TeamMessage, now: Any) -> Standing:
    if message.change == "withdrawn":
        return Standing("ended", message.commit, message.path)
    head = await app.repository.head()
    tree = {} if head is None else await standing.tree_of(app.repository, head)
    if message.team == CATALOG_TEAM:
        catalog = read_catalog(message.path, message.text.encode()).catalog
        return Standing("wanted" if catalog else "superseded", message.commit, message.path, (message.blob,), catalog=catalog)
    catalog = (await standing.catalog_of(app, tree)).catalog
    request = catalog and read_request(message.path, message.text.encode(), catalog, app.places.requests).request
    if not request:
        return Standing("superseded")
    return Standing("wanted", message.commit, message.path, (message.blob,), request, catalog)


# ------------------------------------------------------------------------------------------------------------- nobody looks again


Act = Callable[[App, Event[TeamMessage], Standing], Awaitable[Outcome]]


async def _follow_once(app: App, event: Event[TeamMessage], grant: Act, withdraw: Act, hold: Act = withdrawal.leave_held) -> Outcome:
    found = await standing.look(app, event.message, event.now)
    if found.verdict == "superseded":
        return Done()
    if found.verdict == "held":
        return await hold(app, event, found)
    return await (grant if found.verdict == "wanted" else withdraw)(app, event, found)


async def _do_not_look(app: App, event: Event[TeamMessage], found: Standing) -> None:
    """Nothing has moved, for all we know."""


# ---------------------------------------------------------------------------------------------------------------------- ownership


def _owns_everything(self: Marker, other: Marker | None) -> bool:
    return True


def _as_if_ours(app: App, team: str, marker: Marker | None, what: str) -> Marker:
    return marker or Marker(app.platform.repository, team, "", "0")


# --------------------------------------------------------------------------------------------------------------------- the others


def _let_everybody_go(present: Iterable[str], gone: Iterable[Gone], message: str) -> Absence:
    absent = tuple(sorted(gone))
    return Absence(absent, len({*present, *(each.team for each in absent)}))


async def _marker_first(
    plan: Plan, write: Callable[[Change], Awaitable[None]], after_first: Callable[[], Awaitable[None]] | None = None
) -> None:
    seals = tuple(change for change in plan if isinstance(change, Update) and change.kind == "product marker")
    rest = [tuple(change for change in step if change not in seals) for step in plan.steps]
    first, *others = [step for step in rest if step] or [()]
    await _perform(Plan((first, *([seals] if seals else []), *others)), write, after_first)


_perform = perform


def _is_withdrawn(self: Marker, today: date) -> bool:
    return self.withdrawn is not None


def _no_renewal(*_: object) -> Renewal:
    return Renewal()


def _always(*_: object) -> bool:
    return True


def _nothing(*_: object) -> None:
    """Checks nothing."""


async def _nothing_grows(*_: object) -> None:
    """Nothing is reserved."""


SAFEGUARDS = (
    Safeguard(
        "the head is read again, the message's text is not trusted",
        ((pipeline, "look", _believe_the_message), (standing, "look", _believe_the_message)),
    ),
    Safeguard("If-Match and resourceVersion", ((fake_gateway, "_match", _nothing), (fake_cluster, "_match", _nothing))),
    Safeguard(
        "the branch is looked at again before writing",
        ((gateway, "require_unmoved", _do_not_look), (withdrawal, "require_unmoved", _do_not_look)),
    ),
    Safeguard("the branch is looked at again after writing", ((pipeline, "_follow", _follow_once),)),
    Safeguard(
        "only what carries our marker is touched",
        (
            (Marker, "owns", _owns_everything), (keys, "_require_own_secrets", _nothing), (withdrawal, "_is_ours", _always),
            (withdrawal, "_require_ours", _as_if_ours),
        ),
    ),
    Safeguard("the guard", ((absence, "judge", _let_everybody_go),)),
    Safeguard("who is held stays held: the product says so", ((withdrawal, "hold", withdrawal.leave_held),)),
    Safeguard("access ends on the day that was granted: the product says so", ((Marker, "is_over", _is_withdrawn),)),
    Safeguard("keys that another group could read are made new", ((keys, "renewal", _no_renewal), (drift, "renewal", _no_renewal))),
    Safeguard("what follows is queued before the message is completed", ((Hosts, "complete_first", True),)),
    Safeguard("the marker is written last", ((gateway, "perform", _marker_first),)),
    Safeguard("capacity is reserved before it is granted", ((gateway, "growth_of", _nothing_grows),)),
    Safeguard("duplicate detection", ((fake_bus, "WINDOW", timedelta(0)),)),
)  # fmt: skip
