"""A Gateway controller as a process beside a real API server, with the administrator's rights there."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from shared.gateway_api.controllers import HABITS, Controller
from standins import ports
from standins.stack import wait_until
from tests.cluster.build import Absent
from tests.cluster.control_plane import ControlPlane
from tests.cluster.real import is_served
from tests.gateways.build import SOURCES, definitions, program
from tests.gateways.objects import apply, documented

#: Runs a command until it ends by itself, or our end of the shell's standard input is closed, however.
_UNTIL_INPUT_ENDS = 'exec 3<&0; "$@" & own=$!; { cat <&3 >/dev/null; kill -9 $own; } & wait $own'
_ENVOY_HOME, _ISTIO_HOME = "envoy-gateway-system", "istio-system"
_GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"


@contextmanager
def running(controller: Controller, plane: ControlPlane, folder: Path) -> Iterator[None]:
    """Until the end of the context; when it begins, the controller has accepted its class. Raises
    Absent.
    """
    found, kinds = program(controller), definitions(controller)
    plane.kubectl("apply", "--server-side", "--force-conflicts", *(f"--filename={kind}" for kind in kinds))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    lists = [f"{_GATEWAY_API}/{kind}" for kind in ("gatewayclasses", "gateways", "httproutes")]
    wait_until("the kinds are served", lambda: all(is_served(plane, path) for path in lists))
    for each in documented(controller):
        if each["kind"] == "GatewayClass":  # Istio makes its own
            apply(plane.administrator, each)
    folder.mkdir(parents=True)
    start = _istio if controller == "istio" else _envoy_gateway
    with (folder / "log").open("ab") as log, start(found, plane, folder, log.fileno()) as process:
        wait_until(
            f"{controller} has accepted its class",
            lambda: _has_accepted(controller, plane, process, folder / "log"),
        )
        yield


def _has_accepted(
    controller: Controller, plane: ControlPlane, process: subprocess.Popen[bytes], log: Path
) -> bool:
    """Raises RuntimeError with the end of the log when the process has ended."""
    if process.poll() is not None:
        raise RuntimeError(f"{controller} ended; its log says:\n{log.read_text()[-4000:]}")
    return any(
        (condition["type"], condition["status"]) == ("Accepted", "True")
        for each in plane.administrator.items(f"{_GATEWAY_API}/gatewayclasses")
        if each["spec"]["controllerName"] == HABITS[controller].name
        for condition in (each.get("status") or {}).get("conditions", ())
    )


@contextmanager
def _envoy_gateway(
    found: Path, plane: ControlPlane, folder: Path, log: int
) -> Iterator[subprocess.Popen[bytes]]:
    """It looks for its certificates in `/certs`, so a folder is its root. It listens on the ports 8081, 18000
    to 18002 of all interfaces; no setting changes them.
    """
    root = folder / "root"
    (root / "tmp").mkdir(parents=True)
    (root / "certs").mkdir()
    shutil.copy2(found, root / "program")
    shutil.copyfile(plane.kubeconfig(), root / "kubeconfig")
    (root / "settings.yaml").write_text(json.dumps(_ENVOY_SETTINGS))
    _make_namespace(plane, _ENVOY_HOME)
    environment = {
        "HOME": "/",
        "KUBECONFIG": "/kubeconfig",
        "ENVOY_GATEWAY_NAMESPACE": _ENVOY_HOME,
        "KUBERNETES_CLUSTER_DOMAIN": "cluster.local",
    }
    command = [*_rooted(root), "/program"]
    _certify([*command, "certgen", "--disable-topology-injector"], environment, plane, root / "certs")
    server = [*command, "server", "--config-path", "/settings.yaml"]
    with _process(server, environment, folder, log) as process:
        yield process


_ENVOY_SETTINGS = {
    "apiVersion": "gateway.envoyproxy.io/v1alpha1",
    "kind": "EnvoyGateway",
    "gateway": {"controllerName": HABITS["envoy-gateway"].name},
    "provider": {
        "type": "Kubernetes",
        "kubernetes": {
            "leaderElection": {"disable": True},
            "proxyTopologyInjector": {"disabled": True},
        },
    },
    "telemetry": {"metrics": {"prometheus": {"disable": True}}},
    "admin": {"address": {"host": "127.0.0.1", "port": 0}},
}


def _rooted(root: Path) -> list[str]:
    """What runs a command with this folder as its root. Raises Absent where that cannot be done."""
    name = "chroot" if sys.platform == "linux" and os.geteuid() == 0 else "unshare"
    tool = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if tool is None:
        raise Absent("Envoy Gateway needs Linux here, with `chroot` for root, or else with `unshare`")
    return [tool, str(root)] if name == "chroot" else [tool, "--map-root-user", f"--root={root}"]


def _certify(
    command: list[str], environment: Mapping[str, str], plane: ControlPlane, certificates: Path
) -> None:
    """Have the certificates of the controller made; it keeps them as a Secret."""
    answer = subprocess.run(command, env=dict(environment), check=False, capture_output=True, text=True)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)}: {answer.stdout}{answer.stderr}")
    secret = plane.administrator.ask("GET", f"/api/v1/namespaces/{_ENVOY_HOME}/secrets/envoy-gateway")
    for name, value in secret["data"].items():
        (certificates / name).write_bytes(base64.b64decode(value))


@contextmanager
def _istio(found: Path, plane: ControlPlane, folder: Path, log: int) -> Iterator[subprocess.Popen[bytes]]:
    """With the class, and without the kinds of its own, as AKS' application routing has it."""
    _make_namespace(plane, _ISTIO_HOME)
    _write_templates(folder)
    named = ("httpAddr", "httpsAddr", "grpcAddr", "secureGRPCAddr", "monitoringAddr")
    addresses = [f"--{name}=127.0.0.1:{_free_port()}" for name in named]
    command = [str(found), "discovery", f"--kubeconfig={plane.kubeconfig()}", *addresses]
    environment = {
        "HOME": str(folder),
        "POD_NAMESPACE": _ISTIO_HOME,
        "POD_NAME": "istiod-1",
        "CLUSTER_ID": "Kubernetes",
        "VALIDATION_WEBHOOK_CONFIG_NAME": "",
        "INJECTION_WEBHOOK_CONFIG_NAME": "",
        "PILOT_GATEWAY_API_DEFAULT_GATEWAYCLASS_NAME": HABITS["istio"].classes[0],
        "PILOT_ENABLE_ANALYSIS": "false",
    }
    with _process([*command, "--ctrlz_port=0", "--domain=cluster.local"], environment, folder, log) as made:
        yield made


def _write_templates(folder: Path) -> None:
    """What its chart puts into a ConfigMap: of which form the proxies are."""
    template, values = (SOURCES["istio"].file(path).read_text() for path in SOURCES["istio"].others)
    given = yaml.safe_load(values)["_internal_defaults_do_not_set"]
    used = {name: given.get(name) for name in ("global", "sidecarInjectorWebhook", "revision", "gateways")}
    where = folder / "var/lib/istio/inject"
    where.mkdir(parents=True)
    (where / "values").write_text(json.dumps({**used, "pilot": {"env": {}, "cni": given.get("cni")}}))
    (where / "config").write_text(json.dumps({"policy": "enabled", "templates": {"kube-gateway": template}}))


@contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], folder: Path, log: int
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        ["/bin/sh", "-c", _UNTIL_INPUT_ENDS, "sh", *command],
        stdin=subprocess.PIPE,  # never written to
        stdout=log,
        stderr=log,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()


def _make_namespace(plane: ControlPlane, name: str) -> None:
    apply(plane.administrator, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def _free_port() -> int:
    with ports.listen() as probe:
        return ports.number(probe)
