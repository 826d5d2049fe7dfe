"""Builds the adapters from the settings. No other module builds clients: there is one set per event loop, and
each client is built when a stage first needs it.

Adapters are imported when they are built, so that the webhook does not load the SDKs of API Management or
Kubernetes.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from shared.adapters.clock import SystemClock
from shared.app import Paths, Timeouts
from shared.branch.repository_state import is_read
from shared.cluster_ports import Cluster, Roads
from shared.ports import (
    Bus,
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
from shared.resources.desired import Platform, Playground
from shared.resources.workspaces import Cluster as ClusterFacts
from shared.secret import SecretValue
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

    from shared.adapters.entra import EntraTokens
    from shared.adapters.github import GitHubClient

#: The time for which a stage retries after a permission error: role assignments take minutes to take effect.
ROLES_TAKE = timedelta(minutes=15)


class RealApp:
    """`shared.ports.App` over the real services."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.platform = Platform(
            settings.github_repository_id,
            str(settings.gateway_url).rstrip("/"),
            _cluster_facts(settings),
            None if settings.platform_vault_url is None else str(settings.platform_vault_url).rstrip("/"),
            settings.apim_tier,
            _playground(settings),
        )
        self.paths = Paths(settings.paths, settings.catalog_path)
        self.timeouts = Timeouts(
            grace=settings.grace,
            workspace_grace=timedelta(minutes=settings.workspace_grace_minutes),
            key_overlap=timedelta(hours=settings.key_overlap_hours),
            wait=timedelta(minutes=settings.waiting_limit_minutes),
            retry=timedelta(hours=settings.retry_limit_hours),
            permission=ROLES_TAKE,
        )
        self.sweep_report_only = settings.sweep_report_only
        self.sweep_upgrades = settings.sweep_upgrades
        self.pod_logs = settings.pod_logs
        self.clock = SystemClock()

    @cached_property
    def bus(self) -> Bus:
        from shared.adapters.service_bus import ServiceBus

        return ServiceBus(*self._service_bus)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        from shared.adapters.dead_letters import ServiceBusDeadLetters
        from shared.adapters.service_bus import create_client

        return ServiceBusDeadLetters(create_client(*self._service_bus))

    @cached_property
    def tokens(self) -> EntraTokens | None:
        """Verifies the callers of the operators' API; None when the platform has none."""
        from shared.adapters.entra import EntraTokens

        tenant, audience = self.settings.entra_tenant_id, self.settings.api_audience
        return (
            None
            if tenant is None or audience is None
            else EntraTokens(str(self.settings.entra_authority_url), tenant, audience)
        )

    @cached_property
    def repository(self) -> Repository:
        from shared.adapters.github import GitHubRepository

        def wanted(path: str) -> bool:
            return is_read(path, self.paths.requests, self.paths.catalog)

        return GitHubRepository(
            self._github, self.settings.github_repository, self.settings.github_branch, wanted
        )

    @cached_property
    def reports(self) -> Reports:
        from shared.adapters.github_reports import GitHubReports

        return GitHubReports(
            self._github,
            self.settings.github_repository,
            self.settings.github_report_interval,
            str(self.settings.docs_url or ""),
        )

    @cached_property
    def deliveries(self) -> Deliveries | None:
        """None with a plain token: it would need the right to administer the repository's webhooks."""
        from shared.adapters.github_deliveries import GitHubDeliveries

        return GitHubDeliveries(self._github) if self._github.is_app else None

    @cached_property
    def gateway(self) -> Gateway:
        from shared.adapters.api_management import ApiManagement

        return ApiManagement(self.settings.apim_service_id, self._resource_manager, self._credential)

    @cached_property
    def gateway_calls(self) -> GatewayCalls:
        from shared.adapters.gateway_calls import GatewayCalls as Caller

        return Caller(self.platform.gateway_url)

    @cached_property
    def vault(self) -> Vault:
        from shared.adapters.key_vault import KeyVault

        return KeyVault(
            str(self.settings.key_vault_url), self._credential, self.settings.key_vault_verify_challenge
        )

    @cached_property
    def roles(self) -> Roles:
        from shared.adapters.role_assignments import SECRETS_USER, RoleAssignments

        return RoleAssignments(
            f"{self.settings.key_vault_id}/secrets", SECRETS_USER, self._resource_manager, self._credential
        )

    @cached_property
    def projects(self) -> Projects | None:
        if self.settings.foundry_account_id is None:
            return None
        from shared.adapters.foundry import Foundry

        tracing = self.settings.foundry_tracing_resource_id
        return Foundry(self.settings.foundry_account_id, tracing, self._resource_manager, self._credential)

    @cached_property
    def project_roles(self) -> Roles | None:
        if self.settings.foundry_account_id is None:
            return None
        from shared.adapters.role_assignments import FOUNDRY_USER, RoleAssignments

        return RoleAssignments(
            f"{self.settings.foundry_account_id}/projects",
            FOUNDRY_USER,
            self._resource_manager,
            self._credential,
        )

    @cached_property
    def cluster(self) -> Cluster | None:
        if self.settings.aks_cluster_id is None:
            return None
        from shared.adapters.kaito import KaitoCluster

        return KaitoCluster(self.settings.aks_cluster_id, self._resource_manager, self._credential)

    @cached_property
    def roads(self) -> Roads | None:
        from shared.adapters.roads import RoadsByGateway, WorkspaceRoads

        if self.platform.cluster is None:
            return None
        if self.settings.workspace_roads == "gateway":
            return RoadsByGateway(self.platform.gateway_url, self.platform.cluster.url, self.gateway.keys)
        certificate = self.settings.workspace_client_certificate
        pem = None if certificate is None else SecretValue(_lines(certificate.get_secret_value()))
        return WorkspaceRoads(self.platform.cluster.url, pem)

    @cached_property
    def _github(self) -> GitHubClient:
        from shared.adapters.github import AppKey, GitHubClient

        settings = self.settings
        app = None
        if settings.github_app_id and settings.github_app_private_key and settings.github_installation_id:
            pem = _lines(settings.github_app_private_key.get_secret_value())
            app = AppKey(settings.github_app_id, pem, settings.github_installation_id)
        token = settings.github_token.get_secret_value() if settings.github_token else None
        return GitHubClient(str(settings.github_api_url), app, token)

    @property
    def _service_bus(self) -> tuple[str | None, str | None, AsyncTokenCredential | None]:
        connection = self.settings.service_bus
        if connection is not None:
            return connection.get_secret_value(), None, None
        return None, self.settings.service_bus_namespace, self._credential

    @cached_property
    def _credential(self) -> AsyncTokenCredential:
        from shared.adapters.credentials import credential

        return credential()

    @property
    def _resource_manager(self) -> str:
        return str(self.settings.resource_manager_url)


def _lines(pem: str) -> str:
    # A PEM in one line, as app settings often hold it, has its line ends written as \n.
    return pem.replace("\\n", "\n")


def _cluster_facts(settings: Settings) -> ClusterFacts | None:
    if (
        settings.aks_cluster_id is None
        or settings.workspace_gateway is None
        or settings.workspace_ingress_url is None
    ):
        return None
    return ClusterFacts(
        settings.workspace_gateway,
        str(settings.workspace_ingress_url),
        settings.workspace_gateway_controller,
        certificate=settings.workspace_backend_certificate,
    )


def _playground(settings: Settings) -> Playground | None:
    return None if settings.foundry_account_id is None else Playground(settings.foundry_tracing_resource_id)


_apps: WeakKeyDictionary[asyncio.AbstractEventLoop, RealApp] = WeakKeyDictionary()
_settings: list[Settings] = []


def start(settings: Settings) -> None:
    """Called once by function_app.py: nothing is opened yet."""
    _settings[:] = [settings]


def app() -> RealApp:
    """The app of the running event loop: clients belong to the loop that opened them."""
    loop = asyncio.get_running_loop()
    if loop not in _apps:
        _apps[loop] = RealApp(_settings[0])
    return _apps[loop]
