"""Where a host can die: what sets a stage to work, and the call by which it is seen to be in the middle: no
other stage makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from azure.servicebus import ServiceBusMessage

from shared.branch.withdrawal_guard import SHARE
from standins.faults import Fault
from tests.chaos import strangers
from tests.chaos.platform import MINUTE, Platform
from tests.chaos.world import AT
from tests.end_to_end.written import GPU

#: A body that is nobody's, for the broker to put aside: it has no session.
NOT_OURS = b"not a message of ours, without a session"
#: A little longer than the broker keeps a lock, in seconds.
LOCKED = 6 * MINUTE
_TRIES = 5
#: After so many seconds the stage looks again.
_MADE = 11


@dataclass(frozen=True)
class Death:
    """`begin` sets the stage to work; the host dies as soon as a call of `kind` was answered, and while a
    call of `slow` hangs.

    `alone`: nothing else may be under way: other stages make that call too, or it is made only for what is
    in place. `locked`: the stage's messages
    have no session, so they stay locked for a while after who held them has died.
    """

    begin: Callable[[Platform], object]
    kind: str
    slow: Fault | None = None
    alone: bool = False
    locked: bool = False

    def strike(self, place: Platform) -> bool:
        """Kill the host in the middle, start it again, and let it end what it had begun. Whether there was
        anything left to end.
        """
        if self.alone:
            place.settle()
        place.note_calls()
        if self.slow is not None:
            place.fault(self.slow)
        self.begin(place)
        place.wait_for(self.kind)
        in_the_middle = place.kill_host() or place.unanswered()
        place.stack.control.forget_faults()
        if self.locked:
            place.advance(LOCKED)
        place.stack.start_host()
        place.redeliver()
        place.settle()
        return in_the_middle


def insist(what: str, strike: Callable[[], bool]) -> None:
    """Strike until it was in the middle of something. Raises AssertionError when it never was."""
    assert any(strike() for _ in range(_TRIES)), f"{what}: {_TRIES} times too late"


def _catalog(place: Platform) -> None:
    place.people.change_catalog()
    place.people.push()


def _limits(place: Platform) -> None:
    for _ in range(5):
        place.people.change()
    place.people.push()


def _joined(place: Platform) -> None:
    for _ in range(3):
        place.people.join(GPU)
    place.people.push()


def _left(place: Platform) -> None:
    """One goes that has all it asked for, and so many come that the guard lets it."""
    known = min(place.people.present)
    for _ in range(SHARE):
        place.people.join()
    place.people.leave(known)
    place.people.push()


def _playground(place: Platform) -> None:
    """A team with all its keys asks for one, so that what else is written is not in the way."""
    place.people.open_playground()
    place.people.push()


def _made_playground(place: Platform) -> None:
    """The same, and the stage looks again whether the project that it had made is ready to be filled."""
    _playground(place)
    place.wait_for("PUT foundry project")
    place.advance(_MADE)


def _closed_playground(place: Platform) -> None:
    _made_playground(place)
    place.wait_for("PUT role assignment")
    place.settle()
    place.people.close_playground()
    place.people.push()


def _drift(place: Platform) -> None:
    """Somebody closes a door by hand; the sweep opens it again."""
    team = sorted(place.people.present)[0]
    strangers.owner(place.road).product_api.delete(*AT, f"team-{team}", "ai")
    place.start_sweep()


def _no_session(place: Platform) -> None:
    place.road.sender("access-changes").send_messages(ServiceBusMessage(NOT_OURS, to="provision-gateway"))


#: While these hang, the host has looked and not yet queued what follows.
_QUEUEING = Fault("service-bus", "send access-changes", status=None, seconds=3)
_BURYING = Fault("service-bus", "send dead-letters", status=None, seconds=3)

#: While these hang, the host has looked at the playground and not yet written.
_MAKING, _CONNECTING = (
    Fault("resource-manager", f"PUT foundry {what}", status=None, seconds=3)
    for what in ("project", "connection")
)
_LETTING_IN, _SEALING = (
    Fault("resource-manager", what, status=None, seconds=3)
    for what in ("PUT role assignment", "PATCH foundry project")
)

DEATHS: Mapping[str, Death] = {
    "provision_catalog": Death(_catalog, "PUT policy fragment"),
    "provision_gateway, a product begun": Death(_joined, "PUT product"),
    "provision_gateway, limits changed": Death(_limits, "PUT product policy"),
    "provision_gateway, keys suspended": Death(_left, "PATCH subscription", alone=True),
    "provision_workspaces": Death(_joined, "PATCH resourcequota"),
    "provision_projects, before the project": Death(_playground, "LIST foundry projects", _MAKING),
    "provision_projects, the project made": Death(_playground, "PUT foundry project"),
    "provision_projects, before the connection": Death(
        _made_playground, "GET Application Insights component", _CONNECTING
    ),
    "provision_projects, the connection put": Death(
        _made_playground, "PUT foundry connection", _LETTING_IN, alone=True
    ),
    "provision_projects, a role assigned": Death(
        _made_playground, "PUT role assignment", _SEALING, alone=True
    ),
    "provision_projects, a role taken away": Death(_closed_playground, "DELETE role assignment", alone=True),
    "deliver_keys, keys issued": Death(_joined, "PUT subscription"),
    "deliver_keys, one stored": Death(_joined, "PUT secret"),
    "deliver_keys, one disabled": Death(_left, "PATCH secret", alone=True),
    "sweep": Death(_drift, "LIST secrets", _QUEUEING),
    "receive_push": Death(_limits, "GET tree", _QUEUEING),
    "collect_dead_letters": Death(
        _no_session, "receive provision-gateway dead letters", _BURYING, locked=True
    ),
}
