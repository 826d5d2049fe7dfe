"""A real road on one machine: `python -m tests.gateways.serve ENVOY MODEL` runs an API server, Envoy Gateway,
the program ENVOY as its proxy, and the app's route of `tests.gateway.real_road` to the model server at MODEL
(`address:port`, not of loopback, which Kubernetes does not allow), until its standard input ends. The road is
at http://localhost:10080. Needs `MERGEKEY_GATEWAYS=envoy`, and what that builds.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from shared.adapters.kaito_routes import gateway_of, route_of
from shared.gateway_api.causes import judge_route
from standins import ports
from standins.stack import wait_until
from tests.cluster.build import definitions, program
from tests.cluster.control_plane import API_SERVER, CONTROLLERS, ETCD, ControlPlane, Issuer
from tests.cluster.real import define
from tests.gateway.real_road import NAME, TEAM, manifests
from tests.gateways import objects
from tests.gateways.objects import GATEWAY, Manifest
from tests.gateways.real import LONG_AGO
from tests.gateways.running import running

#: Envoy Gateway adds 10,000 to the port of a listener below 1,024.
URL = "http://localhost:10080"
_XDS = 18000
#: Callers come with the administrator's token only.
_NO_ISSUER = Issuer("https://issuer.invalid", "https://issuer.invalid/discovery", "")
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def main() -> int:
    envoy, model = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        where, started = Path(folder), time.monotonic()
        plane = ControlPlane(program(), where / "cluster", _NO_ISSUER)
        ends.callback(plane.stop)
        for part in (ETCD, API_SERVER):
            plane.start(part)
        define(plane, definitions())
        plane.start(CONTROLLERS)
        ends.enter_context(running("envoy-gateway", plane, where / "controller"))
        _tell("the controller has accepted its class", started)
        _furnish(plane, *model.rsplit(":", 1))
        _tell(f"route: {_verdict(plane)}", started)
        ends.callback(_end, _proxy(Path(envoy), plane, where))
        wait_until("the proxy answers", _answers)
        _tell(f"{URL} is the road", started)
        sys.stdin.read()
    return 0


def _tell(what: str, started: float) -> None:
    print(f"{time.monotonic() - started:6.1f} s  {what}", flush=True)


def _furnish(plane: ControlPlane, address: str, port: str) -> None:
    """The Gateway of docs/gpus.md with a listener for plain HTTP, the route, and the model's Service."""
    documented = objects.documented("envoy-gateway")
    gateway = objects.gateway_of("envoy-gateway")
    [listener] = gateway["spec"]["listeners"]
    plain = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": listener["allowedRoutes"]}
    changed = {**gateway, "spec": {**gateway["spec"], "listeners": [plain]}}
    others = [each for each in documented if each["kind"] in ("GatewayClass", "Namespace")]
    home, config, route = manifests(URL)
    slices = objects.endpoints(f"team-{TEAM}", NAME)
    slices["endpoints"][0]["addresses"], slices["ports"][0]["port"] = [address], int(port)
    for each in (*others, changed, home, config, objects.service(f"team-{TEAM}", NAME), slices, route):
        objects.apply(plane.administrator, each)
    wait_until("the Gateway has an address", lambda: _has_address(plane))


def _has_address(plane: ControlPlane) -> bool:
    objects.play(plane.administrator)
    found = plane.administrator.ask("GET", objects.path_of(objects.gateway_of("envoy-gateway")))
    return bool(gateway_of(found).addresses)


def _verdict(plane: ControlPlane) -> str:
    at, route = plane.administrator, manifests(URL)[2]
    gateway = gateway_of(at.ask("GET", objects.path_of(objects.gateway_of("envoy-gateway"))))

    def reason() -> str:
        found = route_of(at.ask("GET", objects.path_of(route)))
        return judge_route(found.parents, found.generation, GATEWAY, LONG_AGO, gateway).cause.reason

    with suppress(TimeoutError):
        wait_until("the route is ready", lambda: reason() == "Ready", 60)
    return reason()


def _proxy(envoy: Path, plane: ControlPlane, folder: Path) -> subprocess.Popen[bytes]:
    secret = plane.administrator.ask("GET", "/api/v1/namespaces/envoy-gateway-system/secrets/envoy")
    for name, value in secret["data"].items():
        (folder / name).write_bytes(base64.b64decode(value))
    with ports.listen() as probe:
        admin = ports.number(probe)
    (folder / "envoy.json").write_text(json.dumps(_bootstrap(folder, admin)))
    command = [str(envoy), "-c", str(folder / "envoy.json"), "--use-dynamic-base-id", "-l", "warning"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def _bootstrap(folder: Path, admin: int) -> Manifest:
    """What the controller writes into the proxies' Deployment, as far as this proxy needs it: where it is
    told everything else.
    """
    source: Manifest = {"ads": {}, "resource_api_version": "V3"}
    told_by = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds_cluster"}}],
    }
    return {
        "node": {"id": "proxy-1", "cluster": GATEWAY},
        "admin": {"address": _address(admin)},
        "dynamic_resources": {"ads_config": told_by, "lds_config": source, "cds_config": source},
        "static_resources": {"clusters": [_controller(folder)]},
    }


def _controller(folder: Path) -> Manifest:
    files = {name: {"filename": str(folder / name)} for name in ("tls.crt", "tls.key", "ca.crt")}
    names = {"san_type": "DNS", "matcher": {"exact": "envoy-gateway"}}
    context = {
        "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": files["tls.crt"], "private_key": files["tls.key"]}],
        "validation_context": {"trusted_ca": files["ca.crt"], "match_typed_subject_alt_names": [names]},
    }
    http2: Manifest = {"explicit_http_config": {"http2_protocol_options": {}}}
    ends = [{"lb_endpoints": [{"endpoint": {"address": _address(_XDS)}}]}]
    return {
        "name": "xds_cluster",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "xds_cluster", "endpoints": ends},
        "typed_extension_protocol_options": {
            _HTTP: {"@type": f"type.googleapis.com/{_HTTP}", **http2},
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": _TLS, "sni": "envoy-gateway", "common_tls_context": context},
        },
    }


def _address(port: int) -> Manifest:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _answers() -> Any:
    """Whether there is a listener; it may answer 404, or 503 while the model server is away."""
    try:
        with urllib.request.urlopen(f"{URL}/", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
