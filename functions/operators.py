"""Common to all HTTP functions for people: authorization, input, answers. Answers are JSON, and errors are
problems of RFC 9457 (https://www.rfc-editor.org/rfc/rfc9457).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import azure.functions as func
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from shared import bootstrap, telemetry
from shared.adapters.entra import Caller, Refused, Role
from shared.bootstrap import RealApp
from shared.errors import MergekeyError, TemporaryError
from shared.messaging.dead_letters import Filter
from shared.messaging.routes import BY_WORD, STAGES
from shared.names import MAX_TEAM_LENGTH, TEAM_PATTERN

#: Returns the status and the body of an answer.
Handler = Callable[[func.HttpRequest, RealApp, Caller], Awaitable[tuple[int, Any]]]
Trigger = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]
Q = TypeVar("Q", bound=BaseModel)


def _whole(value: object) -> object:
    """JSON has one type for numbers: 7.0 is 7."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Number = Annotated[int, Field(gt=0, lt=2**63), BeforeValidator(_whole)]


def _stage(word: str) -> str:
    """An unknown stage is an error, because an empty list would say that there are no such letters. The empty
    word stands for letters without a stage.
    """
    if word and word not in BY_WORD:
        known = ", ".join(stage.name for stage in STAGES)
        raise PydanticCustomError(
            "unknown_stage",
            "there is no stage {word}; there are {known}",
            {"word": repr(word), "known": known},
        )
    return BY_WORD[word].name if word else ""


StageName = Annotated[str, AfterValidator(_stage), WithJsonSchema({"type": "string", "enum": ["", *BY_WORD]})]

TeamName = Annotated[str, Field(pattern=TEAM_PATTERN, max_length=MAX_TEAM_LENGTH)]

#: Letters of one call: each takes some requests to Service Bus, and Azure ends a call after 230 seconds.
MAX_LETTERS = 200


class Input(BaseModel):
    """Input of a caller. Unknown names are refused: a misspelled filter must not mean "all"."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoQuery(Input):
    """No parameters."""


class Query(Input):
    """Of a list. `older_minutes`: only letters of at least this age; `check`: say which teams have converged
    since.
    """

    team: str | None = None
    stage: StageName | None = None
    reason: str | None = None
    older_minutes: float | None = Field(default=None, ge=0, le=10**6)
    up_to: Number | None = None
    first: Number = Field(default=1, alias="from")
    most: int = Field(default=100, ge=1, le=500)
    check: bool = False

    def filter(self, now: datetime) -> Filter:
        before = None if self.older_minutes is None else now - timedelta(minutes=self.older_minutes)
        return Filter(self.team, self.stage, self.reason, before, self.up_to)


class HealthQuery(Input):
    """`deep`: check every remote system. `code` is accepted because monitors may send a function key."""

    deep: bool = False
    code: str | None = None


class Form(Input):
    """A body. JSON has types of its own, so 0 is not false and "7" is no number."""

    model_config = ConfigDict(strict=True)


class ReplayForm(Form):
    """Exactly these letters, by their listed numbers."""

    sequences: list[Number] = Field(min_length=1, max_length=MAX_LETTERS)
    dry_run: bool = False


class DiscardForm(ReplayForm):
    """`why` is kept in the log. `only_converged`: skip letters whose team has not converged."""

    why: str = Field(min_length=3, max_length=500)
    only_converged: bool = False


class FindingsQuery(Input):
    """`team`: only what concerns this team, or the catalogue."""

    team: TeamName | None = None


class SweepForm(Form):
    """`team`: only this team, or the catalogue."""

    deep: bool = False
    team: TeamName | None = None


def authorized(role: Role | None = None) -> Callable[[Handler], Trigger]:
    """Make an HTTP function of a handler, for callers with this app role, or with any valid token."""

    def decorate(handler: Handler) -> Trigger:
        async def trigger(req: func.HttpRequest) -> func.HttpResponse:
            try:
                return await _answer(req, role, handler)
            finally:
                telemetry.measured(handler.__name__)

        # No `functools.wraps`: the host reads the signature, and would see the handler's.
        trigger.__name__, trigger.__doc__ = handler.__name__, handler.__doc__
        return trigger

    return decorate


async def _answer(req: func.HttpRequest, role: Role | None, handler: Handler) -> func.HttpResponse:
    app = bootstrap.app()
    try:
        if app.tokens is None:
            return _error(
                503, "NotSetUp", "this platform answers nobody: ENTRA_TENANT_ID and API_AUDIENCE are not set"
            )
        authorization = req.headers.get("authorization")
        caller = await (
            app.tokens.identify(authorization) if role is None else app.tokens.require(authorization, role)
        )
        return as_json(*await handler(req, app, caller))
    except Refused as refused:
        return _error(refused.status, refused.reason, refused.message)
    except ValidationError as error:
        return bad_request(error)
    except MergekeyError as error:
        return _error(503 if isinstance(error, TemporaryError) else 502, error.reason, error.message)


def parse_query(req: func.HttpRequest, query: type[Q]) -> Q:
    """Raises ValidationError for parameters that this query does not have."""
    return query.model_validate(dict(req.params))


def bad_request(error: ValidationError) -> func.HttpResponse:
    """400, with the first error of the input."""
    first = error.errors(include_url=False, include_input=False)[0]
    return _error(400, "BadRequest", f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}")


def to_json(record: object) -> Any:
    """A record as JSON: times and dates in ISO 8601, money as text, so that no digit is lost."""
    return TypeAdapter(type(record)).dump_python(record, mode="json")


def problem(status: int, reason: str, message: str) -> tuple[int, Any]:
    """Status and body of an error: `reason` is for programs, `detail` for people."""
    return status, {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "reason": reason,
        "detail": message,
    }


def as_json(status: int, body: Any, headers: dict[str, str] | None = None) -> func.HttpResponse:
    """A response that no cache stores: it may be meant for one caller only."""
    all_headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    kind = "application/json" if status < 400 else "application/problem+json"
    return func.HttpResponse(json.dumps(body), status_code=status, headers=all_headers, mimetype=kind)


def _error(status: int, reason: str, message: str) -> func.HttpResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return as_json(*problem(status, reason, message), headers)
