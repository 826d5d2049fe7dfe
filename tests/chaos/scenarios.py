"""The kinds of chaos. Each leaves trouble behind; `judgement.judge` ends it, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from kubernetes.client import CustomObjectsApi

from standins.faults import Fault, When
from standins.stack import wait_until
from tests.chaos.deaths import DEATHS, LOCKED, NOT_OURS, insist
from tests.chaos.platform import MINUTE, Platform
from tests.chaos.roads import call_models
from tests.cluster.control_plane import API_SERVER, ETCD
from tests.end_to_end.written import GPU

GATEWAY_NAME = "gateway-system/internal"
Scenario = Callable[[Platform], None]
#: Which calls meet the weather. GitHub's other kinds are what this test itself asks for.
SERVERS = {
    "resource-manager": ".*",
    "key-vault": ".*",
    "kubernetes": ".*",
    "github": "(GET|LIST|POST|PATCH) .*|webhook push",
    "identity": ".*",
    "service-bus": ".*",
}
_BEFORE_AND_AFTER: tuple[tuple[int, When], ...] = (
    (500, "before"),
    (503, "after"),
    (0, "before"),
    (0, "after"),
)
#: Seconds by which a host is late that is overtaken.
_HANGS = 3.0
#: Pushes in bad weather, with this many changes each; how likely each kind of fault is at each call.
PUSHES, CHANGES, RISK = 60, 3, 0.012


def host_dies_in_every_stage(place: Platform) -> None:
    place.stack.control.use_latency("azure")
    for stage, death in DEATHS.items():
        insist(stage, partial(death.strike, place))
        place.people.stir_and_push(2)
    place.settle()
    assert [letter.body for letter in place.road.dead_letters()].count(NOT_OURS) >= 1, (
        "what the broker put aside is no dead letter"
    )


def bus_dies_with_messages_under_way(place: Platform) -> None:
    for kind in (
        "PUT product",
        "complete provision-gateway",
        "send deliver-keys",
        "PUT secret",
        "schedule deliver-keys",
    ):
        insist(kind, partial(_bus_dies, place, kind))


def _bus_dies(place: Platform, kind: str) -> bool:
    """And all other stand-ins with it."""
    place.note_calls()
    place.stack.control.use_latency("azure")
    # so that some messages wait
    place.fault(Fault("key-vault", "GET secret versions", count=4, retry_after=30))
    for _ in range(3):
        place.people.join()
    place.people.stir_and_push(6)
    place.wait_for(kind)
    in_the_middle = place.kill_standins()
    place.people.stir_and_push(2)
    place.settle()
    return in_the_middle


def vault_throttles_for_a_minute(place: Platform) -> None:
    place.fault(Fault("key-vault", ".*", status=429, count=None, retry_after=20))
    for _ in range(3):
        place.people.join()
        place.people.stir_and_push(5)
        place.settle()
        place.advance(20)


def resource_manager_is_out_for_an_hour(place: Platform) -> None:
    place.fault(Fault("resource-manager", ".*", status=503, count=None, probability=0.6))
    place.fault(Fault("resource-manager", ".*", status=0, count=None))
    for step in range(12):
        place.people.stir_and_push(2)
        if step % 2:
            place.settle()
        place.advance(5 * MINUTE)
    place.settle()


def two_hosts_one_dies(place: Platform) -> None:
    second = place.stack.add_host()
    for first_dies in (False, True, False):
        place.note_calls()
        place.stack.control.use_latency("azure")
        place.people.stir_and_push(8)
        place.wait_for("PUT product policy")
        place.advance(LOCKED)  # every lock is lost: both hosts may hold the same team now
        place.people.stir_and_push(4)
        place.wait_for("PUT product policy", 3)
        if first_dies:
            place.kill_host()
            place.people.stir_and_push(2)  # GitHub reaches nobody
            place.stack.start_host()
        else:
            place.kill(second)
            place.people.stir_and_push(2)
            second = place.stack.add_host()
        place.settle()


def a_slow_host_is_overtaken(place: Platform) -> None:
    """While one grants what was asked for, it loses its lock, and another one grants what is asked for
    now.
    """
    place.stack.add_host()
    for team in sorted(place.people.present)[:4]:
        slow = _slow(place)
        place.note_calls()
        place.fault(Fault("resource-manager", "PUT role assignment", status=None, count=3, seconds=_HANGS))
        place.people.hand_over(team)
        place.people.push()
        place.wait_for("PUT secret")  # the secondary key is new
        place.advance(LOCKED)
        place.people.hand_over(team)
        place.people.push()
        wait_until("the slow one has ended", lambda: _slow(place) > slow)  # noqa: B023  # called at once
        place.settle()


def _slow(place: Platform) -> int:
    """Deliveries that have met the fault, and ended."""
    return sum(
        call.function == "deliver_keys" and call.seconds >= _HANGS for call in place.stack.invocations()
    )


def random_weather(place: Platform) -> None:
    _forecast(place, RISK)
    for number in range(PUSHES):
        place.people.stir_and_push(CHANGES)
        if number % 5 == 4:
            place.advance(place.people.source.uniform(1, 2 * MINUTE))
        if number % 20 == 19:
            place.settle()


def _forecast(place: Platform, risk: float) -> None:
    """Errors, throttling, connections that break before and after the effect, and slow answers,
    everywhere.
    """
    place.stack.control.seed(place.people.source.randrange(2**32))
    for server, kinds in SERVERS.items():
        # A batch of messages meets the risk of each of them.
        likely = risk / 4 if server == "service-bus" else risk
        for status, when in _BEFORE_AND_AFTER:
            place.fault(Fault(server, kinds, when, status, None, likely))
        place.fault(Fault(server, kinds, "before", 429, None, likely, retry_after=5))
        place.fault(Fault(server, kinds, "before", None, None, 2 * likely, seconds=0.3))


def webhooks_go_astray(place: Platform) -> None:
    control = place.stack.control
    control.seed(place.people.source.randrange(2**32))
    control.set_options("github", webhook_copies=2, webhook_hold=3)
    place.fault(Fault("github", "webhook event", count=None, probability=0.1))
    place.fault(Fault("github", "webhook push", status=502, count=None, probability=0.1))
    place.fault(Fault("github", "webhook push", when="after", status=0, count=None, probability=0.1))
    for number in range(30):
        control.set_options("github", webhook_delay=place.people.source.choice((0, 0, 90, 700)))
        place.people.stir_and_push(2)
        place.advance(60 if number % 3 == 2 else 1)
    place.calm()
    place.advance(15 * MINUTE)
    place.settle()
    place.redeliver()
    place.settle()


def gateway_goes(place: Platform) -> None:
    """The controller of the cluster's Gateway is away, then the Gateway is deleted and made again, while
    workspaces are made and models called.
    """
    for trouble in (_controller_away, _gateway_deleted):
        place.note_calls()
        place.stack.control.use_latency("azure")
        place.people.join(GPU)
        place.people.join(GPU)
        place.people.stir_and_push(2)
        place.wait_for("PATCH httproute")
        with trouble(place):
            place.people.join(GPU)
            place.people.stir_and_push(2)
            for _ in range(4):
                _call_models(place)
                place.settle()
                place.advance(3 * MINUTE)
        place.advance(MINUTE)
        place.settle()


def _call_models(place: Platform) -> None:
    answers = call_models(place)
    place.killed["calls of models that failed"] += answers.total() - answers[200]


@contextmanager
def _controller_away(place: Platform) -> Iterator[None]:
    place.stack.control.set_options("kubernetes", gateway_controller_away=True)
    place.killed["controllers away"] += 1
    yield
    place.stack.control.set_options("kubernetes", gateway_controller_away=False)


@contextmanager
def _gateway_deleted(place: Platform) -> Iterator[None]:
    gateways, (home, name) = CustomObjectsApi(place.road.cluster), GATEWAY_NAME.split("/")
    kind = "gateway.networking.k8s.io", "v1", home, "gateways"
    found: Any = gateways.get_namespaced_custom_object(*kind, name)
    gateways.delete_namespaced_custom_object(*kind, name)
    place.killed["gateways deleted"] += 1
    yield
    body = {"apiVersion": found["apiVersion"], "kind": found["kind"], "spec": found["spec"]}
    gateways.create_namespaced_custom_object(*kind, {**body, "metadata": {"name": name}})


def api_server_dies(place: Platform) -> None:
    """The real one, alone and with etcd."""
    for parts in ((API_SERVER,), (API_SERVER, ETCD), (API_SERVER,)):
        insist(" and ".join(parts), partial(_cluster_dies, place, parts))


def etcd_dies(place: Platform) -> None:
    """Then the API server answers nothing until it is back."""
    for _ in range(2):
        insist(ETCD, partial(_cluster_dies, place, (ETCD,)))


def _cluster_dies(place: Platform, parts: tuple[str, ...]) -> bool:
    """In the middle of what is made in it; while it is away people push, and what is due finds nobody."""
    known = place.road.namespaces()
    for _ in range(3):
        place.people.join(GPU)
    place.people.stir_and_push(2)
    wait_until("the cluster is written to", lambda: place.road.namespaces() - known)
    in_the_middle = place.kill_in_cluster(*parts)
    place.people.stir_and_push(3)
    if API_SERVER in parts:  # else each call hangs for half a minute
        place.settle()
        place.advance(MINUTE)
        place.settle()
    for part in reversed(parts):
        place.cluster.plane.start(part)
    place.settle()
    place.advance(MINUTE)
    place.settle()
    return in_the_middle


#: These need the real cluster, and are skipped where there is none.
ON_A_REAL_CLUSTER = frozenset({"api-server", "etcd"})
SCENARIOS: Mapping[str, Scenario] = {
    "host": host_dies_in_every_stage,
    "bus": bus_dies_with_messages_under_way,
    "vault": vault_throttles_for_a_minute,
    "outage": resource_manager_is_out_for_an_hour,
    "two-hosts": two_hosts_one_dies,
    "overtaken": a_slow_host_is_overtaken,
    "weather": random_weather,
    "webhooks": webhooks_go_astray,
    "gateway": gateway_goes,
    "api-server": api_server_dies,
    "etcd": etcd_dies,
}
