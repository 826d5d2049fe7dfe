"""Shape B: a request as a Kubernetes ConfigMap, in which every value of `data` is text and `data.models` is
YAML in a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from shared.catalog.terms import Classification, Provider
from shared.documents.document import Document
from shared.documents.field_types import (
    Day,
    Email,
    FlagText,
    GroupId,
    InstanceType,
    Line,
    ModelName,
    RequestsPerMinuteText,
    Schema,
    TeamName,
    TokensPerMinuteText,
    TokensText,
    parse_leniently,
)
from shared.documents.problem import Problem, problem_at, quote
from shared.documents.strict_yaml import embed
from shared.requests.details import RequestDetails, RequestedModel
from shared.requests.shapes import EXPIRES, GROUP, MODEL, OWNER, TEAM, Shape, entries

_MODELS, _LABELS = ("data", "models"), ("metadata", "labels")


REQUEST_TYPE = "mergekey.dev/request-type"


class Labels(Schema):
    """Two labels are required; others are free. The prefix of `<prefix>/request-type` is free, too."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]

    managed_by: Literal["gitops"] = Field(alias="app.kubernetes.io/managed-by", description="gitops")


class Metadata(Schema):
    """The ConfigMap's own name and labels."""

    name: str = Field(description="the team's name and '-access-request'")
    namespace: Line | None = None
    labels: Labels = Field(
        description=f"'app.kubernetes.io/managed-by: gitops' and '{REQUEST_TYPE}: model-access'"
    )
    annotations: dict[str, str] = Field(default_factory=dict)


class ModelEntry(Schema):
    """A model in the text `data.models`. A KAITO model with an instance type gets a workspace of its own."""

    name: ModelName = Field(description=MODEL)
    type: Provider = Field(description="foundry, kaito or openai")
    enabled: bool = True
    instance_type: InstanceType | None = None


class Data(Schema):
    """The request itself."""

    team: TeamName = Field(description=TEAM)
    display_name: Line | None = Field(default=None, description="the team's name for people")
    owner: Email = Field(description=OWNER)
    cost_center: Line | None = Field(default=None, description="who pays")
    entra_group: GroupId | None = Field(default=None, description=GROUP)
    models: Annotated[list[ModelEntry], WithJsonSchema({"type": "string"})] = Field(
        description="a text ('models: |') with a list of name, type, enabled, instanceType"
    )
    tokens_per_minute: TokensPerMinuteText | None = None
    daily_token_quota: TokensText | None = None
    requests_per_minute: RequestsPerMinuteText | None = None
    playground_access: FlagText = Field(default=False, description="a Foundry project to try models in")
    tracing_enabled: FlagText = False
    data_classification: Classification = "internal"
    expires: Day | None = Field(default=None, description=EXPIRES)


class ShapeB(Shape):
    """An access request as a ConfigMap."""

    team_at = ("data", "team")
    models_at = _MODELS
    playground_at = ("data", "playgroundAccess")
    classification_at = ("data", "dataClassification")
    expires_at = ("data", "expires")
    named_after_team = ("metadata", "name")

    api_version: Literal["v1"] = Field(description="v1")
    kind: Literal["ConfigMap"] = Field(description="ConfigMap")
    metadata: Metadata = Field(description="the name and the labels")
    data: Data = Field(description="the request")

    @staticmethod
    def prepared(document: Document) -> Document:
        """The document with the text `data.models` read as YAML."""
        document = replace(document, problems=(*document.problems, *_label_problems(document)))
        written = document.get(_MODELS)
        if isinstance(written, str) and document.knows(_MODELS):
            return embed(document, _MODELS)
        if isinstance(written, list):
            advice = (
                "'data.models' must be a text, as every value of a ConfigMap: write 'models: |' and indent "
                "the list below it."
            )
            return replace(
                document, problems=(*document.problems, document.problem(_MODELS, "WrongType", advice))
            )
        return document

    @staticmethod
    def requested_models(document: Document) -> Iterator[RequestedModel | None]:
        for where, raw in entries(document, _MODELS):
            entry = parse_leniently(ModelEntry, raw)
            if entry is None:
                yield None
            elif entry.enabled:
                dedicated = entry.type == "kaito" and entry.instance_type is not None
                yield RequestedModel(
                    where, entry.type, entry.name, dedicated=dedicated, instance_type=entry.instance_type
                )

    def details(self) -> RequestDetails:
        data = self.data
        return RequestDetails(
            team=data.team,
            display_name=data.display_name or data.team,
            owner=data.owner,
            cost_center=data.cost_center,
            entra_group=data.entra_group,
            tokens_per_minute=data.tokens_per_minute,
            daily_token_quota=data.daily_token_quota,
            playground_access=data.playground_access,
            tracing_enabled=data.tracing_enabled,
            data_classification=data.data_classification,
            expires=data.expires,
            requests_per_minute=data.requests_per_minute,
        )


def _label_problems(document: Document) -> Iterator[Problem]:
    """The problems of the label that tells what the ConfigMap is."""
    labels = document.get(_LABELS)
    if not isinstance(labels, dict) or not document.knows(_LABELS):
        return
    found = [key for key in labels if key.split("/")[1:] == ["request-type"]]
    if not found:
        place = document.key_at(_LABELS)
        advice = f"A label '<prefix>/request-type' is missing. Add '{REQUEST_TYPE}: model-access'."
        yield problem_at(document.path, place, "MissingKey", advice)
    for key in found:
        if isinstance(labels[key], str) and labels[key] != "model-access":
            advice = f"{quote(key)} must be 'model-access', not {quote(labels[key])}."
            yield document.problem((*_LABELS, key), "NotAllowed", advice)
