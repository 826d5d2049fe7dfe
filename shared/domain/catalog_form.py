"""The catalogue as it is written, and what its entries may not say together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from shared.domain import names
from shared.domain.document import Document
from shared.domain.problem import Problem, quote
from shared.domain.wishes import Provider
from shared.domain.written import InstanceType, ModelName, Tokens, TokensPerMinute, Written, refusal, salvage

_ENDPOINT = r"^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/v1$"
_SERVED_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"


def _endpoint(text: str) -> str:
    if not re.fullmatch(_ENDPOINT, text):
        raise refusal(
            "BadUrl", f"{quote(text)} must be a base URL that ends in /v1, such as https://contoso-ai.openai.azure.com/openai/v1."
        )
    return text


def _served_name(text: str) -> str:
    if not re.fullmatch(_SERVED_NAME, text):
        raise refusal("BadServedName", f"{quote(text)} must have only letters, digits and . _ : / - in it.")
    return text


Endpoint = Annotated[str, Field(max_length=512), AfterValidator(_endpoint), WithJsonSchema({"type": "string", "pattern": _ENDPOINT})]
ServedName = Annotated[str, AfterValidator(_served_name), WithJsonSchema({"type": "string", "pattern": _SERVED_NAME})]
Count = Annotated[int, Field(ge=1, le=1000)]


class WrittenDedicated(Written):
    """Permission for workspaces of a team's own."""

    instance_types: list[InstanceType] = Field(min_length=1, description="the allowed instance types, the default first")
    per_team: Count = Field(default=1, description="how many dedicated workspaces, of any model, a team with one of this model may have")
    total: Count = Field(description="how many dedicated workspaces of this model all teams together may have")


class WrittenModel(Written):
    """A model on offer."""

    name: ModelName = Field(description="the name that requests and callers use, such as gpt-4.1")
    provider: Provider = Field(description="foundry or kaito")
    endpoint: Endpoint | None = Field(default=None, description="the OpenAI-compatible base URL of the backend, ending in /v1")
    served_name: ServedName | None = Field(default=None, description="what the backend calls the model; default: name")
    preset: ServedName | None = Field(default=None, description="the KAITO preset that a dedicated workspace runs")
    max_tokens_per_minute: TokensPerMinute | None = Field(default=None, description="the most that one team may ask for")
    max_daily_tokens: Tokens | None = Field(default=None, description="the most that one team may use in a day")
    dedicated: WrittenDedicated | None = Field(default=None, description="permission for workspaces of a team's own")


class WrittenCatalog(Written):
    """The models that requests may name: platform/config/model_catalog.yaml."""

    models: list[WrittenModel] = Field(min_length=1, description="the models on offer")


Fault = tuple[str, str, str]
"""A key, a reason and a message."""


def contradictions(document: Document) -> Iterator[Problem]:
    """What each entry may say by itself, but not together with its other keys or with the other entries."""
    entries = document.get(("models",))
    seen: dict[str, str] = {}
    for index, raw in enumerate(entries if isinstance(entries, list) else []):
        model = salvage(WrittenModel, raw)
        if model is not None:
            for key, reason, message in [*_clashes(model, seen), *_faults(model, raw)]:
                yield document.problem(("models", index, key), reason, message)


def _clashes(model: WrittenModel, seen: dict[str, str]) -> Iterator[Fault]:
    """`seen`: the names of the entries before, by slug; this entry's name is added."""
    slug = names.slug(model.name)
    if fault := names.slug_fault(model.name):
        yield "name", fault[0], f"{quote(model.name)} cannot be a model's name: {fault[1]}."
    if seen.get(slug) == model.name:
        yield "name", "DuplicateModel", f"The model {quote(model.name)} stands here a second time. Remove one of the two."
    elif slug in seen:
        yield (
            "name",
            "DuplicateSlug",
            f"{quote(model.name)} and {quote(seen[slug])} have the same remote name '{slug}'. Rename one of them.",
        )
    seen.setdefault(slug, model.name)


def _faults(model: WrittenModel, raw: Mapping[str, object]) -> Iterator[Fault]:
    return _foundry_faults(model, raw) if model.provider == "foundry" else _kaito_faults(raw)


def _foundry_faults(model: WrittenModel, raw: Mapping[str, object]) -> Iterator[Fault]:
    if raw.get("endpoint") is None:
        yield "name", "MissingKey", f"The foundry model {quote(model.name)} has no 'endpoint'. Add its base URL."
    elif model.endpoint is not None and not model.endpoint.startswith("https://"):
        yield "endpoint", "BadUrl", "A foundry endpoint must begin with https://: the platform's credentials travel with each call."
    for key in ("preset", "dedicated"):
        if raw.get(key) is not None:
            yield key, "NotAllowed", f"'{key}' is for kaito models only. Remove it, or set 'provider: kaito'."


def _kaito_faults(raw: Mapping[str, object]) -> Iterator[Fault]:
    if raw.get("endpoint") is None and raw.get("dedicated") is None:
        yield (
            "name",
            "MissingKey",
            "Nothing serves this model. Add 'endpoint' (a shared workspace), 'dedicated' (workspaces of a team's own), or both.",
        )
    if raw.get("dedicated") is not None and raw.get("preset") is None:
        yield "dedicated", "MissingKey", "'preset' is missing. Add the KAITO preset that dedicated workspaces run, such as phi-4."
