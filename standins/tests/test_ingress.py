"""The proxies of the cluster's Gateway: what they know, whom they let wait, and which pods they reach."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from standins.kubernetes.kinds import (
    CONFIG_MAP,
    GATEWAY,
    HTTP_ROUTE,
    NETWORK_POLICY,
    POD,
    SERVICE,
    WORKSPACE,
)
from standins.kubernetes.objects import Key
from standins.kubernetes.workspaces.inference_config import FILE
from standins.tests.reference.proxied import Proxied, proxied

MANAGED = {"app.kubernetes.io/managed-by": "mergekey"}
TEAM, MODELS = "team-alpha", "/team-alpha/phi-4/v1/models"
CONTROLLERS = ["istio", "envoy-gateway", "nginx"]
#: A second of a proxy's limits, in real time.
SCALE = 0.03


@pytest.fixture(params=CONTROLLERS)
async def front(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Proxied]:
    async with _front(tmp_path, request.param) as found:
        yield found


@asynccontextmanager
async def _front(folder: Path, controller: str) -> AsyncIterator[Proxied]:
    async with proxied(folder, controller, SCALE) as found:
        found.room.namespace(TEAM, MANAGED)
        found.room.service(TEAM)
        found.room.pod(TEAM)
        yield found


def _route(front: Proxied, name: str = "phi-4", to: str = "/v1/models", **changes: Any) -> None:
    rule = {
        "matches": [{"path": {"type": "Exact", "value": MODELS}}],
        "filters": [
            {
                "type": "URLRewrite",
                "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": to}},
            }
        ],
        "backendRefs": [{"name": "phi-4", "port": 80}],
        **changes.pop("rule", {}),
    }
    parents = [{"name": "internal", "namespace": "gateway-system"}]
    front.room.apply(HTTP_ROUTE, TEAM, name, {"spec": {"parentRefs": parents, "rules": [rule], **changes}})
    front.room.later()


def _paths(front: Proxied) -> list[str]:
    return [path for path, _ in front.pod.seen]


async def test_a_call_reaches_the_pod_by_its_route(front: Proxied) -> None:
    assert await front.status("GET", MODELS) == 404
    _route(front)
    assert await front.status("GET", f"{MODELS}?x=1") == 200
    assert await front.status("GET", "/team-alpha/phi-4/metrics") == 404
    [(path, headers)] = front.pod.seen
    assert (path, headers["host"]) == ("/v1/models?x=1", "phi-4.team-alpha.svc")
    assert headers["x-forwarded-host"] == "127.0.0.1"


async def test_a_route_that_names_the_host_hides_all_that_name_none(front: Proxied) -> None:
    _route(front)
    _route(front, "theirs", "/stolen", hostnames=["127.0.0.1"], rule={"matches": [{"path": {"value": "/x"}}]})
    assert await front.status("GET", MODELS) == 404
    assert await front.status("GET", MODELS, Host="models.contoso.com") == 200
    _route(front, hostnames=["127.0.0.1"])
    assert await front.status("GET", f"{MODELS}?own") == 200
    assert _paths(front)[-1] == "/v1/models?own"


async def test_the_older_of_two_routes_wins(front: Proxied) -> None:
    _route(front, "z-first")
    front.room.now += 5
    _route(front, "a-second", "/second")
    assert await front.status("GET", MODELS) == 200
    assert _paths(front) == ["/v1/models"]


async def test_nothing_listens_for_a_gateway_that_is_not_there(front: Proxied) -> None:
    _route(front)
    front.room.delete(GATEWAY, "gateway-system", "internal")
    front.room.later()
    assert await front.ask("GET", MODELS) is None


async def test_the_proxies_keep_what_they_have_while_the_controller_is_away(front: Proxied) -> None:
    _route(front)
    front.room.options(gateway_controller_away=True)
    _route(front, to="/other")
    assert await front.status("GET", MODELS) == 200
    front.room.options(gateway_controller_away=False)
    front.room.later()
    assert await front.status("GET", MODELS) == 200
    assert _paths(front) == ["/v1/models", "/other"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("no service", 500),
        ("no port", 500),
        ("no pod", 503),
        ("stopped pod", 503),
        ("no backend", 500),
    ],
)
async def test_a_route_that_leads_nowhere_has_a_status_for_it(
    front: Proxied, change: str, status: int
) -> None:
    objects = front.room.cluster.objects
    if change == "no service":
        objects.remove(Key(SERVICE, TEAM, "phi-4"))
    if change == "no port":
        front.room.service(TEAM, port=8080)
    if change == "no pod":
        objects.remove(Key(POD, TEAM, "phi-4-0"))
    if change == "stopped pod":
        pod = objects.find(Key(POD, TEAM, "phi-4-0")) or {}
        objects.save(Key(POD, TEAM, "phi-4-0"), {**pod, "status": {"phase": "Failed"}})
    _route(front, rule={"backendRefs": []} if change == "no backend" else {})
    assert await front.status("GET", MODELS) == status
    assert front.pod.seen == []


async def test_a_pod_that_loads_answers_or_refuses(front: Proxied) -> None:
    front.room.pod(TEAM, ready=False)
    _route(front)
    answer = await front.ask("GET", MODELS)
    assert answer is not None
    assert (answer.status, answer.body) == (404, b"")
    assert await front.status("POST", MODELS) == 501
    front.options(loading="refuses")
    assert await front.status("GET", MODELS) == (502 if front.room.controller == "nginx" else 503)
    assert front.pod.seen == []


async def _policy(front: Proxied, peers: list[Any], **rule: Any) -> None:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers, **rule}]}
    front.room.apply(NETWORK_POLICY, TEAM, "only-through-the-gateway", {"spec": spec})


def _in(namespace: str, **labels: str) -> dict[str, Any]:
    pods = {"podSelector": {"matchLabels": labels}} if labels else {}
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}, **pods}


async def test_the_gateways_namespace_lets_in_two_of_the_three(front: Proxied) -> None:
    _route(front)
    await _policy(front, [{"podSelector": {}}, _in("gateway-system")])
    expected = 503 if front.room.controller == "envoy-gateway" else 200
    assert await front.status("GET", MODELS) == expected
    front.room.options(network_policies=False)
    assert await front.status("GET", MODELS) == 200


async def test_a_policy_may_name_the_proxies_and_the_port(front: Proxied) -> None:
    owner = {"gateway.envoyproxy.io/owning-gateway-name": "internal"}
    name = {"gateway.networking.k8s.io/gateway-name": "internal"}
    is_envoy = front.room.controller == "envoy-gateway"
    peer = _in("envoy-gateway-system", **owner) if is_envoy else _in("gateway-system", **name)
    _route(front)
    await _policy(front, [peer], ports=[{"port": 5000, "protocol": "TCP"}])
    assert await front.status("GET", MODELS) == 200
    blocked = 504 if front.room.controller == "nginx" else 503
    await _policy(front, [peer], ports=[{"port": 80}])
    assert await front.status("GET", MODELS) == blocked
    other = dict.fromkeys(owner if is_envoy else name, "other")
    await _policy(front, [{**peer, "podSelector": {"matchLabels": other}}])
    assert await front.status("GET", MODELS) == blocked
    await _policy(front, [{"ipBlock": {"cidr": "10.0.0.0/8"}}])
    assert await front.status("GET", MODELS) == blocked


async def test_a_stream_of_20_s_is_cut_by_one_of_them(front: Proxied) -> None:
    _route(front)
    answer = await front.ask("GET", f"{MODELS}?chunks=20&gap=1")
    assert answer is not None
    assert (answer.status, answer.is_whole) == (200, front.room.controller != "envoy-gateway")
    _route(front, rule={"timeouts": {"request": "0s"}})
    answer = await front.ask("GET", f"{MODELS}?chunks=20&gap=1")
    assert answer is not None
    assert answer.is_whole


async def test_a_body_of_2_mib_is_refused_by_one_of_them(front: Proxied) -> None:
    _route(front)
    answer = await front.ask("POST", MODELS, body=b"x" * 2 * 2**20)
    assert answer is not None
    assert answer.status == (413 if front.room.controller == "nginx" else 200)


async def test_a_header_with_an_underscore_is_passed_refused_or_dropped(front: Proxied) -> None:
    _route(front)
    status = await front.status("GET", MODELS, api_key="x")
    assert status == (400 if front.room.controller == "envoy-gateway" else 200)
    assert ["api_key" in headers for _, headers in front.pod.seen] == {
        "istio": [True],
        "envoy-gateway": [],
        "nginx": [False],
    }[front.room.controller]


async def test_the_model_server_is_told_the_name_in_the_pods_command(tmp_path: Path) -> None:
    async with _front(tmp_path, "istio") as front:
        options = front.room.world.options_of("models", {"serves": {"api.openai.com/v1": ["gpt"]}})
        command = (
            "python3 /workspace/vllm/inference_api.py --served-model-name=phi-4-mini --max-model-len=8192"
        )
        pod = front.room.cluster.objects.find(Key(POD, TEAM, "phi-4-0")) or {}
        place = "phi-4.team-alpha.svc/v1"

        async def names(line: str, **spec: Any) -> Any:
            content = {"containers": [{"command": ["/bin/sh", "-c", line]}], **spec}
            front.room.cluster.objects.save(Key(POD, TEAM, "phi-4-0"), {**pod, "spec": content})
            assert await front.status("GET", MODELS) == 200
            return options["serves"].get(place)

        _route(front)
        assert await names(command) == ["phi-4-mini"]
        volumes = [{"name": "config-volume", "configMap": {"name": "written"}}]
        data = {FILE: "vllm:\n  served-model-name: written\n"}
        front.room.put(CONFIG_MAP, TEAM, "written", {"data": data})
        assert await names(command, volumes=volumes) == ["phi-4-mini"]
        config = f"{command} --kaito-config-file=/mnt/config/inference_config.yaml"
        assert await names(config, volumes=volumes) == ["written"]
        options.change({"serves": {place: ["by-hand"]}})
        assert await names(config, volumes=volumes) == ["by-hand"]


async def test_a_workspace_that_kaito_made_is_called_when_it_is_ready(tmp_path: Path) -> None:
    async with proxied(tmp_path, "istio", SCALE) as front:
        room = front.room
        room.namespace(TEAM, MANAGED)
        value = {
            "resource": {
                "instanceType": "Standard_NC24ads_A100_v4",
                "labelSelector": {"matchLabels": {"apps": "phi-4"}},
            },
            "inference": {"preset": {"name": "phi-4"}},
        }
        room.apply(WORKSPACE, TEAM, "phi-4", value)
        _route(front)
        assert await front.status("GET", MODELS) == 500
        room.later(200)
        assert await front.status("GET", MODELS) == 404
        room.later(400)
        assert await front.status("GET", MODELS) == 200
        assert _paths(front) == ["/v1/models"]
