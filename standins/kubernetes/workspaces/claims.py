"""NodeClaims: the orders of nodes, and what the Azure gpu-provisioner or Karpenter says of them."""

from __future__ import annotations

import uuid

from standins.kubernetes.kaito import deleted_at, stamp
from standins.kubernetes.kinds import NODE, NODE_CLAIM, Object
from standins.kubernetes.naming import value_problem
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.workspaces.course import SILENCE, Course, node_name
from standins.kubernetes.workspaces.problems import selected

_STAGES = ("Launched", "Registered", "Initialized")
FINALIZER = "karpenter.sh/termination"


def labels(objects: Objects, workspace: Object) -> dict[str, str]:
    """Of a NodeClaim and its node: they say whose they are, otherwise with Karpenter than without."""
    metadata = workspace["metadata"]
    chosen = selected(workspace.get("resource", {}).get("labelSelector", {}))
    if objects.options["provisioner"] == "karpenter":
        whose = {
            "karpenter.kaito.sh/workspace-name": metadata["name"],
            "karpenter.kaito.sh/workspace-namespace": metadata["namespace"],
        }
        return {**chosen, **whose, "karpenter.sh/nodepool": f"{metadata['namespace']}-{metadata['name']}"}
    whose = {"kaito.sh/workspace": metadata["name"], "kaito.sh/workspacenamespace": metadata["namespace"]}
    return {**chosen, **whose, "karpenter.sh/nodepool": "kaito"}


def order(objects: Objects, workspace: Object, course: Course, now: float) -> list[Object]:
    """The NodeClaims that there shall be, made where they are missing, with what is known of them by now. A
    label that no object can have orders nothing.
    """
    marks = labels(objects, workspace)
    if any(value_problem(text) for text in marks.values()):
        return []
    found = []
    for name in course.claims:
        key = Key(NODE_CLAIM, "", name)
        there = objects.find(key) or _claim(name, workspace, course, marks)
        if "deletionTimestamp" in there["metadata"]:
            found.append(there)
            continue
        wanted = {**there, "status": _status(name, course, now)}
        found.append(there if wanted == objects.find(key) else objects.save(key, wanted))
    return found


def release(objects: Objects, workspace: Object, course: Course) -> None:
    """Ask for the deletion of a Workspace's NodeClaims and their nodes, which go some minutes later. With the
    add-on the node stays, and costs money, until somebody deletes its node pool.
    """
    when = deleted_at(workspace)
    if when is None:
        return
    keys = [Key(NODE_CLAIM, "", name) for name in course.claims]
    if course.release.name != "0.6":
        keys += [Key(NODE, "", node_name(name)) for name in course.claims]
    for key in keys:
        there = objects.find(key)
        if there is not None and "deletionTimestamp" not in there["metadata"]:
            about = {**there["metadata"], "deletionTimestamp": stamp(when), "finalizers": [FINALIZER]}
            objects.save(key, {**there, "metadata": about})


def collect(objects: Objects, now: float) -> None:
    """Let go of the NodeClaims and nodes whose time has come."""
    for kind in (NODE, NODE_CLAIM):
        for value in list(objects.all(kind, "")):
            deleted = deleted_at(value)
            if deleted is not None and now >= deleted + objects.options["nodes_deleted_after"]:
                objects.remove(Key(kind, "", value["metadata"]["name"]))


def _claim(name: str, workspace: Object, course: Course, marks: dict[str, str]) -> Object:
    size = workspace["resource"].get("instanceType", "")
    notes = workspace["metadata"].get("annotations") or {}
    preset = course.release.preset((workspace.get("inference", {}).get("preset") or {}).get("name", ""))
    requirements = {
        "karpenter.azure.com/sku-name": size,
        "karpenter.sh/nodepool": marks["karpenter.sh/nodepool"],
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": size,
    }
    annotations = {"karpenter.sh/do-not-disrupt": "true"}
    if course.release.is_newer:
        family = notes.get("kaito.sh/node-image-family", "ubuntu").strip().lower()
        annotations["kaito.sh/node-image-family"] = family
    metadata = {
        "name": name,
        "uid": str(uuid.uuid4()),
        "creationTimestamp": stamp(course.created),
        "generation": 1,
        "labels": marks,
        "annotations": annotations,
        "finalizers": [FINALIZER],
    }
    spec = {
        "nodeClassRef": {"kind": "KaitoNodeClass", "name": "default", "group": "kaito.sh"},
        "requirements": [
            {"key": key, "operator": "In", "values": [text]} for key, text in requirements.items()
        ],
        "resources": {"requests": {"storage": (preset.row.get("disk") if preset else None) or "1024Gi"}},
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
    }
    return {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": metadata, "spec": spec}


def _status(name: str, course: Course, now: float) -> Object:
    """Nothing at first; then what it waits for, or that it is ready."""
    condition = course.failure.claim_condition() if course.failure else None
    if condition is not None:
        return _not_ready(condition, course.created) if condition else {}
    if now >= course.nodes_at:
        conditions = [_row(stage, "True", stage, "", course.nodes_at) for stage in (*_STAGES, "Ready")]
        return {"conditions": conditions, "nodeName": node_name(name)}
    if now < course.created + SILENCE:
        return {}
    waiting = ["Launched", "Unknown", "AwaitingReconciliation", "object is awaiting reconciliation"]
    return _not_ready(waiting, course.created)


def _not_ready(condition: list[str], since: float) -> Object:
    """What comes before the stage is done, what comes after it waits."""
    stage, status, reason, message = condition
    before = _STAGES[: _STAGES.index(stage)]
    rows = [_row(each, "True", each, "", since) for each in before]
    rows.append(_row(stage, status, reason, message, since))
    return {"conditions": [*rows, _row("Ready", "False", "UnhealthyDependents", f"{stage}={status}", since)]}


def _row(type_: str, status: str, reason: str, message: str, since: float) -> Object:
    row = {"type": type_, "status": status, "reason": reason, "message": message}
    return {**row, "lastTransitionTime": stamp(since), "observedGeneration": 1}
