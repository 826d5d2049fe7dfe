"""The three shapes in which a team may write its request.

A is canonical; B is a Kubernetes ConfigMap whose `data.models` is YAML in a text; C lists plain model names
behind `enabled`. Each says what it asks for as `RequestDetails` and `RequestedModel`s, which are read entry
by entry, so that a problem in one hides none in another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from shared.catalog.terms import Classification, Provider
from shared.documents.document import Document, KeyPath
from shared.documents.field_types import (
    Day,
    Email,
    GroupId,
    InstanceType,
    Line,
    ModelName,
    RequestsPerMinute,
    Schema,
    TeamName,
    Tokens,
    TokensPerMinute,
    parse_leniently,
)
from shared.requests.details import Period, RequestDetails, RequestedModel, TokenQuota

TEAM = "the team's name, which is also its folder's"
OWNER = "the e-mail address of the person who answers for the team"
GROUP = "the object id of the Entra group that may read the team's keys"
MODEL = "a model's name as the catalogue has it, such as gpt-4.1"
EXPIRES = "the last day of the access, such as 2027-03-31"


class Shape(Schema, ABC):
    """A whole request. The paths say where things stand that several shapes have in different places."""

    team_at: ClassVar[KeyPath]
    models_at: ClassVar[KeyPath]
    playground_at: ClassVar[KeyPath]
    classification_at: ClassVar[KeyPath]
    expires_at: ClassVar[KeyPath]
    named_after_team: ClassVar[KeyPath | None] = None

    @staticmethod
    def prepared(document: Document) -> Document:
        """The document in the form that the shape describes."""
        return document

    @staticmethod
    @abstractmethod
    def requested_models(document: Document) -> Iterator[RequestedModel | None]:
        """Each model asked for, None for an entry that cannot be read."""

    @abstractmethod
    def details(self) -> RequestDetails:
        """Everything else."""


class Team(Schema):
    """The team that asks."""

    name: TeamName = Field(description=TEAM)
    display_name: Line | None = Field(default=None, description="the team's name for people")
    owner: Email = Field(description=OWNER)
    cost_center: Line | None = Field(default=None, description="who pays")
    entra_group: GroupId | None = Field(default=None, description=GROUP)


class Limits(Schema):
    """Over all models together."""

    tokens_per_minute: TokensPerMinute | None = None
    daily_token_quota: Tokens | None = None
    requests_per_minute: RequestsPerMinute | None = None


class Features(Schema):
    """Features besides the models."""

    playground_access: bool = Field(default=False, description="a Foundry project to try models in")
    tracing_enabled: bool = False


class _WithTeam(Shape):
    """The fields that shapes A and C share."""

    team_at = ("team", "name")
    models_at = ("models",)
    playground_at = ("features", "playgroundAccess")
    classification_at = ("dataClassification",)
    expires_at = ("expires",)

    team: Team = Field(description="who asks, with at least 'name' and 'owner'")
    limits: Limits = Limits()
    features: Features = Features()
    data_classification: Classification = "internal"
    expires: Day | None = Field(default=None, description=EXPIRES)

    def details(self) -> RequestDetails:
        return RequestDetails(
            team=self.team.name,
            display_name=self.team.display_name or self.team.name,
            owner=self.team.owner,
            cost_center=self.team.cost_center,
            entra_group=self.team.entra_group,
            tokens_per_minute=self.limits.tokens_per_minute,
            daily_token_quota=self.limits.daily_token_quota,
            playground_access=self.features.playground_access,
            tracing_enabled=self.features.tracing_enabled,
            data_classification=self.data_classification,
            expires=self.expires,
            requests_per_minute=self.limits.requests_per_minute,
        )


class QuotaSchema(Schema):
    """So many tokens in each period."""

    tokens: Tokens = Field(description="how many tokens")
    period: Period = Field(description="Hourly, Daily, Weekly, Monthly or Yearly")


class FoundryEntry(Schema):
    """A model that Azure AI Foundry serves."""

    name: ModelName = Field(description=MODEL)
    tokens_per_minute: TokensPerMinute | None = Field(
        default=None, description="default: the catalogue's ceiling"
    )
    token_quota: QuotaSchema | None = None

    def requested_model(self, where: KeyPath) -> RequestedModel:
        """The entry in common words."""
        return RequestedModel(where, "foundry", self.name, self.tokens_per_minute, self._quota())

    def _quota(self) -> TokenQuota | None:
        return TokenQuota(self.token_quota.tokens, self.token_quota.period) if self.token_quota else None


class KaitoEntry(FoundryEntry):
    """A model on GPU nodes: shared with other teams, or on a workspace of the team's own."""

    dedicated: bool = False
    instance_type: InstanceType | None = Field(
        default=None, description="default: the catalogue's first instance type"
    )

    def requested_model(self, where: KeyPath) -> RequestedModel:
        return RequestedModel(
            where,
            "kaito",
            self.name,
            self.tokens_per_minute,
            self._quota(),
            self.dedicated,
            self.instance_type,
        )


class OpenAIEntry(FoundryEntry):
    """A model behind any other endpoint that speaks OpenAI's protocol."""

    def requested_model(self, where: KeyPath) -> RequestedModel:
        return RequestedModel(where, "openai", self.name, self.tokens_per_minute, self._quota())


class ModelsA(Schema):
    """The models asked for."""

    foundry: list[FoundryEntry] = Field(default_factory=list)
    kaito: list[KaitoEntry] = Field(default_factory=list)
    openai: list[OpenAIEntry] = Field(default_factory=list)


class ShapeA(_WithTeam):
    """An access request, the canonical form: models with limits of their own."""

    models: ModelsA = Field(
        description="lists of models under 'foundry', 'kaito', 'openai' or several of them"
    )

    @staticmethod
    def requested_models(document: Document) -> Iterator[RequestedModel | None]:
        kinds: list[tuple[str, type[FoundryEntry]]] = [
            ("foundry", FoundryEntry),
            ("kaito", KaitoEntry),
            ("openai", OpenAIEntry),
        ]
        for key, form in kinds:
            for where, raw in entries(document, ("models", key)):
                entry = parse_leniently(form, raw)
                yield entry.requested_model(where) if entry else None


class Choice(Schema):
    """Model names that count when `enabled`."""

    enabled: bool = True
    models: list[ModelName] = Field(default_factory=list)


class ModelsC(Schema):
    """The models asked for."""

    foundry: Choice = Choice()
    kaito: Choice = Choice()
    openai: Choice = Choice()


class ShapeC(_WithTeam):
    """An access request, the short form: model names only, limits for all of them together, KAITO always
    dedicated.
    """

    models: ModelsC = Field(
        description="'foundry', 'kaito', 'openai' or several, each with 'enabled' and 'models'"
    )

    @staticmethod
    def requested_models(document: Document) -> Iterator[RequestedModel | None]:
        shared: tuple[Provider, ...] = ("foundry", "openai")
        for provider in shared:
            for where, raw in _enabled(document, provider):
                yield RequestedModel(where, provider, raw) if isinstance(raw, str) else None
        for where, raw in _enabled(document, "kaito"):
            yield RequestedModel(where, "kaito", raw, dedicated=True) if isinstance(raw, str) else None


def entries(document: Document, where: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    """The entries of a list with their paths; none when there is no list."""
    found = document.get(where)
    for index, raw in enumerate(found if isinstance(found, list) else []):
        if document.knows((*where, index)):
            yield (*where, index), raw


def _enabled(document: Document, provider: str) -> Iterator[tuple[KeyPath, object]]:
    if document.get(("models", provider, "enabled")) is not False:
        yield from entries(document, ("models", provider, "models"))
