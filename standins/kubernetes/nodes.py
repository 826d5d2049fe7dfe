"""The machines: a system node that is always there, and the GPU nodes that KAITO orders from AKS.

Labels: https://learn.microsoft.com/azure/aks/use-labels and https://github.com/kaito-project/kaito
(api/v1beta1/labels.go). With the AKS add-on the node pool of a deleted workspace stays, and costs money,
until somebody deletes it: https://learn.microsoft.com/azure/aks/ai-toolchain-operator#clean-up-resources
"""

from __future__ import annotations

import uuid
from typing import Any

from standins.kubernetes.kaito import stamp
from standins.kubernetes.kinds import NODE, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.webhook import selected_labels
from standins.kubernetes.workspaces import claims
from standins.kubernetes.workspaces.course import Course

_SYSTEM_NODE = "aks-system-00000000-vmss000000"


def seed(objects: Objects, when: str) -> None:
    """The node that runs the cluster itself."""
    key = Key(NODE, "", _SYSTEM_NODE)
    objects.save(key, _node(_SYSTEM_NODE, "Standard_D4s_v5", {"kubernetes.azure.com/mode": "system"}, when))


def add(objects: Objects, name: str, workspace: Object, course: Course) -> Object:
    """The workspace's GPU node, which is made if it is not there yet. Its label says the size as Azure
    spells it.
    """
    key = Key(NODE, "", name)
    written = workspace["resource"].get("instanceType", "")
    known = course.release.size(written)
    wanted = objects.find(key) or _node(
        name,
        known.name if known else written,
        {**claims.labels(objects, workspace), "kubernetes.azure.com/mode": "user", "accelerator": "nvidia"},
        stamp(course.nodes_at),
    )
    gpus = str(known.gpus if known else 1) if course.has_gpu else "0"
    status = {**wanted["status"], **_health(wanted["status"], course, gpus)}
    if status == wanted["status"] and objects.find(key) is not None:
        return wanted
    return objects.save(key, {**wanted, "status": status})


def is_counted(node: Object, workspace: Object, course: Course) -> bool:
    """Whether KAITO counts a node: sizes are compared as written."""
    size = workspace["resource"].get("instanceType", "")
    return (
        not course.release.is_newer or node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == size
    )


def _health(status: Object, course: Course, gpus: str) -> Object:
    """What it has, and its conditions: ready, and short of something where that was ordered."""
    resources = {**status["capacity"], "nvidia.com/gpu": gpus}
    ready = next(row for row in status["conditions"] if row["type"] == "Ready")
    pressure = course.failure.state.get("node") if course.failure else None
    rows = [ready]
    if pressure in ("DiskPressure", "MemoryPressure"):
        reason = f"KubeletHas{pressure}"
        rows.append({**ready, "type": pressure, "reason": reason, "message": "kubelet has too little"})
    return {"capacity": resources, "allocatable": resources, "conditions": rows}


def remove(objects: Objects, name: str) -> None:
    objects.remove(Key(NODE, "", name))


def matching(objects: Objects, workspace: Object) -> str | None:
    """A GPU node that is there already and that the workspace's selector and instance type accept."""
    wanted = {
        **selected_labels(workspace),
        "node.kubernetes.io/instance-type": workspace["resource"]["instanceType"],
    }
    for node in objects.all(NODE, ""):
        if wanted.items() <= node["metadata"]["labels"].items():
            return str(node["metadata"]["name"])
    return None


def _node(name: str, instance_type: str, labels: dict[str, Any], when: str) -> Object:
    pool = name.split("-")[1]
    common = {
        "agentpool": pool,
        "kubernetes.azure.com/agentpool": pool,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": instance_type,
    }
    resources = {"cpu": "24", "memory": "226746144Ki", "pods": "110"}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
    }
    ready |= {"lastHeartbeatTime": when, "lastTransitionTime": when}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": when,
            "labels": {**common, **labels},
        },
        "spec": {"providerID": f"azure:///virtualMachineScaleSets/aks-{pool}/virtualMachines/0"},
        "status": {"capacity": resources, "allocatable": resources, "conditions": [ready]},
    }
