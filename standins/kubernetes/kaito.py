"""KAITO: how far a Workspace has come by now, in two releases.

Its status is a function of its age, so that nothing is lost by a restart and nothing is missed when the clock
is moved. Types, reasons, messages and their order are those of https://github.com/kaito-project/kaito
(pkg/workspace/controllers/workspace_controller.go). 0.12 says of everything how far it is, and is Pending
until it is Ready. 0.6 (the AKS add-on) waits in its reconciler: it says nothing of the model until it serves,
and `workspaceFailed` as soon as a node takes more than four minutes, although it goes on waiting.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from standins.kubernetes import definitions
from standins.kubernetes.kinds import Object
from standins.world import Options

FINALIZER = "workspace.finalizer.kaito.sh"
#: The annotation that says which revision of the specification is in force.
REVISION = "workspace.kaito.io/revision"
_WRITTEN: dict[str, Any] = definitions.read("kaito.yaml")
_NO_BENCHMARK = "kaito.sh/disable-benchmark"
#: In 0.6: how long a reconciliation waits for a node, when a hopeless NodeClaim is given up, how long a model
#: may load.
_NODE_PATIENCE, _CLAIM_GIVEN_UP, _MODEL_PATIENCE = 240.0, 60.0, 1800.0


@dataclass(frozen=True)
class Course:
    """How one workspace's life goes: times in seconds since 1970, `failure` as the option `fail` names it."""

    created: float
    nodes_at: float
    ready_at: float
    node: str
    failure: Mapping[str, str] | None = None

    @property
    def reason(self) -> str:
        return self.failure["reason"] if self.failure else ""

    @property
    def has_node(self) -> bool:
        return self.reason not in ("NoQuota", "NodeNeverReady")

    def message(self, usual: str) -> str:
        return (self.failure or {}).get("message", usual)


@dataclass(frozen=True)
class _Condition:
    type: str
    reason: str
    message: str
    since: float
    status: str = "True"


def course(workspace: Object, options: Options, adopted: str | None) -> Course:
    """`adopted` is the node of an earlier workspace that this one found and uses."""
    metadata = workspace["metadata"]
    created = seconds(metadata["creationTimestamp"])
    nodes_at = created if adopted else created + options["nodes_ready_after"]
    ready_at = max(nodes_at, created + options["inference_ready_after"])
    node = adopted or f"aks-{pool_name(workspace)}-{_digits(metadata['uid'])}-vmss000000"
    wishes = options["fail"] if isinstance(options["fail"], list) else [options["fail"]]
    names = (f"{metadata['namespace']}/{metadata['name']}", "*")
    failure = next((wish for wish in wishes if wish and wish["workspace"] in names), None)
    return Course(created, nodes_at, ready_at, node, failure)


def status(workspace: Object, course: Course, now: float) -> Object:
    """What KAITO 0.12 would have written by `now`."""
    deleted = deleted_at(workspace)
    seen = now if deleted is None else min(now, deleted)
    state, verdict = _verdict(workspace, course, seen)
    shown: Object = {
        "conditions": _rows(workspace, [*_nodes(course, seen), *verdict]),
        "state": state,
        "targetNodeCount": 1,
        "workerNodes": worker_nodes(course, seen),
    }
    if any(condition.type == "BenchmarkCompleted" and condition.status == "True" for condition in verdict):
        shown["performance"] = _WRITTEN["performance"]
    return shown


def add_on_status(workspace: Object, course: Course, now: float) -> Object:
    """What KAITO 0.6 would have written by `now`."""
    deleted = deleted_at(workspace)
    seen = now if deleted is None else min(now, deleted)
    conditions: dict[str, _Condition] = {}
    for condition in _add_on_history(course):
        if condition.since <= seen:
            conditions[condition.type] = condition  # a condition keeps its place when it changes
    return {
        "conditions": _rows(workspace, list(conditions.values())),
        "workerNodes": worker_nodes(course, seen),
    }


def deleted_at(workspace: Object) -> float | None:
    deleted = workspace["metadata"].get("deletionTimestamp")
    return None if deleted is None else seconds(deleted)


def worker_nodes(course: Course, now: float) -> list[str]:
    return [course.node] if course.has_node and now >= course.nodes_at else []


def notes(workspace: Object) -> dict[str, str]:
    """What KAITO notes on a workspace: the revision of its specification."""
    text = json.dumps([workspace.get(part) for part in ("resource", "inference", "tuning")], sort_keys=True)
    return {"workspace.kaito.io/hash": hashlib.sha256(text.encode()).hexdigest(), REVISION: "1"}


def services(workspace: Object) -> list[Object]:
    """The Services that KAITO makes as soon as there are nodes: one of the workspace's name, one for its
    pods.
    """
    metadata = workspace["metadata"]
    about = {name: metadata[name] for name in ("name", "uid")}
    owner = {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", **about}
    owner |= {"controller": True, "blockOwnerDeletion": True}
    home = {"namespace": metadata["namespace"], "ownerReferences": [owner]}
    return [
        {
            "metadata": {"name": f"{metadata['name']}{ending}", **home},
            "spec": {**spec, "selector": {"kaito.sh/workspace": metadata["name"]}},
        }
        for ending, spec in _WRITTEN["services"].items()
    ]


def pool_name(workspace: Object) -> str:
    """The AKS node pool, and the NodeClaim, of a workspace: `ws` and nine hexadecimal digits."""
    return f"ws{hashlib.sha256(workspace['metadata']['uid'].encode()).hexdigest()[:9]}"


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def stamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# 0.12


def _nodes(course: Course, now: float) -> list[_Condition]:
    if now < course.nodes_at or course.reason == "NoQuota":
        return [_condition(name, course.created) for name in ("no-nodes", "no-claims", "no-resource")]
    if course.reason == "NodeNeverReady":
        plugins = [_condition(name, course.created) for name in ("no-plugins", "no-plugins-resource")]
        return [plugins[0], _condition("claims", course.nodes_at), plugins[1]]
    return [_condition(name, course.nodes_at) for name in ("nodes", "claims", "resource")]


def _verdict(workspace: Object, course: Course, now: float) -> tuple[str, list[_Condition]]:
    """The state and the last conditions: what there is to say of the model."""
    reason, when = course.reason, course.ready_at
    if now < when or not course.has_node or reason == "ImagePullError":
        return "Pending", [_condition(name, course.created) for name in ("no-inference", "pending")]
    metadata = workspace["metadata"]
    if reason == "BenchmarkFailed":
        pod = f"{metadata['namespace']}/{metadata['name']}-0"
        text = course.message(f"pod {pod}: no KAITO_BENCHMARK_RESULT line found in pod logs")
        told = [_condition(name, when, reason, text) for name in ("failed", "not-measured")]
        return "NotReady", [_condition("inference", when), *told]
    if reason:
        failed = _condition("failed", when, reason, course.message("made to fail on purpose"))
        return "Failed", [_condition("no-inference", when), failed]
    names = ("inference", "succeeded", *(["measured"] if _is_measured(workspace) else []))
    return "Ready", [_condition(name, when) for name in names]


def _is_measured(workspace: Object) -> bool:
    wishes = workspace["metadata"].get("annotations", {})
    return "preset" in workspace.get("inference", {}) and wishes.get(_NO_BENCHMARK) != "true"


# 0.6


def _add_on_history(course: Course) -> list[_Condition]:
    """Every condition that is ever set, in the order in which it is."""
    created, claim = course.created, course.node.split("-")[1]
    is_ordered = course.nodes_at > created
    rows = [_condition(name, created) for name in ("creating", "created") if is_ordered]
    if course.reason == "NoQuota":
        return [*rows, _failed(f'NodeClaim.karpenter.sh "{claim}" not found', created + _CLAIM_GIVEN_UP)]
    if not course.has_node or course.nodes_at - created > _NODE_PATIENCE:
        text = f"check nodeClaim status timed out. nodeClaim {claim} is not ready"
        rows.append(_failed(text, created + _NODE_PATIENCE))
    if not course.has_node:
        return rows
    rows += [_condition(name, course.nodes_at) for name in ("plugins", "resource")]
    return rows + _add_on_verdict(course)


def _add_on_verdict(course: Course) -> list[_Condition]:
    # There is no benchmark in this release, so none can fail.
    if course.reason in ("", "BenchmarkFailed"):
        return [_condition(name, course.ready_at) for name in ("inference", "succeeded")]
    when = course.nodes_at + _MODEL_PATIENCE if course.reason == "ImagePullError" else course.ready_at
    text = course.message("context deadline exceeded")
    return [_condition("inference-failed", when, message=text), _failed(text, when)]


def _failed(message: str, since: float) -> _Condition:
    return _condition("failed", since, "workspaceFailed", message)


# Both


def _condition(name: str, since: float, reason: str = "", message: str = "") -> _Condition:
    type_, *texts = _WRITTEN["conditions"][name]
    status = texts[2] if len(texts) > 2 else "True"
    return _Condition(type_, reason or texts[0], message or texts[1], since, status)


def _rows(workspace: Object, conditions: list[_Condition]) -> list[dict[str, Any]]:
    """The conditions as they are shown, and those that somebody else wrote."""
    generation, deleted = workspace["metadata"]["generation"], deleted_at(workspace)
    rows = [_row(condition, generation - (deleted is not None)) for condition in conditions]
    if deleted is not None:
        rows.append(_row(_condition("deleting", deleted), generation))
    own = {row["type"] for row in rows} | {type_ for type_, *_ in _WRITTEN["conditions"].values()}
    return rows + [row for row in workspace.get("status", {}).get("conditions", []) if row["type"] not in own]


def _row(condition: _Condition, generation: int) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": stamp(condition.since),
        "observedGeneration": generation,
    }


def _digits(uid: str) -> str:
    """Eight digits of a node's name."""
    return f"{int(hashlib.sha256(uid.encode()).hexdigest()[:12], 16) % 10**8:08d}"
