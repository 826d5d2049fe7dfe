"""KAITO's reconciler: what it would have made, changed and said of a Workspace by now.

All of it follows from the Workspace's age and from the objects that are there, so that nothing is lost by a
restart and nothing is missed when the clock is moved.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from standins.kubernetes import deletion, kaito, nodes, webhook
from standins.kubernetes.errors import Refused
from standins.kubernetes.kinds import NODE, POD, SERVICE, STORED, WORKSPACE, Object, defined
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.schema import pruned
from standins.kubernetes.workspaces import claims, early_conditions, estimate, tables, workload
from standins.kubernetes.workspaces.conditions import WRITTEN, Condition, Seen, judged, written
from standins.kubernetes.workspaces.course import Course, course
from standins.kubernetes.workspaces.tables import Release

_WORKLOADS = {"StatefulSet": STORED["statefulsets.apps"], "Deployment": STORED["deployments.apps"]}
_ESTABLISHED = ("Ready", "NotReady")


@dataclass
class _There:
    """What stands for a Workspace."""

    claims: list[Object] = field(default_factory=list)
    nodes: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    workload: Object | None = None

    def is_ready(self) -> bool:
        """Whether as many pods are ready as there shall be: none of a workload that was scaled to nothing."""
        if self.workload is None:
            return False
        return sum(map(workload.is_ready, self.pods)) >= int(self.workload["spec"].get("replicas", 1))


def reconcile(objects: Objects, workspace: Object, now: float) -> None:
    """Catch up with one Workspace. A tuning job is kept, and nothing comes of it."""
    metadata = workspace["metadata"]
    key = Key(WORKSPACE, metadata["namespace"], metadata["name"])
    release = tables.of(webhook.release_of(workspace, objects.options["kaito"]), objects.options)
    workspace, refused = _taken_over(objects, key, workspace, release)
    life = _course(objects, workspace, release, refused)
    if kaito.deleted_at(workspace) is not None:
        _go(objects, key, workspace, life, now)
    elif "inference" in workspace:
        there = _make(objects, workspace, life, now)
        _set_status(objects, key, _status(workspace, life, there, now))


def _taken_over(objects: Objects, key: Key, workspace: Object, release: Release) -> tuple[Object, str]:
    """With KAITO's finalizer and annotations, or without them and with the webhook's refusal of them; the
    add-on then takes a fitting node that is there already.
    """
    metadata = workspace["metadata"]
    before, finalizers = metadata.get("annotations") or {}, metadata.get("finalizers", [])
    notes = {**before, **kaito.notes(workspace)}
    if "deletionTimestamp" in metadata or (kaito.FINALIZER in finalizers and notes == before):
        return workspace, ""
    finalizers = [*(each for each in finalizers if each != kaito.FINALIZER), kaito.FINALIZER]
    taken = {**workspace, "metadata": {**metadata, "annotations": notes, "finalizers": finalizers}}
    try:
        webhook.review(objects, WORKSPACE, taken, workspace)
    except Refused as refusal:
        return workspace, refusal.message
    if release.name == "0.6" and "status" not in workspace and (found := nodes.matching(objects, workspace)):
        objects.kept[f"node of {metadata['uid']}"] = found
    return objects.save(key, taken), ""


def _course(objects: Objects, workspace: Object, release: Release, refused: str) -> Course:
    """Its nodes are counted once, when none were counted before."""
    count, error = int((workspace.get("status") or {}).get("targetNodeCount", 0)), refused
    try:
        count = count if count or refused else estimate.target(objects, release, workspace)
    except estimate.Uncounted as why:
        error = str(why)
    error = error or estimate.halted(release, workspace, count) or ""
    adopted = objects.kept.get(f"node of {workspace['metadata']['uid']}")
    return course(workspace, objects.options, release, (count, error), adopted)


# What is made


def _make(objects: Objects, workspace: Object, life: Course, now: float) -> _There:
    """NodeClaims at once, nodes when they come, and what runs on them."""
    there = _There(claims=claims.order(objects, workspace, life, now))
    if not life.has_machines(now) or (life.claims and not there.claims):
        _lose_nodes(objects, life)
        is_lost = life.had_machines(now)
        there.workload = (_make_workload if is_lost else _standing)(objects, workspace, life)
        return there
    there.nodes = [nodes.add(objects, name, workspace, life) for name in life.nodes]
    if life.has_gpu and all(nodes.is_counted(node, workspace, life) for node in there.nodes):
        _make_services(objects, workspace, life)
        there.workload = _make_workload(objects, workspace, life)
        there.pods = _make_pods(objects, life, there.workload, now)
        _tell_readiness(objects, there)
    return there


def _lose_nodes(objects: Objects, life: Course) -> None:
    for name in life.nodes if life.claims else ():
        objects.remove(Key(NODE, "", name))


def _workload_key(workspace: Object, life: Course) -> Key:
    metadata = workspace["metadata"]
    is_add_on = life.release.name == "0.6" and len(life.nodes) < 2
    return Key(
        _WORKLOADS["Deployment" if is_add_on else "StatefulSet"], metadata["namespace"], metadata["name"]
    )


def _standing(objects: Objects, workspace: Object, life: Course) -> Object | None:
    return objects.find(_workload_key(workspace, life))


def _make_services(objects: Objects, workspace: Object, life: Course) -> None:
    """A Service that is missing is made again; one that was edited stays as it is."""
    for service in workload.services(life, workspace):
        key = Key(SERVICE, service["metadata"]["namespace"], service["metadata"]["name"])
        if objects.find(key) is None:
            _save_new(objects, key, {**service, "status": {"loadBalancer": {}}}, life.nodes_at)


def _make_workload(objects: Objects, workspace: Object, life: Course) -> Object:
    """One that was scaled stays so."""
    key = _workload_key(workspace, life)
    wanted, standing = workload.new(life, workspace), objects.find(key)
    if standing is None:
        return _save_new(objects, key, wanted, life.nodes_at)
    changed = workload.updated(standing, wanted)
    return standing if changed == standing else objects.save(key, changed)


def _make_pods(objects: Objects, life: Course, owner: Object, now: float) -> list[Object]:
    wanted = {each["metadata"]["name"]: each for each in workload.pods(life, owner, now)}
    namespace = owner["metadata"]["namespace"]
    found = [_make_pod(objects, Key(POD, namespace, name), pod, life) for name, pod in wanted.items()]
    for each in list(objects.all(POD, namespace)):
        is_mine = any(row["uid"] == owner["metadata"]["uid"] for row in each["metadata"]["ownerReferences"])
        if is_mine and each["metadata"]["name"] not in wanted:
            objects.remove(Key(POD, namespace, each["metadata"]["name"]))
    return found


def _make_pod(objects: Objects, key: Key, pod: Object, life: Course) -> Object:
    there = objects.find(key)
    if there is None:
        return _save_new(objects, key, pod, life.nodes_at)
    changed = {**there, "spec": pod["spec"], "status": pod["status"]}
    return there if changed == there else objects.save(key, changed)


def _tell_readiness(objects: Objects, there: _There) -> None:
    if there.workload is None:
        return
    count, ready = len(there.pods), sum(map(workload.is_ready, there.pods))
    status = {"replicas": count, "readyReplicas": ready, "availableReplicas": ready}
    if there.workload.get("status") != status:
        metadata = there.workload["metadata"]
        key = Key(_WORKLOADS[there.workload["kind"]], metadata["namespace"], metadata["name"])
        there.workload = objects.save(key, {**there.workload, "status": status})


def _save_new(objects: Objects, key: Key, value: Object, when: float) -> Object:
    about = {"uid": str(uuid.uuid4()), "creationTimestamp": kaito.stamp(when), **value["metadata"]}
    head = {"apiVersion": key.kind.api_version, "kind": key.kind.name}
    return objects.save(key, {**head, **value, "metadata": about})


# How it goes


def _go(objects: Objects, key: Key, workspace: Object, life: Course, now: float) -> None:
    """KAITO asks for the deletion of the NodeClaims, and lets go of the Workspace before they are gone."""
    deleted = kaito.deleted_at(workspace) or now
    claims.release(objects, workspace, life)
    if now < deleted + objects.options["deleted_after"]:
        status = workspace.get("status") or {}
        rows = [row for row in status.get("conditions", []) if row["type"] != "WorkspaceDeleting"]
        rows.append(_row(written("deleting"), deleted, workspace["metadata"]["generation"]))
        _set_status(objects, key, {**status, "conditions": rows})
        return
    objects.kept.pop(f"node of {workspace['metadata']['uid']}", None)
    deletion.release(objects, key, kaito.FINALIZER)


# What is said


def _status(workspace: Object, life: Course, there: _There, now: float) -> Object:
    shown: Object = {"workerNodes": sorted(node["metadata"]["name"] for node in there.nodes)}
    shown |= {"targetNodeCount": life.count} if life.count else {}
    if not life.release.is_newer:
        events = early_conditions.so_far(life, now)
        return {"conditions": _rows(workspace, [(since, each) for since, each in events]), **shown}
    seen = _seen(workspace, life, there, now)
    conditions, state = judged(seen)
    if life.failure is not None and not life.failure.is_known and now >= life.ready_at and seen.is_ready:
        failed = written("failed", life.reason, life.message("made to fail on purpose"))
        conditions, state = [*conditions[:3], written("no-inference"), failed], "Failed"
    shown |= {
        "state": state,
        "conditions": _rows(workspace, [(_since(each, life, now), each) for each in conditions]),
    }
    if any(each.type == "BenchmarkCompleted" and each.status == "True" for each in conditions):
        shown["performance"] = WRITTEN["performance"]
    return shown


def _seen(workspace: Object, life: Course, there: _There, now: float) -> Seen:
    metadata = workspace["metadata"]
    size = workspace["resource"].get("instanceType", "")
    measured = workload.is_measured(workspace)
    is_late = life.failure is not None and life.failure.is_late and now >= life.ready_at
    pod = (
        f"pod {metadata['namespace']}/{metadata['name']}-0: no KAITO_BENCHMARK_RESULT line found in pod logs"
    )
    return Seen(
        size=size,
        target=0 if life.error and not life.count else life.count,
        tells_why=life.release.name == "0.12",
        is_known_size=life.release.size(size) is not None,
        claims=there.claims,
        nodes=there.nodes,
        pods=there.pods,
        is_ready=there.is_ready(),
        was_ready=is_late or (workspace.get("status") or {}).get("state") in _ESTABLISHED,
        error=life.error,
        is_measured=measured,
        benchmark=life.message(pod) if measured and life.reason == "BenchmarkFailed" else None,
    )


def _since(condition: Condition, life: Course, now: float) -> float:
    """When a condition became as it is, as far as the course of things tells that."""
    if condition.type in ("NodesReady", "NodeClaimReady", "ResourceReady"):
        return life.nodes_at if condition.status == "True" and now >= life.nodes_at else life.created
    return (
        life.ready_at
        if now >= life.ready_at and (condition.status == "True" or "Benchmark" in condition.reason)
        else life.created
    )


def _rows(workspace: Object, conditions: list[tuple[float, Condition]]) -> list[dict[str, Any]]:
    """The conditions as they are shown, and those that others wrote."""
    generation = workspace["metadata"]["generation"]
    rows = [_row(condition, since, generation) for since, condition in conditions]
    own = {row["type"] for row in rows} | {type_ for type_, *_ in WRITTEN["conditions"].values()}
    before = (workspace.get("status") or {}).get("conditions", [])
    return rows + [row for row in before if row["type"] not in own]


def _row(condition: Condition, since: float, generation: int) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": kaito.stamp(since),
        "observedGeneration": generation,
    }


def _set_status(objects: Objects, key: Key, status: Object) -> None:
    """What the release does not declare is dropped."""
    value = objects.find(key)
    schema = defined(WORKSPACE, objects.options["kaito"])[1]
    shown = pruned(schema, {"status": status})["status"]
    if value is not None and value.get("status") != shown:
        objects.save(key, {**value, "status": shown})
