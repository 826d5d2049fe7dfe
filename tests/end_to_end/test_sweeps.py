"""Sweeps over the whole road: one after the other, however many are asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from azure.servicebus import ServiceBusMessage

from shared.messages import Sweep
from standins.stack import Invocation, wait_until
from tests.end_to_end.road import Road

MANY, SECONDS = 4, 0.4


def test_two_sweeps_never_overlap(road: Road) -> None:
    """Each takes a while here, and all are asked for at once, of a host that could work at sixteen."""
    road.stack.control.fault("github", "GET branch", status=None, seconds=SECONDS, count=MANY)
    asked = {f"overlap-{number}": Sweep(why=f"test {number}") for number in range(MANY)}
    messages = [
        ServiceBusMessage(sweep.encode(message_id, "/test", datetime.now(UTC)), message_id=message_id, session_id=sweep.session)
        for message_id, sweep in asked.items()
    ]
    road.sender("sweeps").send_messages(messages)
    calls = wait_until("all are over", lambda: [] if len(found := _calls(road, set(asked))) < MANY else found)
    assert min(call.seconds for call in calls) >= SECONDS, "they are too short for this test to mean anything"
    overlapping = [later for one, later in pairwise(calls) if later.at < one.at + one.seconds]
    assert overlapping == []


def _calls(road: Road, message_ids: set[str]) -> list[Invocation]:
    """In the order in which they began."""
    return sorted((call for call in road.stack.invocations() if call.message_id in message_ids), key=lambda call: call.at)
