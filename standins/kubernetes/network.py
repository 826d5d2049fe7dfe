"""Network policies: whether a pod may be called
(https://kubernetes.io/docs/concepts/services-networking/network-policies/).
"""

from __future__ import annotations

from dataclasses import dataclass

from standins.kubernetes.kinds import NAMESPACE, NETWORK_POLICY, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.selectors import chosen


@dataclass(frozen=True)
class Peer:
    """A pod that calls: its namespace and its labels."""

    namespace: str
    labels: dict[str, str]


def is_let_in(objects: Objects, pod: Object, peer: Peer, port: int) -> bool:
    """Whether a call over TCP arrives. Without a policy that selects the pod, or without an engine that
    enforces policies, it does.
    """
    home = pod["metadata"]["namespace"]
    selecting = [
        policy["spec"]
        for policy in objects.all(NETWORK_POLICY, home)
        if "Ingress" in policy["spec"].get("policyTypes", ["Ingress"])
        and chosen(policy["spec"].get("podSelector", {}), pod)
    ]
    if not selecting or not objects.options["network_policies"]:
        return True
    rules = [rule for spec in selecting for rule in spec.get("ingress", [])]
    return any(_has_port(rule, port) and _has_peer(objects, rule, home, peer) for rule in rules)


def _has_port(rule: Object, port: int) -> bool:
    """A port that is named counts as none of ours: pods of models name none."""
    ports = rule.get("ports")
    return not ports or any(_covers(each, port) for each in ports if each.get("protocol", "TCP") == "TCP")


def _covers(wanted: Object, port: int) -> bool:
    first = wanted.get("port")
    if first is None:
        return True
    return isinstance(first, int) and first <= port <= wanted.get("endPort", first)


def _has_peer(objects: Objects, rule: Object, home: str, peer: Peer) -> bool:
    wanted = rule.get("from")
    return not wanted or any(_is_meant(objects, each, home, peer) for each in wanted)


def _is_meant(objects: Objects, wanted: Object, home: str, peer: Peer) -> bool:
    """A block of addresses means no pod: which addresses pods have is not known here."""
    if "ipBlock" in wanted:
        return False
    if "namespaceSelector" in wanted:
        there = objects.find(Key(NAMESPACE, "", peer.namespace))
        labels = {"kubernetes.io/metadata.name": peer.namespace}
        namespace = there or {"metadata": {"labels": labels}}
        if not chosen(wanted["namespaceSelector"], namespace):
            return False
    elif peer.namespace != home:
        return False
    return chosen(wanted.get("podSelector", {}), {"metadata": {"labels": peer.labels}})
