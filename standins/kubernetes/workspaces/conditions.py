"""The conditions of a Workspace in 0.11 and 0.12: made of its NodeClaims, nodes and pods each time KAITO
looks at them (pkg/workspace/controllers/workspace_controller.go, pkg/nodeprovision/gpu-provisioner).

0.12 says why a NodeClaim or a pod is not ready; 0.11 says only that it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from standins.kubernetes import definitions
from standins.kubernetes.kinds import Object
from standins.kubernetes.workspaces.pod_failures import pod_failure, shortened

WRITTEN: dict[str, Any] = definitions.read("kaito.yaml")
_STAGES = ("Launched", "Registered", "Initialized")
_AWAITING = "AwaitingReconciliation"
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
_MOST_OF_A_CLAIM = 256


@dataclass(frozen=True)
class Condition:
    type: str
    reason: str
    message: str
    status: str = "True"


@dataclass(frozen=True)
class Seen:
    """What there is of a Workspace. `error` is the reconciler's, `target` its count of nodes; `is_ready` is
    said of its workload, `was_ready` of an earlier look at it; `benchmark` is why there is no result, None
    where there is one or none is wanted.
    """

    size: str
    target: int
    tells_why: bool
    is_known_size: bool
    claims: list[Object] = field(default_factory=list)
    nodes: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    is_ready: bool = False
    was_ready: bool = False
    error: str = ""
    is_measured: bool = False
    benchmark: str | None = None


def written(name: str, reason: str = "", message: str = "", **values: object) -> Condition:
    """A condition by its name in `definitions/kaito.yaml`."""
    type_, *texts = WRITTEN["conditions"][name]
    status = texts[2] if len(texts) > 2 else "True"
    text = message or texts[1]
    for key, value in values.items():
        text = text.replace(f"<{key}>", str(value))
    return Condition(type_, reason or texts[0], text, status)


def judged(seen: Seen) -> tuple[list[Condition], str]:
    """The conditions and the state."""
    of_nodes = _of_nodes(seen)
    told, state = _of_model(seen, is_resource_ready=of_nodes[-1].status == "True")
    return [_with_error(each, seen.error) for each in (*of_nodes, *told)], state


def is_true(value: Object, name: str) -> bool:
    """Whether a condition of an object holds."""
    rows = (value.get("status") or {}).get("conditions") or []
    return any(row["type"] == name and row["status"] == "True" for row in rows)


def _with_error(condition: Condition, error: str) -> Condition:
    if not error or error in condition.message:
        return condition
    return replace(condition, message=f"{condition.message} (last reconcile error: {error})")


def _of_nodes(seen: Seen) -> list[Condition]:
    claims, nodes = _claims(seen), _nodes(seen)
    if claims.status != "True":
        resource = replace(claims, type="ResourceReady")
    elif nodes.status != "True":
        resource = replace(nodes, type="ResourceReady")
    else:
        resource = written("resource")
    return [nodes, claims, resource]


def _claims(seen: Seen) -> Condition:
    ready = sum(is_true(claim, "Ready") and not _is_going(claim) for claim in seen.claims)
    if ready >= seen.target:
        return written("claims")
    reason, message = _provisioning(seen.claims) if seen.tells_why else ("", "")
    return written("no-claims", reason, message)


def _provisioning(claims: list[Object]) -> tuple[str, str]:
    """Reason and message of the first stage that did not come to its end; an error goes before waiting."""
    found = [
        (row["reason"], shortened(row["message"], _MOST_OF_A_CLAIM))
        for stage in _STAGES
        for claim in claims
        if not _is_going(claim)
        for row in (claim.get("status") or {}).get("conditions") or []
        if row["type"] == stage and row["status"] != "True" and row.get("message")
    ]
    return next((each for each in found if each[0] != _AWAITING), found[0] if found else ("", ""))


def _nodes(seen: Seen) -> Condition:
    ready = [node for node in seen.nodes if is_true(node, "Ready") and not _is_going(node)]
    fitting = [node for node in ready if _size(node) == seen.size]
    found = written("no-nodes")
    if len(fitting) >= seen.target:
        found = written("nodes" if _has_plugins(seen, ready) else "no-plugins")
    pressure = "; ".join(_pressure(seen.nodes)) if seen.tells_why else ""
    warning = f"; warning: worker node(s) under resource pressure: {pressure}"
    return replace(found, message=found.message + warning) if pressure else found


def _has_plugins(seen: Seen, ready: list[Object]) -> bool:
    if not seen.is_known_size:
        return True
    with_gpu = [node for node in ready if node["status"]["capacity"].get("nvidia.com/gpu", "0") != "0"]
    return len(with_gpu) >= len(seen.claims)


def _pressure(nodes: list[Object]) -> Iterator[str]:
    for node in nodes:
        found = [name for name in _PRESSURES if is_true(node, name)]
        if found:
            yield f"{node['metadata']['name']} ({', '.join(found)})"


def _size(node: Object) -> str | None:
    size: str | None = node["metadata"]["labels"].get("node.kubernetes.io/instance-type")
    return size


def _is_going(value: Object) -> bool:
    return "deletionTimestamp" in value["metadata"]


def _of_model(seen: Seen, *, is_resource_ready: bool) -> tuple[list[Condition], str]:
    if seen.is_ready and is_resource_ready:
        inference = written("inference")
        if seen.benchmark is not None:
            reason = "BenchmarkFailed"
            failed = [written(name, reason, seen.benchmark) for name in ("failed", "not-measured")]
            return [inference, *failed], "NotReady"
        measured = [written("measured")] if seen.is_measured else []
        return [inference, written("succeeded"), *measured], "Ready"
    reason, message = pod_failure(seen.pods) if seen.tells_why and not seen.is_ready else ("", "")
    told = [written("no-inference", reason, message), written("pending")]
    return told, "NotReady" if seen.was_ready else "Pending"
