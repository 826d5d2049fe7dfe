"""Where a rule leads: a pod of the Service, if there is one and the network policies let the proxies in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from standins.ingress.habits import Habits
from standins.ingress.routing import Chosen
from standins.kubernetes.cluster import Cluster
from standins.kubernetes.gateways.references import Backend, backend_of, pods_of
from standins.kubernetes.kinds import SERVICE, Object
from standins.kubernetes.network import Peer, is_let_in
from standins.kubernetes.workspaces.served import served_name
from standins.kubernetes.workspaces.workload import is_ready
from standins.world import World

_NAME = "kaito.sh/workspace"

#: Why no pod is called: there is no backend, no pod, or nothing comes back from it.
Nowhere = Literal["no backend", "no pod", "blocked", "refused"]


@dataclass(frozen=True)
class Pod:
    """A pod to call: `host` is how the model servers know it, `served` what its command calls the model.
    `loads`: its server is not ready.
    """

    host: str
    served: str | None
    loads: bool


def find(world: World, cluster: Cluster, habits: Habits, peer: Peer, chosen: Chosen) -> Pod | Nowhere:
    backend = _backend(world, cluster, chosen)
    if backend is None or backend.problem or backend.service is None:
        return "no backend"
    pods = pods_of(cluster.objects, backend.service)
    running = [each for each in pods if each["status"].get("phase") == "Running"]
    callable_ones = [each for each in running if _is_called(habits, each, backend.service, len(running))]
    if not callable_ones:
        return "no pod"
    pod = callable_ones[0]
    port = _target_port(backend)
    if not is_let_in(cluster.objects, pod, peer, port):
        return "blocked"
    labels, home = pod["metadata"].get("labels", {}), pod["metadata"]["namespace"]
    host = f"{labels.get(_NAME, backend.service['metadata']['name'])}.{home}.svc"
    return Pod(host, served_name(cluster.objects, pod), not is_ready(pod))


def _backend(world: World, cluster: Cluster, chosen: Chosen) -> Backend | None:
    references: list[Any] = [each for each in chosen.rule.get("backendRefs", []) if each.get("weight", 1)]
    if not references:
        return None
    cluster.look(SERVICE, chosen.namespace)
    number = world.trouble.choose([each.get("weight", 1) for each in references]) if references[1:] else 0
    return backend_of(cluster.objects, references[number], chosen.namespace)


def _is_called(habits: Habits, pod: Object, service: Object, count: int) -> bool:
    is_published = bool(service["spec"].get("publishNotReadyAddresses"))
    return is_ready(pod) or is_published or (habits.panics and count == 1)


def _target_port(backend: Backend) -> int:
    assert backend.service is not None
    ports = [each for each in backend.service["spec"]["ports"] if each["port"] == backend.about["port"]]
    target = ports[0].get("targetPort", ports[0]["port"])
    return int(target) if str(target).isdigit() else int(ports[0]["port"])
