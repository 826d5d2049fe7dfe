"""Sweeps over the whole road: one after the other, however many are asked for."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

from azure.servicebus import ServiceBusMessage
from kubernetes import client as kubernetes

from shared.messaging.messages import Sweep
from shared.names import FRAGMENT
from standins.stack import Invocation, wait_until
from tests.end_to_end.road import Road
from tests.end_to_end.written import GPU, Request

MANY, SECONDS = 4, 0.4


def test_two_sweeps_never_overlap(road: Road) -> None:
    """Each takes a while here, and all are asked for at once, of a host that could work at sixteen."""
    road.stack.control.fault("github", "GET branch", status=None, seconds=SECONDS, count=None)
    asked = {f"overlap-{number}": Sweep(why=f"test {number}") for number in range(MANY)}
    messages = [
        ServiceBusMessage(
            sweep.encode(message_id, "/test", datetime.now(UTC)),
            message_id=message_id,
            session_id=sweep.session,
        )
        for message_id, sweep in asked.items()
    ]
    road.sender("sweeps").send_messages(messages)
    calls = wait_until("all are over", lambda: [] if len(found := _calls(road, set(asked))) < MANY else found)
    road.stack.control.forget_faults()
    assert min(call.seconds for call in calls) >= SECONDS, "they are too short for this test to mean anything"
    overlapping = [later for one, later in pairwise(calls) if later.at < one.at + one.seconds]
    assert overlapping == []


def test_one_deep_sweep_repairs_what_was_edited_and_the_next_writes_nothing(road: Road, team: str) -> None:
    road.clone.write(Request(team, gpu=GPU))
    road.push("Access with a GPU")
    road.advance(361)
    road.advance(361)
    before = (road.limits(team), road.fragment(FRAGMENT))
    network, core = kubernetes.NetworkingV1Api(road.cluster), kubernetes.CoreV1Api(road.cluster)
    network.delete_namespaced_network_policy("only-through-the-gateway", f"team-{team}")
    core.patch_namespaced_resource_quota(
        "workspaces", f"team-{team}", {"spec": {"hard": {"count/workspaces.kaito.sh": "9"}}}
    )
    road.put_fragment(
        FRAGMENT, '<fragment><set-variable name="requested-model" value="gpt-4.1" /></fragment>'
    )
    _sweep_deeply(road, "by-hand")
    (quota, policy), (quota_before, policy_before) = road.limits(team), before[0]
    assert (quota, road.fragment(FRAGMENT)) == (quota_before, before[1])
    # It comes back as one that lets in the Gateway's namespace too, until calls were seen to arrive.
    assert all(rule["_from"][-1] in policy["ingress"][-1]["_from"] for rule in policy_before["ingress"][1:])
    assert policy["policy_types"] == ["Ingress"]
    written = _writes(road)
    _sweep_deeply(road, "once-more")
    assert _writes(road) == written


def _sweep_deeply(road: Road, name: str) -> None:
    message = ServiceBusMessage(
        Sweep(why=name, deep=True).encode(name, "/test", datetime.now(UTC)),
        message_id=name,
        session_id=Sweep(why=name).session,
    )
    road.sender("sweeps").send_messages([message])
    wait_until("the sweep is over", lambda: _calls(road, {name}))
    road.settle()


def _writes(road: Road) -> Counter[str]:
    return (
        road.gateway_writes()
        + road.vault_writes()
        + road.count("kubernetes", "PATCH", "POST", "PUT", "DELETE")
    )


def _calls(road: Road, message_ids: set[str]) -> list[Invocation]:
    """In the order in which they began."""
    return sorted(
        (call for call in road.stack.invocations() if call.message_id in message_ids),
        key=lambda call: call.at,
    )
