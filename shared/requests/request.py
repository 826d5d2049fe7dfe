"""Reads `access.yaml`, in any of its shapes, as an `AccessRequest`, or as all its problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from pydantic import ValidationError

from shared.catalog.capacity import Grant, Grants
from shared.catalog.catalog import Catalog
from shared.catalog.terms import Classification
from shared.documents.document import Document
from shared.documents.problem import START, Position, Problem, capped, listed, quote
from shared.documents.strict_yaml import read_bytes, secret_problems
from shared.documents.validation_messages import dotted, empty_values, explain
from shared.names import team_problem
from shared.requests.config_map import ShapeB
from shared.requests.details import ModelAccess, Period, RequestDetails, RequestedModel, TokenQuota
from shared.requests.entitlements import check_entitlements, granted, needs_call_limit
from shared.requests.paths import RequestPaths
from shared.requests.recognition import mixed_shapes, no_request, shape_of
from shared.requests.shapes import Shape, ShapeA, ShapeC

__all__ = [
    "SHAPES",
    "AccessRequest",
    "Classification",
    "ModelAccess",
    "ParsedRequest",
    "Period",
    "TokenQuota",
    "read_request",
]

SHAPES: tuple[type[Shape], ...] = (ShapeA, ShapeB, ShapeC)


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """The access that a team asks for, in whatever shape it was written.

    `models` are sorted by name and unique, at least one; the limits are over all of them together.
    `display_name` is the team's name where none was given. `entra_group` is an object id in lower case.
    `expires` is the last day, UTC.
    """

    team: str
    display_name: str
    owner: str
    cost_center: str | None
    entra_group: str | None
    models: tuple[ModelAccess, ...]
    tokens_per_minute: int | None
    daily_token_quota: int | None
    playground_access: bool
    tracing_enabled: bool
    data_classification: Classification
    expires: date | None
    requests_per_minute: int | None = None

    @property
    def has_own_models(self) -> bool:
        """Whether it asks for workspaces of its own."""
        return any(model.instance_type for model in self.models)

    @property
    def tokens(self) -> dict[str, Grant]:
        """The tokens per minute that it can take of each model's shared backends, None for no bound; for a
        dedicated workspace its instance type.
        """
        return {model.name: self._least(model) for model in self.models}

    def _least(self, model: ModelAccess) -> Grant:
        bounds = (model.tokens_per_minute, self.tokens_per_minute)
        least = min((bound for bound in bounds if bound is not None), default=None)
        return least if model.instance_type is None else model.instance_type


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """The request, or None and its problems.

    `team` is the team that the file names, even when the rest is wrong; `team_at`, `models_at` and
    `expires_at` say where it, the models and the last day stand.
    `tokens` is what is asked for of each model's shared backends in a minute: None for no bound, 0 for
    nothing, the instance type for a dedicated workspace.
    """

    request: AccessRequest | None
    problems: tuple[Problem, ...]
    team: str | None = None
    team_at: Position = START
    models_at: Mapping[str, Position] = field(default_factory=dict)
    tokens: Grants = field(default_factory=dict)
    expires_at: Position = START


def read_request(
    path: str,
    content: bytes,
    catalog: Catalog | None,
    paths: RequestPaths,
    leaving: frozenset[str] = frozenset(),
) -> ParsedRequest:
    """The request in a file's content. Never raises; all problems at once.

    There is a request if and only if there are no problems. Without a catalogue (it is missing or wrong
    itself) only the problems that do not depend on it are found, and there is no request. `leaving` are
    models that the catalogue dropped while they were in use: they are a problem of the catalogue, not of the
    request.
    """
    document = read_bytes(path, content)
    shape = shape_of(document.data)
    secrets = secret_problems(path, content, "SecretInRequest")
    if shape is None:
        return ParsedRequest(None, capped([*document.problems, *secrets, *no_request(document)]))
    document = shape.prepared(document)
    entries = list(shape.requested_models(document))
    requested_models = [requested for requested in entries if requested is not None]
    written, wrong = _validated(shape, document, catalog)
    team, team_wrong = _claimed_team(shape, document, paths)
    problems = [
        *document.problems,
        *secrets,
        *wrong,
        *team_wrong,
        *_cross_field_problems(shape, document),
        *_no_models(shape, document, entries, wrong),
        *_entitlement_problems(shape, document, requested_models, catalog, leaving),
    ]
    details = written.details() if written is not None else None
    problems += _call_limit_problems(document, requested_models, catalog, details)
    request = (
        None
        if problems or details is None or catalog is None
        else _request(details, requested_models, catalog)
    )
    return ParsedRequest(
        request,
        capped(problems),
        team,
        document.at(shape.team_at),
        models_at={requested.name: document.at(requested.where) for requested in requested_models},
        tokens={requested.name: _tokens(requested, catalog, details) for requested in requested_models},
        expires_at=document.at(shape.expires_at),
    )


def _no_models(
    shape: type[Shape],
    document: Document,
    entries: Sequence[RequestedModel | None],
    wrong: Sequence[Problem],
) -> Iterator[Problem]:
    """The problem of a request for no model; none where the form of its models is wrong."""
    where = shape.models_at
    asked = document.get(where)
    lines = {place.line for way, place in document.values.items() if way[: len(where)] == where}
    told = any(each.line in lines for each in wrong)
    if not entries and asked is not None and not told and document.knows_all(where):
        yield document.problem(where, "NoModels", "The request asks for no model. Add at least one.")


def _entitlement_problems(
    shape: type[Shape],
    document: Document,
    requested_models: Sequence[RequestedModel],
    catalog: Catalog | None,
    leaving: frozenset[str],
) -> Iterator[Problem]:
    """The problems that depend on the catalogue; without one there are none."""
    if catalog is None:
        return
    written = document.get(shape.classification_at)
    known = document.knows(shape.classification_at)
    classification = (written or "internal") if known else None
    for requested, key, *problem in check_entitlements(requested_models, catalog, classification, leaving):
        yield document.problem((*requested.where, key), *problem)


def _call_limit_problems(
    document: Document,
    requested_models: Sequence[RequestedModel],
    catalog: Catalog | None,
    details: RequestDetails | None,
) -> Iterator[Problem]:
    if catalog is None or details is None or details.requests_per_minute is not None:
        return
    for requested, key, *problem in needs_call_limit(requested_models, catalog):
        yield document.problem((*requested.where, key), *problem)


def _tokens(requested: RequestedModel, catalog: Catalog | None, details: RequestDetails | None) -> Grant:
    """The tokens per minute that the request can take of the model's shared backends: the team-wide limit
    holds for each model, too. Of a dedicated workspace, its instance type.
    """
    model = catalog.model(requested.name) if catalog is not None else None
    if model is None or requested.dedicated:
        return 0 if model is None else granted(requested, model).instance_type or 0
    bounds = (
        granted(requested, model).tokens_per_minute,
        details.tokens_per_minute if details is not None else None,
    )
    return min((bound for bound in bounds if bound is not None), default=None)


def _validated(
    shape: type[Shape], document: Document, catalog: Catalog | None
) -> tuple[Shape | None, list[Problem]]:
    """The request, if it has the form of its shape; and the problems of its form."""
    mixed, empty = mixed_shapes(shape, document), list(empty_values(document))
    offer = [] if catalog is None else [model.name for model in catalog.models]
    try:
        return shape.model_validate(document.data, context=offer), empty
    except ValidationError as error:
        wrong = [*explain(error, shape, document), *empty]
    if mixed is None:
        return None, wrong
    others = [each for each in wrong if Position(each.line, each.column) not in mixed.places]
    return None, [mixed.problem, *others]


def _claimed_team(
    shape: type[Shape], document: Document, paths: RequestPaths
) -> tuple[str | None, list[Problem]]:
    team = document.get(shape.team_at)
    if not isinstance(team, str) or team_problem(team) is not None or not document.knows(shape.team_at):
        return None, []
    if team == paths.team_of(document.path):
        return team, []
    folder = paths.folder(document.path)
    if folder is None:
        advice = f"Requests are only read from {listed(paths.patterns)}. Move this file."
    else:
        advice = f"This file names the team {quote(team)}, but stands in the folder {quote(folder)}. "
        advice += f"Correct the name, or move the file to a folder {quote(team)} or {quote('team-' + team)}."
    return team, [document.problem(shape.team_at, "WrongFolder", advice)]


def _cross_field_problems(shape: type[Shape], document: Document) -> Iterator[Problem]:
    """The problems of keys that are valid by themselves but not together."""
    if document.get(shape.classification_at) == "restricted" and document.get(shape.playground_at) in (
        True,
        "true",
    ):
        advice = (
            "A playground does not pass the gateway, so it is not for restricted data. Write false here, or "
            "lower 'dataClassification'."
        )
        yield document.problem(shape.playground_at, "PlaygroundNotAllowed", advice)
    team, where = document.get(shape.team_at), shape.named_after_team
    if where is not None and isinstance(team, str) and team_problem(team) is None:
        found, expected = document.get(where), f"{team}-access-request"
        if isinstance(found, str) and document.knows(where) and found != expected:
            yield document.problem(
                where, "WrongName", f"{quote(dotted(where))} must be {quote(expected)}, not {quote(found)}."
            )


def _request(
    details: RequestDetails, requested_models: Sequence[RequestedModel], catalog: Catalog
) -> AccessRequest:
    known = ((requested, catalog.model(requested.name)) for requested in requested_models)
    models = sorted(
        (granted(requested, model) for requested, model in known if model is not None),
        key=lambda model: model.name,
    )
    return AccessRequest(
        team=details.team,
        display_name=details.display_name,
        owner=details.owner,
        cost_center=details.cost_center,
        entra_group=details.entra_group,
        models=tuple(models),
        tokens_per_minute=details.tokens_per_minute,
        daily_token_quota=details.daily_token_quota,
        playground_access=details.playground_access,
        tracing_enabled=details.tracing_enabled,
        data_classification=details.data_classification,
        expires=details.expires,
        requests_per_minute=details.requests_per_minute,
    )
