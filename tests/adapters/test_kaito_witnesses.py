"""What is read of nodes, NodeClaims, pods and ExternalSecrets, as Kubernetes writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.adapters.kaito_witnesses import claims_of, external_secret_of, node_of, pod_of
from shared.kaito.causes import judge
from shared.kaito.witnesses import Container
from shared.resources.actual import ExternalSecret, GpuNode

KAITO = {"kaito.sh/workspace": "w", "kaito.sh/workspacenamespace": "team-a"}
KARPENTER = {"karpenter.kaito.sh/workspace-name": "w", "karpenter.kaito.sh/workspace-namespace": "team-a"}
GOING = {"deletionTimestamp": "2026-03-02T09:00:00Z"}


def _item(labels: dict[str, str], status: Any = None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "n", "labels": labels, **metadata}, "status": status}


@pytest.mark.parametrize("labels", [KAITO, KARPENTER, KAITO | KARPENTER])
def test_a_node_and_a_node_claim_tell_for_what_they_were_made(labels: dict[str, str]) -> None:
    assert node_of(_item(labels)) == GpuNode("n", "team-a", "w")
    assert node_of(_item(labels, **GOING)).going
    rows = [{"type": "Launched", "status": "False", "reason": "LaunchFailed", "message": "quota"}]
    [claim] = claims_of(_item(labels, {"nodeName": "aks-1", "conditions": rows}, **GOING))
    assert (claim.namespace, claim.workspace, claim.node, claim.going) == ("team-a", "w", "aks-1", True)
    assert judge([], 1, None, [claim]).cause.reason == "GpuQuotaExceeded"


def test_a_node_claim_of_something_else_is_left_out() -> None:
    assert claims_of(_item({"team": "other"})) == ()
    assert claims_of({"metadata": {"name": "n"}}) == ()


def _pod(**status: Any) -> dict[str, Any]:
    return _item({"kaito.sh/workspace": "w"}, status)


def test_a_container_that_crashes_shows_its_last_end_and_no_text_of_its_own() -> None:
    ended = {"exitCode": 1, "reason": "Error", "message": "hf_secret_token"}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting"}
    looping = {"name": "w", "state": {"waiting": waiting}, "lastState": {"terminated": ended}}
    running = {
        "name": "w",
        "state": {"running": {"startedAt": "2026-03-02T09:00:00Z"}},
        "lastState": {"terminated": ended},
    }
    puller = {"name": "p", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    found = pod_of(_pod(phase="Running", initContainerStatuses=[puller], containerStatuses=[looping]))
    assert found.containers == (
        Container("p", True, end="Completed", exit_code=0),
        Container("w", waiting="CrashLoopBackOff", message=waiting["message"], end="Error", exit_code=1),
    )
    assert "hf_secret_token" not in str(found)
    [again] = pod_of(_pod(phase="Running", containerStatuses=[running])).containers
    assert (again.running, again.exit_code) == (datetime(2026, 3, 2, 9, tzinfo=UTC), 1)


def test_a_pod_is_ready_unscheduled_evicted_or_going() -> None:
    ready = [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]
    assert pod_of(_pod(phase="Running", conditions=ready)).ready
    refused = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    waits = pod_of(_pod(phase="Pending", conditions=[refused]))
    assert (waits.ready, waits.reason, waits.message) == (False, "Unschedulable", "0/3 nodes")
    evicted = pod_of(_pod(phase="Failed", reason="Evicted", message="low on memory"))
    assert (evicted.phase, evicted.reason, evicted.message) == ("Failed", "Evicted", "low on memory")
    assert pod_of({"metadata": {"name": "n", "labels": KAITO, **GOING}}).going


@pytest.mark.parametrize(
    ("spec", "conditions", "expected"),
    [
        ({}, None, ExternalSecret("es", "es", ready=False)),
        (
            {"target": {"name": "hf"}},
            [{"type": "Ready", "status": "True", "reason": "SecretSynced"}],
            ExternalSecret("es", "hf", ready=True, reason="SecretSynced"),
        ),
        (
            {"target": {"creationPolicy": "Owner"}},
            [{"type": "Ready", "status": "False", "reason": "SecretSyncedError"}],
            ExternalSecret("es", "es", ready=False, reason="SecretSyncedError"),
        ),
    ],
)
def test_an_external_secret_tells_its_target_and_whether_it_is_there(
    spec: dict[str, Any], conditions: Any, expected: ExternalSecret
) -> None:
    item = {"metadata": {"name": "es"}, "spec": spec, "status": {"conditions": conditions}}
    assert external_secret_of(item) == expected
