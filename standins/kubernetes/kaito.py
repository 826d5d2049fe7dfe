"""KAITO: how far a Workspace has come by now.

Its status is a function of its age, so that nothing is lost by a restart and nothing is missed when the clock is moved. Types, reasons,
messages and their order are those of https://github.com/kaito-project/kaito (pkg/workspace/controllers/workspace_controller.go): a
workspace is Pending until it is Ready, and NotReady only if it fails after that point or in its benchmark.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from standins.kubernetes.kinds import Object

FINALIZER = "workspace.finalizer.kaito.sh"
_NO_BENCHMARK = "kaito.sh/disable-benchmark"


@dataclass(frozen=True)
class Options:
    """How fast the cluster is, in seconds of the world's clock, and what shall go wrong: `{"workspace": "ns/name", "reason": ...}`."""

    nodes_ready_after: float = 360.0
    inference_ready_after: float = 720.0
    deleted_after: float = 60.0
    fail: dict[str, str] | None = None

    def failure(self, workspace: Object) -> dict[str, str] | None:
        metadata = workspace["metadata"]
        wanted = self.fail is not None and self.fail["workspace"] == f"{metadata['namespace']}/{metadata['name']}"
        return self.fail if wanted else None


@dataclass(frozen=True)
class _Condition:
    type: str
    reason: str
    message: str
    since: float
    is_true: bool = True


def status(workspace: Object, options: Options, now: float) -> Object:
    """The status that the controller would have written by `now`."""
    created = seconds(workspace["metadata"]["creationTimestamp"])
    nodes_at, done_at = created + options.nodes_ready_after, created + options.inference_ready_after
    conditions = _node_conditions(created, nodes_at, now)
    state = "Pending"
    if now >= max(nodes_at, done_at):
        state, verdict = _verdict(workspace, options, max(nodes_at, done_at))
        conditions += verdict
    else:
        conditions += _pending(created)
    if deleted := workspace["metadata"].get("deletionTimestamp"):
        conditions.append(_Condition("WorkspaceDeleting", "workspaceDeleted", "workspace is being deleted", seconds(deleted)))
    generation = workspace["metadata"]["generation"]
    return {
        "conditions": [_row(condition, generation) for condition in conditions],
        "state": state,
        "targetNodeCount": 1,
        "workerNodes": [_node(workspace)] if now >= nodes_at else [],
    }


def is_gone(workspace: Object, options: Options, now: float) -> bool:
    """Whether the nodes of a deleted workspace are released and its finalizer is removed."""
    deleted = workspace["metadata"].get("deletionTimestamp")
    return deleted is not None and now >= seconds(deleted) + options.deleted_after


def has_nodes(workspace: Object) -> bool:
    return bool(workspace.get("status", {}).get("workerNodes"))


def services(workspace: Object) -> list[Object]:
    """The Services that KAITO makes as soon as there are nodes: one of the workspace's name, one for its pods."""
    metadata = workspace["metadata"]
    owner = {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    selector = {"kaito.sh/workspace": metadata["name"]}
    ports = [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 5000}]
    specs = {
        metadata["name"]: {"type": "ClusterIP", "publishNotReadyAddresses": True, "selector": selector, "ports": ports},
        f"{metadata['name']}-headless": {"clusterIP": "None", "selector": selector},
    }
    return [
        {"metadata": {"name": name, "namespace": metadata["namespace"], "ownerReferences": [owner]}, "spec": spec}
        for name, spec in specs.items()
    ]


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def stamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _node_conditions(created: float, nodes_at: float, now: float) -> list[_Condition]:
    if now >= nodes_at:
        return [
            _Condition("NodesReady", "NodesReady", "Enough Nodes are ready", nodes_at),
            _Condition("NodeClaimReady", "NodeClaimsReady", "Enough NodeClaims are ready", nodes_at),
            _Condition("ResourceReady", "workspaceResourceStatusSuccess", "workspace resource is ready", nodes_at),
        ]
    claims = "Ready NodeClaims are not enough"
    return [
        _Condition("NodesReady", "NodeNotReady", "Not enough Nodes are ready", created, is_true=False),
        _Condition("NodeClaimReady", "NodeClaimNotReady", claims, created, is_true=False),
        _Condition("ResourceReady", "NodeClaimNotReady", claims, created, is_true=False),
    ]


def _pending(created: float) -> list[_Condition]:
    message = "workspace is waiting for inference workload readiness"
    return [
        _Condition("InferenceReady", "WorkspaceInferenceStatusPending", "Inference workload is not ready", created, is_true=False),
        _Condition("WorkspaceSucceeded", "workspacePending", message, created, is_true=False),
    ]


def _verdict(workspace: Object, options: Options, when: float) -> tuple[str, list[_Condition]]:
    """The state and the last conditions, once the model is loaded or has failed to."""
    success = _Condition("InferenceReady", "WorkspaceInferenceStatusSuccess", "Inference has been deployed successfully", when)
    failure = options.failure(workspace)
    if failure is None:
        benchmark = _Condition("BenchmarkCompleted", "BenchmarkCompleted", "benchmark result has been recorded", when)
        measured = [benchmark] if _is_measured(workspace) else []
        return "Ready", [success, *measured, _Condition("WorkspaceSucceeded", "workspaceSucceeded", "workspace succeeds", when)]
    reason, message = failure["reason"], failure.get("message", "made to fail on purpose")
    verdict = _Condition("WorkspaceSucceeded", reason, message, when, is_true=False)
    if reason == "BenchmarkFailed":
        return "NotReady", [success, _Condition("BenchmarkCompleted", reason, message, when, is_true=False), verdict]
    pending = _Condition("InferenceReady", "WorkspaceInferenceStatusPending", "Inference workload is not ready", when, is_true=False)
    return "Failed", [pending, verdict]


def _is_measured(workspace: Object) -> bool:
    annotations = workspace["metadata"].get("annotations", {})
    return "preset" in workspace.get("inference", {}) and annotations.get(_NO_BENCHMARK) != "true"


def _row(condition: _Condition, generation: int) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": "True" if condition.is_true else "False",
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": stamp(condition.since),
        "observedGeneration": generation,
    }


def _node(workspace: Object) -> str:
    return f"aks-ws{hashlib.sha256(workspace['metadata']['uid'].encode()).hexdigest()[:9]}-00000000-vmss000000"
