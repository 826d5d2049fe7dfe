"""The machines: a system node that is always there, and the GPU nodes that KAITO orders from AKS.

Labels: https://learn.microsoft.com/azure/aks/use-labels and https://github.com/kaito-project/kaito
(api/v1beta1/labels.go). With the AKS add-on the node pool of a deleted workspace stays, and costs money,
until somebody deletes it: https://learn.microsoft.com/azure/aks/ai-toolchain-operator#clean-up-resources
"""

from __future__ import annotations

import uuid
from typing import Any

from standins.kubernetes.kinds import NODE, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.webhook import selected_labels

_SYSTEM_NODE = "aks-system-00000000-vmss000000"


def seed(objects: Objects, stamp: str) -> None:
    """The node that runs the cluster itself."""
    key = Key(NODE, "", _SYSTEM_NODE)
    objects.save(key, _node(_SYSTEM_NODE, "Standard_D4s_v5", {"kubernetes.azure.com/mode": "system"}, stamp))


def add(objects: Objects, name: str, workspace: Object, stamp: str) -> None:
    """The workspace's GPU node, if it is not there yet."""
    metadata = workspace["metadata"]
    labels = {
        **selected_labels(workspace),
        "kaito.sh/workspace": metadata["name"],
        "kaito.sh/workspacenamespace": metadata["namespace"],
        "karpenter.sh/nodepool": "kaito",
        "kubernetes.azure.com/mode": "user",
        "accelerator": "nvidia",
    }
    key = Key(NODE, "", name)
    if objects.find(key) is None:
        objects.save(key, _node(name, workspace["resource"]["instanceType"], labels, stamp))


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


def _node(name: str, instance_type: str, labels: dict[str, Any], stamp: str) -> Object:
    pool = name.split("-")[1]
    common = {
        "agentpool": pool,
        "kubernetes.azure.com/agentpool": pool,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": instance_type,
    }
    resources = {"cpu": "24", "memory": "226746144Ki", "pods": "110"} | (
        {"nvidia.com/gpu": "1"} if "accelerator" in labels else {}
    )
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
    }
    ready |= {"lastHeartbeatTime": stamp, "lastTransitionTime": stamp}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": stamp,
            "labels": {**common, **labels},
        },
        "spec": {"providerID": f"azure:///virtualMachineScaleSets/aks-{pool}/virtualMachines/0"},
        "status": {"capacity": resources, "allocatable": resources, "conditions": [ready]},
    }
