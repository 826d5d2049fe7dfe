"""The records that the HTTP API returns to teams and platform engineers; none contains a key. Times and dates
are in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from shared.api.team_view import Condition
from shared.branch.states import Access
from shared.catalog.catalog import Breaker, Price
from shared.catalog.terms import Ability, Classification, Provider
from shared.documents.problem import Problem
from shared.requests.details import TokenQuota
from shared.resources.backends import PoolMember


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPU nodes of a workspace, None where their number is unknown: what KAITO takes, or will take. Their
    price in an hour and in a month of 730 hours is in `currency`; None where the catalogue has none.
    """

    nodes: int | None
    per_hour: Decimal | None
    per_month: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class GrantedModel:
    """A model that a team may call, and its URLs. `retires_on` is the last day on which it is served, and
    `successor` the model to use afterwards. `gpus` are those of the team's own workspace; None without one.
    `serves` is what it does, empty where the catalogue cannot be read.
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
    gpus: Gpus | None = None
    serves: tuple[Ability, ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """The content of a valid request, or of the one in force where the branch cannot be followed. `expires`
    is its last day; the limits apply to all models together.

    `playground_project` is the name of the Foundry project, if the request asks for one and this platform
    has playgrounds.
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
class Reader:
    """An Entra group that may read these secrets of a team, as it is assigned. `stranger`: others assigned
    it, and no request names it.
    """

    group: str
    secrets: tuple[str, ...]
    stranger: bool


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The time since which the keys are suspended, and the end of the grace period, after which everything is
    deleted.
    """

    since: datetime
    deleted_after: datetime


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The settings of clients: `azure_endpoint` of AzureOpenAI, and two base URLs of OpenAI. The key goes
    into the header `api-key`; at `bearer_base_url` clients send it as they are, as a bearer token. None where
    the catalogue has no bearer keys, or cannot be read.
    """

    azure_endpoint: str
    base_url: str
    bearer_base_url: str | None


@dataclass(frozen=True, slots=True)
class TeamRecord:
    """One team. `access` is the state of its access; `ready` is true if every condition is. `secrets` are the
    names of its secrets in the vault.

    `commit` is the branch's head, `provisioned_commit` the commit whose request is in force. `entra_group` is
    the group that is to read the secrets, and may see this record; `readers` are the groups that can read
    secrets.
    """

    team: str
    access: Access
    ready: bool
    path: str
    commit: str
    provisioned_commit: str | None
    entra_group: str | None
    readers: tuple[Reader, ...]
    secrets: tuple[str, ...]
    endpoints: Endpoints
    withdrawn: Withdrawal | None
    granted: Granted | None
    conditions: tuple[Condition, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class TeamList:
    """The teams that the caller may see, sorted by name."""

    teams: tuple[TeamRecord, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """The grant of one team in a model; None for no limit."""

    team: str
    tokens_per_minute: int | None


@dataclass(frozen=True, slots=True)
class Grants:
    """The grants of all teams in a model's shared backends, in tokens per minute. Requests are refused by
    these numbers.

    `grantable` is the capacity times over-commitment. A team counts with its lowest limit, and in `unlimited`
    if it has none; `shares` are only for readers of the platform.
    """

    capacity: int | None
    grantable: int | None
    granted: int
    unlimited: int
    shares: tuple[Share, ...] | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of the catalogue. `shared`: requests may name it without `dedicated`; `instance_types` are for
    dedicated workspaces.

    `overcommitted`: more tokens or workspaces are in force than may be granted.
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
    """The models of the catalogue, sorted by name. Prices are per million tokens in `currency`; `commit` is
    the branch's head.
    """

    commit: str
    currency: str | None
    over_commitment: Decimal
    models: tuple[Offer, ...]


BackendState = Literal["as_catalogued", "missing", "different", "not_needed", "not_managed"]


@dataclass(frozen=True, slots=True)
class ProviderBackend:
    """A backend or pool in API Management. `url` is the actual one, `wanted_url` that of the catalogue; None
    for pools, and if there is none.

    `breaker` and `members` are the actual ones: the members of a pool are backends by name, each with its own
    `breaker` (None: it has none; 0 failures: a rule of another kind, which somebody else made). API
    Management does not tell whether a breaker has tripped.
    """

    name: str
    url: str | None
    wanted_url: str | None
    breaker: Breaker | None
    members: tuple[PoolMember, ...]
    state: BackendState


@dataclass(frozen=True, slots=True)
class ProviderList:
    """The backends of the catalogue's models. `differences` is empty if the platform's side is as the
    catalogue says.
    """

    commit: str
    provisioned_commit: str | None
    backends: tuple[ProviderBackend, ...]
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting by its name in the environment. A secret has no value here; `is_set` tells whether it is
    set.
    """

    name: str
    value: str | None
    secret: bool
    is_set: bool


@dataclass(frozen=True, slots=True)
class SettingList:
    """All settings in force, including defaults."""

    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """One call to one remote system. `reason` and `message` are those of its error."""

    system: str
    healthy: bool
    milliseconds: int
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The health of the app. Without probes it only tells that the process runs and its settings are
    complete.
    """

    healthy: bool
    probes: tuple[Probe, ...] = ()
