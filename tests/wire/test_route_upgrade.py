"""Standing routes are brought to today's form while calls run: a cluster, the proxies of its Gateway and
model servers over real connections, stages and sweeps as they are.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from azure.core.credentials import AccessToken
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.kaito import AKS_SCOPE, KaitoCluster
from shared.adapters.roads import WorkspaceRoads
from shared.messaging.routes import PROVISION_CATALOG
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import Route
from shared.resources.desired import compile_workspaces
from shared.resources.route_upgrade import ANNOTATION
from shared.resources.routes import form_of
from shared.resources.workspaces import ROUTE_VERSION
from standins.control import Control
from standins.stack import CLUSTER_ID
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import ROOT, StandIns
from standins.tests.trust import give_certificates
from tests.cluster.real import ADMINISTRATOR
from tests.fakes.app import GPU, Asked, FakeApp, a_catalog, catalog_text, path_of
from tests.fakes.clock import FakeClock
from tests.stages.road import later, push, run, sweep

#: One goes first, ten follow at a time: for the whole upgrade there is one more. A first route that fails
#: needs few beside it.
MANY, FEW = (tuple(f"team{number:02}x" for number in range(many)) for many in (12, 4))
CATALOG = catalog_text().replace("perTeam: 2, total: 3", "perTeam: 2, total: 30")
SERVERS = ("identity", "resource-manager", "kubernetes", "models", "ingress")
QUARTER = timedelta(minutes=15)
GATEWAY = "gateway-system/internal"


class SharedClock(FakeClock):
    """The app's clock, with which that of the stand-ins is moved."""

    def __init__(self, control: Control) -> None:
        super().__init__(datetime.fromtimestamp(control.now(), UTC))
        self._control = control

    def advance(self, time: timedelta) -> None:
        super().advance(time)
        self._control.advance(time.total_seconds())

    def advance_to(self, moment: datetime) -> None:
        self.advance(max(moment - self.now(), timedelta(0)))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    """A cluster of this file's own: an upgrade looks at all routes."""
    folder = tmp_path_factory.mktemp("cluster")
    give_certificates(folder)
    options = ["--control", "--latency", "none", "--with-parent", "--only", *SERVERS]
    command = [sys.executable, "-m", "standins.run", "--folder", str(folder), *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield StandIns(Control(ready["control"]), ready["addresses"], ready["ca"], folder)
        process.terminate()
        process.wait(timeout=300)


@dataclass
class Platform:
    """An app at the cluster, of which the rest are fakes. `administrator` is the cluster as its people have
    it.
    """

    app: FakeApp
    cluster: Called
    administrator: KaitoCluster
    control: Control
    url: str
    teams: tuple[str, ...]

    async def routes(self) -> dict[str, Route]:
        """By team."""
        return {
            home.removeprefix("team-"): found for home, [found] in (await self.cluster.all_routes()).items()
        }

    async def forms(self) -> dict[str, int]:
        found = await self.routes()
        return dict(Counter(form_of(each.spec, f"team-{team}", each.name) for team, each in found.items()))

    async def hosts(self) -> dict[str, int]:
        """How many routes name each host, by what they say."""
        found = await self.routes()
        return dict(Counter(str(each.spec.get("hostnames")) for each in found.values()))

    async def give_the_listeners(self, host: str | None) -> None:
        """As people do with kubectl: this host, or none."""
        listener: dict[str, Any] = {
            "name": "http",
            "protocol": "HTTP",
            "port": 80,
            "allowedRoutes": {"namespaces": {"from": "All"}},
            **({} if host is None else {"hostname": host}),
        }
        found = await self.administrator.gateway(GATEWAY)
        assert found is not None
        home, _, name = GATEWAY.partition("/")
        manifest = {
            "apiVersion": ROUTE_VERSION,
            "kind": "Gateway",
            "metadata": {"namespace": home, "name": name},
            "spec": {"gatewayClassName": found.class_name, "listeners": [listener]},
        }
        await self.administrator.apply(manifest)
        self.app.clock.advance(timedelta(seconds=1))

    async def next_sweep(self, deep: bool = False) -> None:
        await sweep(self.app, deep)
        await later(self.app, QUARTER)

    def written(self) -> Counter[str]:
        """How often each route was patched, by who did so."""
        return Counter(
            call.target for call in self.control.calls("kubernetes") if call.kind == "PATCH httproute"
        )


@pytest.fixture
async def platform(own: StandIns, request: pytest.FixtureRequest) -> AsyncIterator[Platform]:
    """Twelve teams, or those of the parameter, whose models serve by routes that an earlier version wrote."""
    own.control.reset()
    own.control.set_options("kubernetes", nodes_ready_after=0.0, inference_ready_after=0.0)
    with managed_identity(own):
        at = own.addresses["resource-manager"]
        async with (
            ManagedIdentityCredential() as credential,
            ManagedIdentityCredential(client_id="operator") as owner,
            ManagedIdentityCredential(client_id=ADMINISTRATOR) as person,
        ):
            cluster = Called(CLUSTER_ID, at, credential)
            administrator = KaitoCluster(CLUSTER_ID, at, Person(owner, person))
            teams, url = getattr(request, "param", MANY), own.addresses["ingress"]
            found = Platform(FakeApp(), cluster, administrator, own.control, url, teams)
            await stand(found)
            yield found
            await cluster.close()
            await administrator.close()


@dataclass
class Person:
    """Asks Resource Manager as its owner, and the cluster as its administrator."""

    owner: ManagedIdentityCredential
    administrator: ManagedIdentityCredential

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        asked = self.administrator if AKS_SCOPE in scopes else self.owner
        token: AccessToken = await asked.get_token(*scopes, **options)
        return token

    async def close(self) -> None:
        """Both are closed by those who made them."""

    async def __aenter__(self) -> Person:
        return self

    async def __aexit__(self, *_: object) -> None:
        """As `close`."""


async def stand(platform: Platform) -> None:
    app: Any = FakeApp(clock=SharedClock(platform.control))
    app.cluster, app.roads = platform.cluster, WorkspaceRoads(platform.url)
    app.platform = replace(app.platform, cluster=replace(app.platform.cluster, url=platform.url))
    platform.app = app
    app.repository.commit({DEFAULT_CATALOG_PATH: CATALOG})
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    asked = {team: Asked(team=team, dedicated={"phi-4": GPU}) for team in platform.teams}
    await push(app, {path_of(team): each.text() for team, each in asked.items()})
    for team, each in asked.items():
        desired = compile_workspaces(each.read(a_catalog(CATALOG)), a_catalog(CATALOG), app.platform)
        await platform.cluster.apply(desired.earlier_routes["phi-4"])
        await platform.cluster.annotate_route(f"team-{team}", "phi-4", {"mergekey.dev/road": None})
    app.clock.advance(timedelta(minutes=1))
    assert await platform.forms() == {"prefix": len(platform.teams)}
    platform.cluster.url, platform.cluster.teams = platform.url, platform.teams
    platform.control.forget_calls()


class Called(KaitoCluster):
    """All models are called right before each write of a route, and right after it. `failed` are the answers
    that were none of a model, once each.
    """

    url = ""
    teams: tuple[str, ...] = ()
    rounds = 0
    failed: frozenset[str] = frozenset()

    async def apply(self, manifest: dict[str, Any]) -> None:
        await self._round()
        await super().apply(manifest)
        await self._round()

    async def _round(self) -> None:
        if self.url:
            async with aiohttp.ClientSession() as session:
                await asyncio.gather(*(self._call(session, team) for team in self.teams))
            self.rounds += 1

    async def _call(self, session: aiohttp.ClientSession, team: str) -> None:
        url = f"{self.url}/team-{team}/phi-4/v1/chat/completions"
        body = {"model": "phi-4", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        async with session.post(url, json=body) as answer:
            await answer.read()
        if answer.status != 200:
            self.failed |= {f"{team}: {answer.status}"}


async def test_no_call_fails_while_all_routes_are_brought_to_todays_form(platform: Platform) -> None:
    before = await platform.routes()
    await platform.next_sweep(deep=True)
    for _ in range(4):
        await platform.next_sweep()
    after = await platform.routes()
    assert (platform.cluster.failed, platform.cluster.rounds) == (frozenset(), 24)
    assert await platform.forms() == {"exact": 12}
    assert {after[team].generation - before[team].generation for team in MANY} == {1}
    assert sorted(platform.written().values()) == [1] * 12 + [3] * 12, "the form; answers, tried, proven"


@pytest.mark.parametrize("platform", [FEW], ids=["four"], indirect=True)
@pytest.mark.parametrize("trouble", ["controller away", "calls fail"])
async def test_a_first_route_that_fails_is_taken_back_and_no_other_begins(
    platform: Platform, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, (first, *others) = await platform.routes(), FEW
    await sweep(platform.app, deep=True)
    if trouble == "controller away":
        platform.control.set_options("kubernetes", gateway_controller_away=True)
    await sweep(platform.app)
    assert await platform.forms() == {"exact": 1, "prefix": len(others)}
    if trouble == "calls fail":
        platform.control.fault("models", f"GET .* phi-4.team-{first}.svc", status=503, count=None)
    await later(platform.app, QUARTER)
    platform.control.set_options("kubernetes", gateway_controller_away=False)
    for _ in range(2):
        await platform.next_sweep(deep=True)
    after = await platform.routes()
    assert platform.cluster.failed == frozenset()
    assert await platform.forms() == {"prefix": len(FEW)}
    assert after[first].annotations[ANNOTATION].startswith("kept prefix ")
    assert after[first].generation - before[first].generation == 2
    assert {after[team].generation - before[team].generation for team in others} == {0}
    assert not [team for team in others if ANNOTATION in after[team].annotations]
    assert f"route team-{first}/phi-4 has its earlier form back" in caplog.text


@pytest.fixture
async def named(platform: Platform) -> Platform:
    """All routes have today's form and name no host; from now on the address is a name."""
    for number in range(5):
        await platform.next_sweep(deep=number == 0)
    assert (await platform.forms(), await platform.hosts()) == (
        {"exact": len(platform.teams)},
        {"None": len(platform.teams)},
    )
    facts = platform.app.platform.cluster
    assert facts is not None
    url = platform.url.replace("127.0.0.1", "localhost")
    platform.app.platform = replace(platform.app.platform, cluster=replace(facts, url=url))
    platform.app.roads = WorkspaceRoads(url)  # type: ignore[assignment]  # the real one in place of the fake
    platform.cluster.url, platform.cluster.rounds = url, 0
    return platform


async def test_no_call_fails_while_all_routes_come_to_name_the_host(
    named: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    before = await named.routes()
    await named.next_sweep(deep=True)
    assert "12 routes to workspaces name no host" in caplog.text
    assert (await named.hosts(), named.cluster.rounds) == ({"None": 12}, 0), "nothing is done by itself"
    await named.give_the_listeners("localhost")
    caplog.clear()
    for number in range(5):
        await named.next_sweep()
        assert number or await named.hosts() == {"None": 11, "['localhost']": 1}
    after = await named.routes()
    assert (named.cluster.failed, named.cluster.rounds) == (frozenset(), 24)
    assert await named.hosts() == {"['localhost']": 12}
    assert {after[team].generation - before[team].generation for team in MANY} == {1}
    assert "name no host" not in caplog.text
    named.cluster.rounds = 0
    await named.next_sweep(deep=True)
    assert named.cluster.rounds == 0


@pytest.mark.parametrize("platform", [FEW], ids=["four"], indirect=True)
async def test_a_first_name_that_ends_the_calls_of_others_is_taken_back_at_once(
    named: Platform,
) -> None:
    await named.give_the_listeners("localhost")
    await sweep(named.app)
    await named.give_the_listeners(None)
    named.cluster.url = ""
    assert await named.hosts() == {"None": len(FEW) - 1, "['localhost']": 1}
    await later(named.app, timedelta(seconds=20))
    named.cluster.url = named.url.replace("127.0.0.1", "localhost")
    assert await named.hosts() == {"None": len(FEW)}
    assert (await named.routes())[FEW[0]].annotations[ANNOTATION].startswith("kept host ")
    await named.give_the_listeners("localhost")
    await named.next_sweep()
    assert await named.hosts() == {"None": len(FEW)}, "a person has not looked yet"
