"""What is answered to teams and to the platform: shapes for HTTP, without any key. Moments are UTC, dates are
days in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from shared.api.team_view import Condition
from shared.branch.states import Access
from shared.catalog.catalog import Breaker, Price
from shared.catalog.terms import Classification, Provider
from shared.documents.problem import Problem
from shared.requests.details import TokenQuota
from shared.resources.backends import PoolMember


@dataclass(frozen=True, slots=True)
class GrantedModel:
    """A model that a team may call, and where. `retires_on` is the last day on which it is served; then
    `successor` is to be used.
    """

    name: str
    provider: Provider
    tokens_per_minute: int | None
    token_quota: TokenQuota | None
    instance_type: str | None
    chat_completions_url: str
    embeddings_url: str
    retires_on: date | None
    successor: str | None


@dataclass(frozen=True, slots=True)
class Granted:
    """What a valid request says. `expires` is its last day; the limits are over all models together.

    `playground_project` is the name of the Foundry project, where the request asks for one and this platform
    makes them.
    """

    display_name: str
    owner: str
    cost_center: str | None
    models: tuple[GrantedModel, ...]
    tokens_per_minute: int | None
    daily_token_quota: int | None
    data_classification: Classification
    playground_access: bool
    playground_project: str | None
    tracing_enabled: bool
    expires: date | None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Keys are suspended since then, and everything is deleted after the grace period."""

    since: datetime
    deleted_after: datetime


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What clients are given: `azure_endpoint` of AzureOpenAI, `base_url` of OpenAI. The key goes into the
    header `api-key`.
    """

    azure_endpoint: str
    base_url: str


@dataclass(frozen=True, slots=True)
class TeamRecord:
    """One team. `access` is what it has; `ready` when every condition is true. `secrets` are names in the
    vault.

    `commit` is the branch's head, `provisioned_commit` the commit whose request is in force. `entra_group`
    may read secrets and record.
    """

    team: str
    access: Access
    ready: bool
    path: str
    commit: str
    provisioned_commit: str | None
    entra_group: str | None
    secrets: tuple[str, ...]
    endpoints: Endpoints
    withdrawn: Withdrawal | None
    granted: Granted | None
    conditions: tuple[Condition, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class TeamList:
    """The teams that the caller may see, by name."""

    teams: tuple[TeamRecord, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """What one team was granted of a model, None for no limit."""

    team: str
    tokens_per_minute: int | None


@dataclass(frozen=True, slots=True)
class Grants:
    """What all teams were granted of a model's shared backends, in tokens per minute: the ledger that
    requests are refused by.

    `grantable` is the capacity times over-commitment. A team counts with the least of its limits, and in
    `unlimited` when it has none; `shares` are for readers of the platform only.
    """

    capacity: int | None
    grantable: int | None
    granted: int
    unlimited: int
    shares: tuple[Share, ...] | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of the catalogue. `shared`: requests may name it without `dedicated`; `instance_types` are for
    workspaces of one's own.

    `overcommitted`: more of it is in force than may be granted, of tokens or of workspaces.
    """

    name: str
    provider: Provider
    private: bool
    data_classes: tuple[Classification, ...]
    price: Price | None
    max_tokens_per_minute: int | None
    max_daily_tokens: int | None
    shared: bool
    instance_types: tuple[str, ...]
    fallback: str | None
    cached: bool
    screened: bool
    retires_on: date | None
    successor: str | None
    grants: Grants
    overcommitted: bool


@dataclass(frozen=True, slots=True)
class ModelList:
    """The catalogue, by name. Prices are per million tokens in `currency`; `commit` is the branch's head."""

    commit: str
    currency: str | None
    over_commitment: Decimal
    models: tuple[Offer, ...]


BackendState = Literal["as_catalogued", "missing", "different", "not_needed", "not_managed"]


@dataclass(frozen=True, slots=True)
class ProviderBackend:
    """A backend or pool in API Management. `url` is what stands there, `wanted_url` what the catalogue says:
    None for nothing and pools.

    `breaker` and `members` are what stands there: of a pool the backends by name, each of which has its own
    `breaker` (None: it has none; 0 failures: a rule of another kind, made by somebody else). Whether one has
    tripped is not known: API Management does not tell.
    """

    name: str
    url: str | None
    wanted_url: str | None
    breaker: Breaker | None
    members: tuple[PoolMember, ...]
    state: BackendState


@dataclass(frozen=True, slots=True)
class ProviderList:
    """What serves the catalogue's models. `differences` is empty when the platform's side is as the catalogue
    says.
    """

    commit: str
    provisioned_commit: str | None
    backends: tuple[ProviderBackend, ...]
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting by its name in the environment. What is secret has no value here, only whether it is
    set.
    """

    name: str
    value: str | None
    secret: bool
    is_set: bool


@dataclass(frozen=True, slots=True)
class SettingList:
    """Every setting that is in force, defaults too."""

    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to one remote system. `reason` and `message` say why there was no answer."""

    system: str
    healthy: bool
    milliseconds: int
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Without probes it only says that the process is up and its settings are whole."""

    healthy: bool
    probes: tuple[Probe, ...] = ()
