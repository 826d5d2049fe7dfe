"""One trace from a push to its keys, through every queue, whatever comes back later."""

from __future__ import annotations

import json
from typing import Any

from azure.servicebus import ServiceBusMessage

from standins.stack import Invocation, wait_until
from tests.end_to_end.road import Road
from tests.end_to_end.written import GPU, Request, new_team


def calls_for(road: Road, team: str) -> list[Invocation]:
    return [call for call in road.stack.invocations() if call.session_id == team]


def last_push(road: Road) -> str | None:
    """The trace of the newest call of the webhook."""
    return [call.trace for call in road.stack.invocations() if call.function == "receive_push"][-1]


def measured(road: Road) -> list[dict[str, Any]]:
    """The lines of numbers in the app's log, which all tests of this run share."""
    log = (road.stack.folder / "functions-host.log").read_text()
    mark = " mergekey Measured: "
    return [json.loads(line.partition(mark)[2]) for line in log.splitlines() if mark in line]


def test_a_push_tells_the_calls_that_it_took_and_how_long_messages_waited(road: Road, team: str) -> None:
    seen = len(measured(road))
    road.clone.write(Request(team))
    road.status(road.push("Access"), team, "keys", "success")
    road.settle()
    lines = measured(road)[seen:]
    assert {"receive-push", "provision-gateway", "deliver-keys"} <= {line["work"] for line in lines}
    assert all(line["waited"] >= 0 for line in lines if line["work"] != "receive-push")
    rows = [row for line in lines for row in line["calls"]]
    answered = {(row["to"], row["kind"]) for row in rows if row.get("ok")}
    assert answered >= {
        ("GitHub", "reads"),
        ("GitHub", "writes"),
        ("Azure Resource Manager", "reads"),
        ("Azure Resource Manager", "writes"),
        ("Key Vault", "reads"),
        ("Key Vault", "writes"),
    }
    assert any(0 < row.get("left", 0) < 5000 for row in rows if row["to"] == "GitHub")
    # no address, no name: words for systems, numbers, and nothing else
    assert {row["to"] for row in rows} <= {"GitHub", "Azure Resource Manager", "Key Vault", "Kubernetes"}
    assert {name for row in rows for name in row} <= {
        *("to", "kind", "left"),
        *("ok", "absent", "throttled", "refused", "failed"),
    }


def test_a_push_and_all_that_follows_from_it_is_one_trace(road: Road, team: str) -> None:
    road.clone.write(Request(team, gpu=GPU))
    push = road.push("Access with a GPU")
    trace = last_push(road)
    road.status(push, team, "keys", "success")
    for seconds in (11, 361, 361):
        road.advance(seconds)
    road.status(push, team, "workspaces", "success")
    followed = [call for call in calls_for(road, team) if call.trace == trace]
    assert {"provision_gateway", "provision_workspaces", "deliver_keys"} <= {
        call.function for call in followed
    }
    waited = [call for call in followed if call.function == "provision_workspaces"]
    assert len(waited) > 1, "it came back, and stayed in the trace"


def test_another_push_is_another_trace(road: Road, team: str) -> None:
    other, traces = new_team(), []
    for name in (team, other):
        road.clone.write(Request(name))
        road.status(road.push(f"{name} asks"), name, "keys", "success")
        traces.append(last_push(road))
    assert traces[0] != traces[1]
    first = {call.trace for call in calls_for(road, team) if call.function == "deliver_keys"}
    assert first == {traces[0]}


def test_what_is_no_trace_in_a_message_of_others_goes_no_further(road: Road, team: str) -> None:
    road.clone.write(Request(team))
    road.status(road.push("Access"), team, "keys", "success")
    seen = len(calls_for(road, team))
    junk = ServiceBusMessage(
        b"{}", session_id=team, to="provision-gateway", application_properties={"Diagnostic-Id": "00-junk\n"}
    )
    road.sender("access-changes").send_messages(junk)
    wait_until("the message is taken", lambda: len(calls_for(road, team)) > seen)
    road.settle()
    [letter] = road.dead_letters(team)
    assert "Diagnostic-Id" not in letter.about
