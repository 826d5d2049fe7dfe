"""The content of a request, the same for every shape in which it may be written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from shared.catalog.terms import Classification, Provider
from shared.documents.document import KeyPath

Period = Literal["Hourly", "Daily", "Weekly", "Monthly", "Yearly"]


@dataclass(frozen=True, slots=True)
class TokenQuota:
    """`tokens` in each `period`."""

    tokens: int
    period: Period


@dataclass(frozen=True, slots=True)
class RequestedModel:
    """One model that a request asks for; `where` is its entry in the document."""

    where: KeyPath
    provider: Provider
    name: str
    tokens_per_minute: int | None = None
    token_quota: TokenQuota | None = None
    dedicated: bool = False
    instance_type: str | None = None


@dataclass(frozen=True, slots=True)
class RequestDetails:
    """Everything that a request says besides its models."""

    team: str
    display_name: str
    owner: str
    cost_center: str | None
    entra_group: str | None
    tokens_per_minute: int | None
    daily_token_quota: int | None
    playground_access: bool
    tracing_enabled: bool
    data_classification: Classification
    expires: date | None
    requests_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """A model that a team may call. With an `instance_type` the team gets a KAITO workspace of its own for
    it.
    """

    name: str
    provider: Provider
    tokens_per_minute: int | None
    token_quota: TokenQuota | None
    instance_type: str | None
