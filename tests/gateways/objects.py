"""What is in the cluster beside a controller: the Gateway of docs/gpus.md, workspaces as KAITO makes them,
and what kubelet and load balancer would write.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import trustme
import yaml

from shared.gateway_api.controllers import HABITS, Controller
from shared.resources.network_policy import PORT
from tests.cluster.caller import APPLY, MERGE, Caller

Manifest = dict[str, Any]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "gpus.md").read_text()
API = "gateway.networking.k8s.io/v1"
HOME, NAME, HOST = "gateway-system", "internal", "models.internal.contoso.com"
GATEWAY = f"{HOME}/{NAME}"
_CLUSTER_WIDE = {"Namespace", "GatewayClass"}
_PLURALS = {
    "GatewayClass": "gatewayclasses",
    "NetworkPolicy": "networkpolicies",
    "ClientTrafficPolicy": "clienttrafficpolicies",
}


def path_of(manifest: Manifest) -> str:
    """Where the API server has an object."""
    version, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    home = "" if kind in _CLUSTER_WIDE else f"/namespaces/{metadata['namespace']}"
    return f"{base}{home}/{_PLURALS.get(kind, f'{kind.lower()}s')}/{metadata['name']}"


def apply(at: Caller, manifest: Manifest, manager: str = "platform") -> None:
    at.ask("PATCH", f"{path_of(manifest)}?fieldManager={manager}&force=true", manifest, APPLY)


@cache
def documented(controller: Controller) -> list[Manifest]:
    """The manifests of the page's chapter about a controller."""
    [chapter] = re.findall(rf"^## ({_title(controller)}\n.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```yaml\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL)
    return [each for block in blocks for each in yaml.safe_load_all(block)]


def _title(controller: Controller) -> str:
    return "Application routing" if controller == "istio" else HABITS[controller].title


def gateway_of(controller: Controller) -> Manifest:
    """The one of the page."""
    [found] = [each for each in documented(controller) if each["kind"] == "Gateway"]
    return found


def certificates() -> Iterator[Manifest]:
    """The Secret and the ConfigMap that the page's Gateways name."""
    authority = trustme.CA()
    issued, trusted = authority.issue_cert(HOST), authority.cert_pem.bytes()
    content = {
        "tls.crt": issued.cert_chain_pems[0].bytes(),
        "tls.key": issued.private_key_pem.bytes(),
        "ca.crt": trusted,
    }
    yield {
        **_head("v1", "Secret", HOME, "models-internal"),
        "type": "kubernetes.io/tls",
        "data": {name: base64.b64encode(value).decode() for name, value in content.items()},
    }
    yield {**_head("v1", "ConfigMap", HOME, "gateway-callers"), "data": {"ca.crt": trusted.decode()}}


def service(home: str, name: str, port: int = 80) -> Manifest:
    """As KAITO makes it for a workspace."""
    ports = [{"name": "http", "protocol": "TCP", "port": port, "targetPort": PORT}]
    selector = {"kaito.sh/workspace": name, "statefulset.kubernetes.io/pod-name": f"{name}-0"}
    spec = {"ports": ports, "selector": selector, "publishNotReadyAddresses": True}
    return {**_head("v1", "Service", home, name), "spec": spec}


def endpoints(home: str, name: str, *others: Manifest) -> Manifest:
    """What Kubernetes notes of the one pod of a Service: of a workspace's, or of one with other ports."""
    head = _head("discovery.k8s.io/v1", "EndpointSlice", home, f"{name}-1")
    head["metadata"]["labels"] = {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    ports = [{"name": "http", "protocol": "TCP", "port": PORT}]
    pods = [{"addresses": ["10.1.0.7"], "conditions": {"ready": True, "serving": True}}]
    return {**head, "addressType": "IPv4", "ports": list(others) or ports, "endpoints": pods}


def play(at: Caller) -> None:
    """Pods for each Deployment, and an address for each Service that asks for a load balancer."""
    for item in at.items("/apis/apps/v1/deployments"):
        if not (item.get("status") or {}).get("availableReplicas"):
            counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), 1)
            seen = {"observedGeneration": item["metadata"]["generation"]}
            _set_status(at, {**item, "apiVersion": "apps/v1", "kind": "Deployment"}, counts | seen)
    for item in at.items("/api/v1/services"):
        if item["spec"]["type"] == "LoadBalancer" and not item["status"]["loadBalancer"]:
            given = {"loadBalancer": {"ingress": [{"ip": "10.20.0.1"}]}}
            of_pods = ({"name": each["name"], "port": each["port"]} for each in item["spec"]["ports"])
            apply(at, endpoints(item["metadata"]["namespace"], item["metadata"]["name"], *of_pods))
            _set_status(at, {**item, "apiVersion": "v1", "kind": "Service"}, given)


def _set_status(at: Caller, item: Manifest, status: Manifest) -> None:
    at.ask("PATCH", f"{path_of(item)}/status", {"status": status}, MERGE)


def _head(version: str, kind: str, home: str, name: str) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"namespace": home, "name": name}}
