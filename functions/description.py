"""The description of the HTTP functions for people: OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1).

Its schemas are generated from the classes that inputs are parsed into and answers are made of. GitHub's
webhook is not described here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from functions.answers import Answers, LetterPage, ProblemDetails, Queued, WholeLetter
from functions.operators import DiscardForm, FindingsQuery, HealthQuery, Query, ReplayForm, SweepForm
from shared import names
from shared.api.findings import FindingList, PushOutcome
from shared.api.records import Health, ModelList, ProviderList, SettingList, TeamList, TeamRecord

_REF = "#/components/schemas/{model}"
_NUMBER = {"type": "integer", "minimum": 1, "exclusiveMaximum": 2**63}
_TEAM = {
    "type": "string",
    "pattern": names.TEAM_PATTERN,
    "minLength": names.MIN_TEAM_LENGTH,
    "maxLength": names.MAX_TEAM_LENGTH,
}
_COMMIT = {"type": "string", "pattern": "^[0-9A-Fa-f]{7,64}$"}
_PARAMETERS = {"sequence": _NUMBER, "team": _TEAM, "commit": _COMMIT}
_TROUBLE = {
    400: "What was asked is not understood.",
    401: "There is no valid access token for this API.",
    403: "The token has not the app role that this needs, or does not say what must be known.",
    404: "There is none, or it is none of the caller's business.",
    502: "A service behind this refuses what it was asked: the platform must act.",
    503: "A service behind this cannot answer now, or this platform is not set up for it.",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One HTTP function. `who`: who may call it; `answer`: the body with `status`, None for any JSON."""

    name: str
    method: Literal["get", "post"]
    path: str
    summary: str
    who: Literal["anybody", "any token", "Reader", "Operator"]
    answer: Any
    status: int = 200
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None

    @property
    def parameters(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def troubles(self) -> Iterator[int]:
        """Health is public, and its query is for Readers."""
        guarded = self.who != "anybody" or self.query is not None
        yield from (400, 401, 403) if guarded else ()
        yield from (404,) if self.parameters else ()
        yield from (502, 503) if guarded else ()


OPERATIONS = (
    Operation(
        "list_teams",
        "get",
        "/teams",
        "The teams that the caller may see: Readers all, members their own.",
        "any token",
        TeamList,
    ),
    Operation(
        "show_team",
        "get",
        "/teams/{team}",
        "One team: what was granted, how each part of it stands.",
        "any token",
        TeamRecord,
    ),
    Operation(
        "list_models",
        "get",
        "/models",
        "The catalogue, and what was granted of it; Readers see to whom.",
        "any token",
        ModelList,
    ),
    Operation(
        "list_providers",
        "get",
        "/providers",
        "The backends of the models, beside what the catalogue says.",
        "Reader",
        ProviderList,
    ),
    Operation(
        "show_config",
        "get",
        "/config",
        "Every setting; of secrets only whether they are set.",
        "Reader",
        SettingList,
    ),
    Operation("describe", "get", "/openapi.json", "This description.", "anybody", None),
    Operation(
        "health",
        "get",
        "/health",
        "Whether the app is up; for Readers, whether all is behind it.",
        "anybody",
        Health,
        query=HealthQuery,
    ),
    Operation(
        "list_dead_letters",
        "get",
        "/dead-letters",
        "What could not be done.",
        "Reader",
        LetterPage,
        query=Query,
    ),
    Operation(
        "show_dead_letter",
        "get",
        "/dead-letters/{sequence}",
        "One dead letter, with its message.",
        "Reader",
        WholeLetter,
    ),
    Operation(
        "replay_dead_letters",
        "post",
        "/dead-letters/replay",
        "Try these once more.",
        "Operator",
        Answers,
        body=ReplayForm,
    ),
    Operation(
        "discard_dead_letters",
        "post",
        "/dead-letters/discard",
        "Take these out for good.",
        "Operator",
        Answers,
        body=DiscardForm,
    ),
    Operation(
        "list_findings",
        "get",
        "/findings",
        "What a sweep finds now, and what it would do: nothing is written.",
        "Reader",
        FindingList,
        query=FindingsQuery,
    ),
    Operation(
        "show_push",
        "get",
        "/pushes/{commit}",
        "What became of a commit, by team and part.",
        "Reader",
        PushOutcome,
    ),
    Operation(
        "order_sweep",
        "post",
        "/sweeps",
        "Look at everything now, or at one team.",
        "Operator",
        Queued,
        status=202,
        body=SweepForm,
    ),
)


@cache
def description() -> dict[str, Any]:
    """The whole document."""
    schemas, references = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mergekey",
            "version": "1",
            "description": "What a team and the platform can ask. No answer holds a key.",
        },
        "servers": [{"url": "/api"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"entra": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _schemas() -> tuple[dict[str, Any], dict[Any, Any]]:
    """All schemas by name, and the reference to the schema of each class."""
    told = {operation.answer for operation in OPERATIONS if operation.answer is not None} | {ProblemDetails}
    asked = {operation.body for operation in OPERATIONS if operation.body is not None}
    inputs = [(kind, "serialization", TypeAdapter(kind)) for kind in sorted(told, key=_name)]
    inputs += [(kind, "validation", TypeAdapter(kind)) for kind in sorted(asked, key=_name)]
    # modes are literals
    found, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF)  # type: ignore[arg-type]
    schemas: dict[str, Any] = definitions["$defs"]
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return schemas, {kind: reference for (kind, _), reference in found.items()}


def _name(kind: type) -> str:
    return kind.__name__


def _described(operation: Operation, references: dict[Any, Any]) -> dict[str, Any]:
    needs = {"anybody": "", "any token": " Any valid token will do."}.get(
        operation.who, f" Needs the app role {operation.who}."
    )
    answer = {"type": "object"} if operation.answer is None else references[operation.answer]
    responses = {str(operation.status): _answer("Done.", "application/json", answer)}
    wrong = references[ProblemDetails]
    responses |= {
        str(status): _answer(_TROUBLE[status], "application/problem+json", wrong)
        for status in operation.troubles
    }
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"{operation.summary}{needs}",
        "parameters": list(_parameters(operation)),
        "responses": responses,
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": references[operation.body]}},
        }
    if operation.who != "anybody":
        return {**described, "security": [{"entra": []}]}
    return {**described, "security": [{}, {"entra": []}]} if operation.query else described


def _answer(what: str, kind: str, schema: Any) -> dict[str, Any]:
    return {"description": what, "content": {kind: {"schema": schema}}}


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in operation.parameters:
        yield {"name": name, "in": "path", "required": True, "schema": _PARAMETERS[name]}
    properties = operation.query.model_json_schema()["properties"] if operation.query else {}
    for name, schema in properties.items():
        # A query cannot send null: an optional parameter is left out.
        given = next((each for each in schema.get("anyOf", ()) if each != {"type": "null"}), schema)
        yield {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {key: given[key] for key in given if key not in ("title", "default")},
        }
