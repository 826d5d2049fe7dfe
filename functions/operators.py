"""What the operators' calls have in common: who may call, what they may ask, how they are answered. Everything is JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import bootstrap
from shared.adapters.entra import Caller, Refused, Role
from shared.bootstrap import RealApp
from shared.domain.letters import MOST_REPLAYS, Filter, Group, Letter
from shared.errors import MergekeyError, TemporaryError

Work = Callable[[RealApp, Caller], Awaitable[tuple[int, Any]]]
Number = Annotated[int, Field(gt=0, lt=2**63)]

#: Of one call: each letter takes some calls of Service Bus, and Azure ends an HTTP call after 230 seconds.
MOST_AT_ONCE = 200


class Asked(BaseModel):
    """What a caller sends. A name that is not known is refused: a misspelled filter must not mean "all"."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Query(Asked):
    """Of a list. `older_minutes`: only letters of at least this age; `check`: say which teams have converged since."""

    team: str | None = None
    stage: str | None = None
    reason: str | None = None
    older_minutes: float | None = Field(default=None, ge=0, le=10**6)
    up_to: Number | None = None
    first: Number = Field(default=1, alias="from")
    most: int = Field(default=100, ge=1, le=500)
    check: bool = False

    def filter(self, now: datetime) -> Filter:
        before = None if self.older_minutes is None else now - timedelta(minutes=self.older_minutes)
        return Filter(self.team, self.stage, self.reason, before, self.up_to)


class ReplayForm(Asked):
    """Exactly these letters, by the numbers that were listed."""

    sequences: list[Number] = Field(min_length=1, max_length=MOST_AT_ONCE)
    dry_run: bool = False


class DiscardForm(ReplayForm):
    """`why` is kept in the log. `only_converged`: refuse letters whose team has not converged."""

    why: str = Field(min_length=3, max_length=500)
    only_converged: bool = False


class SweepForm(Asked):
    deep: bool = False


async def answered(req: func.HttpRequest, role: Role, work: Work) -> func.HttpResponse:
    """The answer of the work, if the caller may have it done; else why not, as `{"error": {"reason", "message"}}`."""
    app = bootstrap.app()
    try:
        if app.tokens is None:
            return _error(503, "NotSetUp", "this platform has no operators' API: ENTRA_TENANT_ID and API_AUDIENCE are not set")
        caller = await app.tokens.require(req.headers.get("authorization"), role)
        status, body = await work(app, caller)
        return _json(status, body)
    except Refused as refused:
        return _error(refused.status, refused.reason, refused.message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return _error(400, "BadRequest", f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}")
    except MergekeyError as error:
        return _error(503 if isinstance(error, TemporaryError) else 502, error.reason, error.message)


def not_found(sequence: int) -> tuple[int, Any]:
    return 404, {"error": {"reason": "Gone", "message": f"there is no dead letter {sequence} any more"}}


def letter_json(letter: Letter) -> dict[str, Any]:
    """All but the body."""
    shown = {name: getattr(letter, name) for name in ("sequence", "stage", "team", "reason", "message", "actor", "attempts", "replays")}
    return {
        **shown,
        "enqueued": letter.enqueued.isoformat(timespec="seconds"),
        "most_replays": MOST_REPLAYS,
        "root": letter.root,
        "session": letter.session,
    }


def group_json(group: Group) -> dict[str, Any]:
    shown = {name: getattr(group, name) for name in ("stage", "reason", "actor", "count", "last")}
    return {**shown, "oldest": group.oldest.isoformat(timespec="seconds")}


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> func.HttpResponse:
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return func.HttpResponse(json.dumps(body), status_code=status, headers=kept, mimetype="application/json")


def _error(status: int, reason: str, message: str) -> func.HttpResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return _json(status, {"error": {"reason": reason, "message": message}}, headers)
