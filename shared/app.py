"""Everything that a stage may use: the ports, and what the platform decided for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from shared.cluster_ports import Cluster, Roads
from shared.ports import (
    Bus,
    Clock,
    DeadLetters,
    Deliveries,
    Gateway,
    GatewayCalls,
    Projects,
    Reports,
    Repository,
    Roles,
    Vault,
)
from shared.requests.paths import RequestPaths
from shared.resources.desired import Platform


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of requests and of the catalogue in the repository."""

    requests: RequestPaths
    catalog: str


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The platform's time limits: grace periods, the overlap of keys, and for how long a stage waits,
    retries, and retries after a permission error.
    """

    grace: timedelta
    workspace_grace: timedelta
    key_overlap: timedelta
    wait: timedelta
    retry: timedelta
    permission: timedelta


class App(Protocol):
    """Everything a stage may use. `shared.bootstrap` builds the real one, tests build one of fakes."""

    platform: Platform
    paths: Paths
    timeouts: Timeouts
    #: Sweeps only say what they find, and queue nothing.
    sweep_report_only: bool
    #: How many teams that differ by our version alone a sweep queues at most.
    sweep_upgrades: int
    #: Whether the end of a crashing container's log may be read, for its class.
    pod_logs: bool

    @property
    def clock(self) -> Clock: ...
    @property
    def bus(self) -> Bus: ...
    @property
    def dead_letters(self) -> DeadLetters: ...
    @property
    def repository(self) -> Repository: ...
    @property
    def gateway(self) -> Gateway: ...
    @property
    def gateway_calls(self) -> GatewayCalls: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def roles(self) -> Roles: ...
    @property
    def cluster(self) -> Cluster | None: ...
    @property
    def roads(self) -> Roads | None: ...
    @property
    def projects(self) -> Projects | None: ...
    @property
    def project_roles(self) -> Roles | None: ...
    @property
    def reports(self) -> Reports: ...
    @property
    def deliveries(self) -> Deliveries | None: ...
