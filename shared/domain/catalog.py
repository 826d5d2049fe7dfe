"""The catalogue: the models a request may name, who serves them and how much a team may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from shared.domain import names
from shared.domain.catalog_form import WrittenCatalog, WrittenModel, contradictions
from shared.domain.explain import explain
from shared.domain.problem import Problem, capped
from shared.domain.strict_yaml import read_bytes
from shared.domain.wishes import Provider


@dataclass(frozen=True, slots=True)
class Dedicated:
    """A model's permission for workspaces of a team's own.

    `instance_types`: Azure VM sizes, the default first. `per_team`: how many dedicated workspaces, of any model, a team may have when
    one of them is of this model. `total`: how many of this model all teams together may have.
    """

    instance_types: tuple[str, ...]
    per_team: int
    total: int


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model on offer.

    `endpoint` is an OpenAI-compatible `/v1` base URL, None for a model that only dedicated workspaces serve. `served_name` is what the
    backend calls the model. `max_tokens_per_minute` is a team's ceiling; `max_daily_tokens` the ceiling of its quota, per day.
    """

    name: str
    provider: Provider
    endpoint: str | None
    served_name: str
    preset: str | None = None
    max_tokens_per_minute: int | None = None
    max_daily_tokens: int | None = None
    dedicated: Dedicated | None = None

    @property
    def slug(self) -> str:
        """The model in remote names."""
        return names.slug(self.name)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models on offer, sorted by name."""

    models: tuple[CatalogModel, ...]

    def model(self, name: str) -> CatalogModel | None:
        """The model of that name, None when it is not on offer."""
        return next((model for model in self.models if model.name == name), None)


@dataclass(frozen=True, slots=True)
class CatalogVerdict:
    """The catalogue, or None and what is wrong with it."""

    catalog: Catalog | None
    problems: tuple[Problem, ...]


def read_catalog(path: str, content: bytes) -> CatalogVerdict:
    """The catalogue in a file's content. Never raises; all problems at once."""
    document = read_bytes(path, content)
    problems = list(document.problems)
    written: WrittenCatalog | None = None
    try:
        written = WrittenCatalog.model_validate(document.data)
    except ValidationError as error:
        problems.extend(explain(error, WrittenCatalog, document))
    problems.extend(contradictions(document))
    if problems or written is None:
        return CatalogVerdict(None, capped(problems))
    return CatalogVerdict(Catalog(tuple(sorted(map(_model, written.models), key=lambda model: model.name))), ())


def _model(written: WrittenModel) -> CatalogModel:
    asked = written.dedicated
    return CatalogModel(
        name=written.name,
        provider=written.provider,
        endpoint=written.endpoint,
        served_name=written.served_name or written.name,
        preset=written.preset,
        max_tokens_per_minute=written.max_tokens_per_minute,
        max_daily_tokens=written.max_daily_tokens,
        dedicated=Dedicated(tuple(asked.instance_types), asked.per_team, asked.total) if asked else None,
    )
