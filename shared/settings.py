"""All settings. No other module reads the environment. Missing and invalid settings are reported together, at
start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Set
from datetime import timedelta
from typing import Annotated, Literal, get_args

from pydantic import Field, HttpUrl, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.api.records import Setting, SettingList
from shared.gateway_api.controllers import Controller
from shared.policies.policy_table import Tier
from shared.requests.paths import DEFAULT_CATALOG_PATH, DEFAULT_PATTERNS, RequestPaths

_REFERENCE = "@Microsoft.KeyVault("
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_RESOURCE = re.compile(
    r"^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/[^/]+/[^/]+$", re.IGNORECASE
)
_RESOURCE_IDS = (
    "APIM_SERVICE_ID",
    "KEY_VAULT_ID",
    "AKS_CLUSTER_ID",
    "FOUNDRY_ACCOUNT_ID",
    "FOUNDRY_TRACING_RESOURCE_ID",
)
_APP = frozenset({"GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_INSTALLATION_ID"})
_OPERATORS_API = frozenset({"ENTRA_TENANT_ID", "API_AUDIENCE"})
#: Settings that do nothing without others.
_NEEDED_BY = {
    "AKS_CLUSTER_ID": ("WORKSPACE_GATEWAY", "WORKSPACE_INGRESS_URL"),
    "WORKSPACE_BACKEND_CERTIFICATE": ("AKS_CLUSTER_ID",),
    "FOUNDRY_TRACING_RESOURCE_ID": ("FOUNDRY_ACCOUNT_ID",),
}


class SettingsError(Exception):
    """The message names every setting that is missing or wrong."""


class Settings(BaseSettings):
    """Environment variables of the function app; `local.settings.example.json` shows them all."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=True, env_ignore_empty=True)

    app_part: Literal["all", "webhook", "workers", "questions"] = Field(default="all", alias="APP_PART")

    github_repository: str = Field(alias="GITHUB_REPOSITORY", pattern=r"^[\w.-]+/[\w.-]+$")
    github_repository_id: int = Field(alias="GITHUB_REPOSITORY_ID", gt=0)
    github_branch: str = Field(default="main", alias="GITHUB_BRANCH", min_length=1)
    github_webhook_secret: SecretStr | None = Field(
        default=None, alias="GITHUB_WEBHOOK_SECRET", min_length=16
    )
    github_webhook_secret_previous: SecretStr | None = Field(
        default=None, alias="GITHUB_WEBHOOK_SECRET_PREVIOUS", min_length=16
    )
    github_api_url: HttpUrl = Field(default=HttpUrl("https://api.github.com"), alias="GITHUB_API_URL")
    github_app_id: str | None = Field(default=None, alias="GITHUB_APP_ID")
    github_app_private_key: SecretStr | None = Field(default=None, alias="GITHUB_APP_PRIVATE_KEY")
    github_installation_id: int | None = Field(default=None, alias="GITHUB_INSTALLATION_ID")
    github_token: SecretStr | None = Field(default=None, alias="GITHUB_TOKEN")
    github_report_interval: float = Field(default=1.0, alias="GITHUB_REPORT_INTERVAL", ge=0)
    docs_url: HttpUrl | None = Field(default=None, alias="DOCS_URL")

    service_bus: SecretStr | None = Field(default=None, alias="SERVICE_BUS")
    service_bus_namespace: str | None = Field(default=None, alias="SERVICE_BUS__fullyQualifiedNamespace")

    resource_manager_url: HttpUrl = Field(
        default=HttpUrl("https://management.azure.com"), alias="RESOURCE_MANAGER_URL"
    )
    apim_service_id: str = Field(alias="APIM_SERVICE_ID")
    apim_tier: Tier = Field(default="premium", alias="APIM_TIER")
    gateway_url: HttpUrl = Field(alias="GATEWAY_URL")
    key_vault_url: HttpUrl = Field(alias="KEY_VAULT_URL")
    key_vault_id: str = Field(alias="KEY_VAULT_ID")
    platform_vault_url: HttpUrl | None = Field(default=None, alias="PLATFORM_VAULT_URL")
    key_vault_verify_challenge: bool = Field(default=True, alias="KEY_VAULT_VERIFY_CHALLENGE")

    aks_cluster_id: str | None = Field(default=None, alias="AKS_CLUSTER_ID")
    workspace_gateway: str | None = Field(
        default=None, alias="WORKSPACE_GATEWAY", pattern=r"^[a-z0-9-]+/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
    )
    workspace_gateway_controller: Controller | None = Field(
        default=None, alias="WORKSPACE_GATEWAY_CONTROLLER"
    )
    workspace_ingress_url: HttpUrl | None = Field(default=None, alias="WORKSPACE_INGRESS_URL")
    workspace_backend_certificate: str | None = Field(
        default=None, alias="WORKSPACE_BACKEND_CERTIFICATE", pattern=r"^[A-Za-z0-9-]{1,80}$"
    )
    workspace_client_certificate: SecretStr | None = Field(default=None, alias="WORKSPACE_CLIENT_CERTIFICATE")
    workspace_roads: Literal["direct", "gateway"] = Field(default="direct", alias="WORKSPACE_ROADS")
    pod_logs: bool = Field(default=False, alias="POD_LOGS")

    foundry_account_id: str | None = Field(default=None, alias="FOUNDRY_ACCOUNT_ID")
    foundry_tracing_resource_id: str | None = Field(default=None, alias="FOUNDRY_TRACING_RESOURCE_ID")

    request_paths: Annotated[tuple[str, ...], NoDecode] = Field(
        default=DEFAULT_PATTERNS, alias="REQUEST_PATHS"
    )
    catalog_path: str = Field(default=DEFAULT_CATALOG_PATH, alias="CATALOG_PATH")
    grace_days: float = Field(default=7, alias="GRACE_DAYS", ge=0)
    workspace_grace_minutes: float = Field(default=60, alias="WORKSPACE_GRACE_MINUTES", ge=0)
    key_overlap_hours: float = Field(default=24, alias="KEY_OVERLAP_HOURS", ge=0)
    waiting_limit_minutes: float = Field(default=120, alias="WAITING_LIMIT_MINUTES", gt=0)
    retry_limit_hours: float = Field(default=24, alias="RETRY_LIMIT_HOURS", gt=0)
    sweep_report_only: bool = Field(default=False, alias="SWEEP_REPORT_ONLY")
    sweep_upgrades: int = Field(default=100, alias="SWEEP_UPGRADES", ge=1)

    entra_tenant_id: str | None = Field(default=None, alias="ENTRA_TENANT_ID", pattern=_UUID)
    api_audience: str | None = Field(default=None, alias="API_AUDIENCE")
    entra_authority_url: HttpUrl = Field(
        default=HttpUrl("https://login.microsoftonline.com"), alias="ENTRA_AUTHORITY_URL"
    )

    @field_validator("request_paths", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(path.strip() for path in value.split(",")) if isinstance(value, str) else value

    @field_validator("request_paths")
    @classmethod
    def _usable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        RequestPaths(value)
        return value

    @property
    def paths(self) -> RequestPaths:
        return RequestPaths(self.request_paths)

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The secret, and during a change of secret the previous one too."""
        both = (self.github_webhook_secret, self.github_webhook_secret_previous)
        return tuple(secret.get_secret_value() for secret in both if secret is not None)

    @property
    def grace(self) -> timedelta:
        return timedelta(days=self.grace_days)


def shown(settings: Settings) -> SettingList:
    """The settings for people: without the values of secrets, and URLs without user and password."""
    rows = (
        (field.alias or name, field.annotation, getattr(settings, name))
        for name, field in Settings.model_fields.items()
    )
    return SettingList(
        tuple(_shown(name, SecretStr in (kind, *get_args(kind)), value) for name, kind, value in rows)
    )


def _shown(name: str, secret: bool, value: object) -> Setting:
    if value is None or secret:
        return Setting(name, None, secret, value is not None)
    if isinstance(value, HttpUrl):
        return Setting(name, f"{value.scheme}://{value.host}:{value.port}{value.path or ''}", False, True)
    return Setting(name, ",".join(value) if isinstance(value, tuple) else str(value), False, True)


def load() -> Settings:
    """Read the environment. Raises SettingsError with one line per problem."""
    problems = list(_cross_checks(os.environ))
    try:
        settings = Settings()  # type: ignore[call-arg]  # the values come from the environment
        if not problems:
            return settings
    except ValidationError as error:
        problems = [
            *(
                _line(each["loc"], each["msg"])
                for each in error.errors(include_url=False, include_input=False)
            ),
            *problems,
        ]
    raise SettingsError(
        "\n".join(["these settings are missing or wrong:", *(f"  {problem}" for problem in problems)])
    )


def _cross_checks(environment: Mapping[str, str]) -> Iterator[str]:
    """The problems that no single field can show: settings that need each other, Key Vault references that
    were not resolved, and texts that are not ids of Azure resources.
    """
    given = {name for name, value in environment.items() if value}
    takes_pushes = environment.get("APP_PART") not in ("workers", "questions")
    if takes_pushes and "GITHUB_WEBHOOK_SECRET" not in given:
        yield "GITHUB_WEBHOOK_SECRET: missing"
    yield from _missing_credentials(given)
    yield from _missing_companions(given)
    # Azure leaves the reference as the value when it cannot read the secret behind it: a webhook secret that
    # can be guessed.
    yield from (
        f"{name}: its Key Vault reference was not resolved"
        for name in sorted(given)
        if environment[name].startswith(_REFERENCE)
    )
    yield from (
        f"{name}: is not the id of an Azure resource"
        for name in _RESOURCE_IDS
        if name in given and not _RESOURCE.match(environment[name])
    )


def _missing_credentials(given: Set[str]) -> Iterator[str]:
    """The app signs in at GitHub as an App or with a token, and at Service Bus by its identity or with a
    connection string.
    """
    app = ", ".join(sorted(_APP))
    if _APP & given and _APP - given:
        yield f"{', '.join(sorted(_APP - given))}: missing; an App needs {app}"
    elif not (_APP & given or "GITHUB_TOKEN" in given):
        yield f"GITHUB_TOKEN: missing; or set {app}"
    if not {"SERVICE_BUS", "SERVICE_BUS__fullyQualifiedNamespace"} & given:
        yield "SERVICE_BUS__fullyQualifiedNamespace: missing; or set SERVICE_BUS to a connection string"


def _missing_companions(given: Set[str]) -> Iterator[str]:
    yield from (
        f"{name}: missing; {setting} needs it"
        for setting, needed in _NEEDED_BY.items()
        if setting in given
        for name in needed
        if name not in given
    )
    if _OPERATORS_API & given:
        needed = ", ".join(sorted(_OPERATORS_API))
        yield from (
            f"{name}: missing; the operators' API needs {needed}" for name in sorted(_OPERATORS_API - given)
        )


def _line(where: tuple[int | str, ...], what: str) -> str:
    text = "missing" if what == "Field required" else what.removeprefix("Value error, ")
    return f"{'.'.join(map(str, where))}: {text}"
