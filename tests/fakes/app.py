"""`shared.ports.App` of fakes, and what tests arrange with: a catalogue, requests, messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import TypeVar

from shared.app import Paths, Timeouts
from shared.catalog.catalog import Catalog, read_catalog
from shared.git import blob_id
from shared.messaging.messages import AccessChange, DeliverKeys, Message, TeamMessage
from shared.messaging.outcomes import Event
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH, RequestPaths
from shared.requests.request import AccessRequest, read_request
from shared.resources.desired import Platform, Playground
from shared.resources.workspaces import Cluster as ClusterFacts
from tests.fakes.bus import FakeBus
from tests.fakes.calls import Calls
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.dead_letters import FakeDeadLetters
from tests.fakes.deliveries import FakeDeliveries
from tests.fakes.gateway import FakeGateway
from tests.fakes.gateway_calls import FakeGatewayCalls
from tests.fakes.projects import TRACING, FakeProjects
from tests.fakes.reports import FakeReports
from tests.fakes.repository import FakeRepository
from tests.fakes.roads import FakeRoads
from tests.fakes.roles import FakeRoles
from tests.fakes.vault import FakeVault

M = TypeVar("M", bound=Message)

REPOSITORY = 700_000_001
GATEWAY_URL = "https://ai.contoso.com"
PLATFORM_VAULT_URL = "https://contoso-platform.vault.azure.net"
READERS = "5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10"
OTHER_READERS = "0b9c3a4e-7d21-4c52-8f0e-6e1d2b7a9c33"
GPU, LARGER_GPU = "Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4"
PATHS = RequestPaths()
TIMEOUTS = Timeouts(
    grace=timedelta(days=7),
    workspace_grace=timedelta(hours=1),
    key_overlap=timedelta(hours=24),
    wait=timedelta(hours=2),
    retry=timedelta(hours=24),
    permission=timedelta(minutes=15),
)

#: Without the second API, which has tests of its own (`tests/stages/test_bearer_keys.py`).
_CATALOG = f"""\
bearerKeys: false
models:
  - name: gpt-4.1
    provider: foundry
    endpoint: https://contoso-ai.openai.azure.com/openai/v1
    maxTokensPerMinute: 100000
  - name: text-embedding-3-large
    provider: foundry
    endpoint: https://contoso-ai.openai.azure.com/openai/v1
    servedName: embeddings-eu
  - name: phi-4
    provider: kaito
    preset: phi-4
    endpoint: http://phi-4.shared.internal/v1
    dedicated: {{instanceTypes: [{GPU}, {LARGER_GPU}], perTeam: 2, total: 3}}
  - name: mistral-7b
    provider: kaito
    preset: mistral-7b-instruct
    dedicated: {{instanceTypes: [{GPU}], perTeam: 2, total: 9}}
"""


@cache
def _platform(gpus: bool, playground: bool) -> Platform:
    """The same object for all: what is remembered about it is."""
    facts = ClusterFacts("gateway-system/internal", "https://models.internal.contoso.com")
    tracing = Playground(TRACING) if playground else None
    return Platform(REPOSITORY, GATEWAY_URL, facts if gpus else None, PLATFORM_VAULT_URL, playground=tracing)


class FakeApp:
    """An app in which every remote system is a fake. `calls` has them all in order; `cluster` is None with
    `gpus=False`, `projects` with `playground=False`.

    `deliveries` is None as long as nobody wants to know what GitHub delivered.
    """

    def __init__(self, gpus: bool = True, clock: FakeClock | None = None, playground: bool = True) -> None:
        self.platform = _platform(gpus, playground)
        self.paths = Paths(PATHS, DEFAULT_CATALOG_PATH)
        self.timeouts = TIMEOUTS
        self.calls = Calls()
        self.clock = clock or FakeClock()
        self.sweep_report_only = False
        self.sweep_upgrades = 100
        self.pod_logs = False
        self.bus = FakeBus(self.calls, self.clock)
        self.dead_letters = FakeDeadLetters(self.calls, self.clock, self.bus)
        self.repository = FakeRepository(self.calls, self.clock)
        self.gateway = FakeGateway(self.calls)
        self.gateway_calls = FakeGatewayCalls(self.calls, self.gateway)
        self.vault = FakeVault(self.calls, self.clock)
        self.roles = FakeRoles(self.calls)
        self.cluster = FakeCluster(self.calls, self.clock) if gpus else None
        self.roads = FakeRoads(self.calls, self.cluster) if self.cluster else None
        self.projects = FakeProjects(self.calls, self.clock) if playground else None
        self.project_roles = FakeRoles(self.calls) if playground else None
        self.reports = FakeReports(self.calls)
        self.deliveries: FakeDeliveries | None = None


@dataclass(frozen=True)
class Asked:
    """What a request's file says, for `a_request`. `dedicated` maps a model to the instance type of the
    team's own workspace.
    """

    team: str = "alpha"
    models: tuple[str, ...] = ("gpt-4.1",)
    tokens: int = 10_000
    dedicated: dict[str, str] = field(default_factory=dict)
    readers: str | None = READERS
    expires: date | None = None
    display_name: str = "Team Alpha"
    cost_center: str | None = None
    playground: bool = False
    tracing: bool = False
    openai: tuple[str, ...] = ()

    def text(self) -> str:
        lines = [f"team: {{name: {self.team}, displayName: {self.display_name}, owner: lead@contoso.com}}"]
        if self.cost_center is not None:
            lines[0] = lines[0][:-1] + f", costCenter: {self.cost_center}}}"
        if self.readers is not None:
            lines[0] = lines[0][:-1] + f", entraGroup: {self.readers}}}"
        lines.append("models:")
        if self.models:
            lines += [
                "  foundry:",
                *(f"    - {{name: {name}, tokensPerMinute: {self.tokens}}}" for name in self.models),
            ]
        if self.openai:
            lines += [
                "  openai:",
                *(f"    - {{name: {name}, tokensPerMinute: {self.tokens}}}" for name in self.openai),
            ]
        if self.dedicated:
            own = [
                f"    - {{name: {name}, dedicated: true, instanceType: {gpu}}}"
                for name, gpu in self.dedicated.items()
            ]
            lines += ["  kaito:", *own]
        if self.playground or self.tracing:
            lines.append(
                f"features: {{playgroundAccess: {str(self.playground).lower()}, tracingEnabled: "
                f"{str(self.tracing).lower()}}}"
            )
        if self.expires is not None:
            lines.append(f"expires: {self.expires}")
        return "\n".join(lines) + "\n"

    def read(self, catalog: Catalog | None = None) -> AccessRequest:
        """As the app reads it."""
        verdict = read_request(path_of(self.team), self.text().encode(), catalog or a_catalog(), PATHS)
        assert verdict.request is not None, verdict.problems
        return verdict.request


def path_of(team: str) -> str:
    return f"tenant-access/config/{team}/access.yaml"


def catalog_text() -> str:
    return _CATALOG


def a_catalog(text: str = _CATALOG) -> Catalog:
    """As the app reads it, which keeps it too."""
    return _read_catalog(text)


@cache
def _read_catalog(text: str) -> Catalog:
    verdict = read_catalog(DEFAULT_CATALOG_PATH, text.encode())
    assert verdict.catalog is not None, verdict.problems
    return verdict.catalog


def a_change(app: FakeApp, team: str = "alpha", path: str | None = None) -> AccessChange:
    """The message about what stands on the branch for the team, or about its withdrawal when nothing does."""
    path = path or (DEFAULT_CATALOG_PATH if team == CATALOG_TEAM else path_of(team))
    commit, files = app.repository.branch or "0" * 40, app.repository.files()
    if path not in files:
        return AccessChange(change="withdrawn", team=team, path=path, commit=commit)
    content = files[path][0]
    return AccessChange(
        change="requested", team=team, path=path, commit=commit, blob=blob_id(content), text=content.decode()
    )


def an_event(app: FakeApp, message: M, root: str = "d1/alpha") -> Event[M]:
    return Event(message, app.clock.now(), root)


def keys_message(message: TeamMessage) -> DeliverKeys:
    """The message to deliver_keys that follows from one to the gateway's stage."""
    return DeliverKeys(**message.model_dump())
