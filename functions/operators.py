"""What people's calls have in common: who may call, what they may ask, how they are answered. Everything is
JSON, and what went wrong is a problem of RFC 9457 (https://www.rfc-editor.org/rfc/rfc9457).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

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

from shared import bootstrap
from shared.adapters.entra import Caller, Refused, Role
from shared.bootstrap import RealApp
from shared.errors import MergekeyError, TemporaryError
from shared.messaging.dead_letters import MOST_REPLAYS, Filter, Group, Letter
from shared.messaging.routes import BY_WORD, STAGES

Work = Callable[[RealApp, Caller], Awaitable[tuple[int, Any]]]


def _whole(value: object) -> object:
    """JSON knows one kind of numbers: 7.0 is 7."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Number = Annotated[int, Field(gt=0, lt=2**63), BeforeValidator(_whole)]


def _stage(word: str) -> str:
    """A filter that no letter can have must not answer that there are none. The empty word stands for letters
    without a stage.
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

#: Of one call: each letter takes some calls of Service Bus, and Azure ends an HTTP call after 230 seconds.
MOST_AT_ONCE = 200


class Asked(BaseModel):
    """What a caller sends. A name that is not known is refused: a misspelled filter must not mean "all"."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Query(Asked):
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


class HealthQuery(Asked):
    """`deep`: ask every remote system. `code` is what monitors send where they are used to need a function
    key.
    """

    deep: bool = False
    code: str | None = None


class Form(Asked):
    """A body: JSON has types of its own, so 0 is not false and "7" no number."""

    model_config = ConfigDict(strict=True)


class ReplayForm(Form):
    """Exactly these letters, by the numbers that were listed."""

    sequences: list[Number] = Field(min_length=1, max_length=MOST_AT_ONCE)
    dry_run: bool = False


class DiscardForm(ReplayForm):
    """`why` is kept in the log. `only_converged`: skip letters whose team has not converged."""

    why: str = Field(min_length=3, max_length=500)
    only_converged: bool = False


class SweepForm(Form):
    deep: bool = False


async def authorized(req: func.HttpRequest, role: Role | None, work: Work) -> func.HttpResponse:
    """The answer of the work, if the caller may have it done; else why not. Without a role every valid token
    will do.
    """
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
        return as_json(*await work(app, caller))
    except Refused as refused:
        return _error(refused.status, refused.reason, refused.message)
    except ValidationError as error:
        return bad_request(error)
    except MergekeyError as error:
        return _error(503 if isinstance(error, TemporaryError) else 502, error.reason, error.message)


def bad_request(error: ValidationError) -> func.HttpResponse:
    """400, with the first thing that is wrong with what was sent."""
    first = error.errors(include_url=False, include_input=False)[0]
    return _error(400, "BadRequest", f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}")


def to_json(record: object) -> Any:
    """A record as JSON: moments and dates in ISO 8601, money as text, so that no digit is lost."""
    return TypeAdapter(type(record)).dump_python(record, mode="json")


def problem(status: int, reason: str, message: str) -> tuple[int, Any]:
    """An answer that says what is wrong: `reason` is for programs, `detail` for people."""
    return status, {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "reason": reason,
        "detail": message,
    }


def letter_json(letter: Letter) -> dict[str, Any]:
    """All but the body."""
    shown = {
        name: getattr(letter, name)
        for name in ("sequence", "stage", "team", "reason", "message", "actor", "attempts", "replays")
    }
    return {
        **shown,
        "enqueued": letter.enqueued.isoformat(timespec="seconds"),
        "most_replays": MOST_REPLAYS,
        "root": letter.root,
        "session": letter.session,
        "body_size": letter.body_size,
        "body_sha256": letter.body_sha256,
    }


def group_json(group: Group) -> dict[str, Any]:
    shown = {name: getattr(group, name) for name in ("stage", "reason", "actor", "count", "last")}
    return {**shown, "oldest": group.oldest.isoformat(timespec="seconds")}


def as_json(status: int, body: Any, headers: dict[str, str] | None = None) -> func.HttpResponse:
    """Nobody keeps it: what is told may be true for one caller only, and not for long."""
    kept = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    kind = "application/json" if status < 400 else "application/problem+json"
    return func.HttpResponse(json.dumps(body), status_code=status, headers=kept, mimetype=kind)


def _error(status: int, reason: str, message: str) -> func.HttpResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return as_json(*problem(status, reason, message), headers)
