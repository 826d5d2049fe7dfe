"""What the adapters of the contract tests talk to: the stand-ins, or real services where settings name them.

| setting | what is tested against it |
|---|---|
| `CONTRACT_APIM_SERVICE_ID` | a service of its own: its API `ai` and fragment are overwritten and removed |
| `CONTRACT_KEY_VAULT_URL` | a vault; soft-deleted test secrets stay in it until they are purged |
| `CONTRACT_KEY_VAULT_ID` | the scope for role assignments |
| `CONTRACT_AKS_CLUSTER_ID` | a cluster with KAITO; workspaces cost GPU time |
| `CONTRACT_FOUNDRY_ACCOUNT_ID` | a Foundry account with project management |
| `CONTRACT_FOUNDRY_TRACING_ID` | an Application Insights |
| `CONTRACT_SERVICE_BUS` | a connection string; the entities of infra/service-bus.json, no other receivers |
| `CONTRACT_GITHUB_REPOSITORY` | `owner/name`; each test pushes, with git's credentials, to its own branch |
| `CONTRACT_GITHUB_APP_ID`, `CONTRACT_GITHUB_APP_PRIVATE_KEY` | the App that reads and reports there |
| `CONTRACT_GITHUB_INSTALLATION_ID` | its installation |
| `CONTRACT_GITHUB_API_URL`, `CONTRACT_GITHUB_GIT_URL` | where it is, if not on github.com |
| `CONTRACT_RESOURCE_MANAGER_URL`, `CONTRACT_KEY_VAULT_VERIFY_CHALLENGE` | for other clouds |

The credential is that of `az login` or of a managed identity. Every name that a test makes up begins with
`contract-`; what carries such a name is removed at the end, and what an earlier run left behind, at the
start.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cache

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from standins.stack import FOUNDRY_ID, TRACES_ID
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION

PREFIX = "contract-"
_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ai/providers"


class Named(BaseSettings):
    """The settings of the table above."""

    model_config = SettingsConfigDict(
        env_prefix="CONTRACT_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    apim_service_id: str | None = None
    resource_manager_url: str | None = None
    key_vault_url: str | None = None
    key_vault_id: str | None = None
    key_vault_verify_challenge: bool = True
    aks_cluster_id: str | None = None
    foundry_account_id: str | None = None
    foundry_tracing_id: str | None = None
    service_bus: SecretStr | None = None
    github_api_url: str = "https://api.github.com"
    github_git_url: str | None = None
    github_repository: str | None = None
    github_app_id: str = ""
    github_app_private_key: SecretStr = SecretStr("")
    github_installation_id: int = 0

    @property
    def git_url(self) -> str:
        return self.github_git_url or f"https://github.com/{self.github_repository}.git"


@cache
def named() -> Named:
    return Named()


@dataclass(frozen=True)
class Targets:
    """Where each adapter goes. `real` has the ports whose target was named."""

    real: frozenset[str]
    resource_manager: str
    apim_service_id: str
    key_vault_url: str
    key_vault_verify_challenge: bool
    key_vault_id: str
    aks_cluster_id: str
    foundry_account_id: str
    foundry_tracing_id: str
    service_bus: str


def targets(standins: StandIns) -> Targets:
    """Each system for itself: some may be real while others are stand-ins; those of Resource Manager go
    together.
    """
    wanted = named()
    by_port = {
        "gateway": wanted.apim_service_id,
        "vault": wanted.key_vault_url,
        "roles": wanted.key_vault_id,
        "cluster": wanted.aks_cluster_id,
        "projects": wanted.foundry_account_id,
        "bus": wanted.service_bus,
        "repository": wanted.github_repository,
    }
    real = frozenset(port for port, target in by_port.items() if target)
    arm = bool(real & {"gateway", "roles", "cluster", "projects"})
    local = (
        f"Endpoint=sb://{standins.addresses['service-bus']};SharedAccessKeyName=local;SharedAccessKey=local;"
        "UseDevelopmentEmulator=true;"
    )
    return Targets(
        real,
        (wanted.resource_manager_url or "https://management.azure.com")
        if arm
        else standins.addresses["resource-manager"],
        wanted.apim_service_id or f"{_GROUP}/Microsoft.ApiManagement/service/{unique('apim')}",
        wanted.key_vault_url or standins.addresses["key-vault"],
        wanted.key_vault_verify_challenge and "vault" in real,
        wanted.key_vault_id or f"{_GROUP}/Microsoft.KeyVault/vaults/{unique('kv')}",
        wanted.aks_cluster_id or a_cluster("gpu"),
        wanted.foundry_account_id or FOUNDRY_ID,
        wanted.foundry_tracing_id or TRACES_ID,
        wanted.service_bus.get_secret_value() if wanted.service_bus else local,
    )


def a_cluster(name: str) -> str:
    """The id of a cluster that the stand-ins' Resource Manager knows by this name."""
    return f"{_GROUP}/Microsoft.ContainerService/managedClusters/{name}"


def unique(what: str) -> str:
    """A name that nobody else has, and by which it is found again to be removed."""
    return f"{PREFIX}{what}-{uuid.uuid4().hex[:10]}"
