"""The messages on Service Bus: frozen, versioned, in a CloudEvents 1.0 envelope (https://cloudevents.io,
structured JSON).

A message is a hint: it names the team and the revision. The text it carries is a cache, verified by Git's
blob hash. No message can hold a key.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.documents.problem import quote
from shared.errors import MalformedMessage, NewerMessage
from shared.git import blob_id
from shared.names import MAX_TEAM_LENGTH, TEAM_PATTERN

CONTENT_TYPE = "application/cloudevents+json"
#: Of a dead letter with only the beginning of a body that was too large.
CUT = "application/vnd.mergekey.cut"
#: Characters of a text among the properties of a dead letter, and of its message.
MAX_PROPERTY_LENGTH, MAX_MESSAGE_LENGTH = 128, 2000
#: The value of `To` that every subscription of the topic takes.
TO_ALL = "all"

Team = Annotated[str, Field(pattern=TEAM_PATTERN, max_length=MAX_TEAM_LENGTH)]
Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]


class Message(BaseModel):
    """The base class: `TYPE` is the CloudEvents type, its last part the version of the schema.

    Messages spell a field by its alias, the code by its name. The name may change, the alias may not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_by_name=True)
    TYPE: ClassVar[str]

    @property
    def session(self) -> str | None:
        """The Service Bus session, which keeps a team's messages in order."""
        return None

    def encode(self, message_id: str, source: str, now: datetime) -> bytes:
        """The envelope as UTF-8 JSON. `source` names the repository, `now` is when the message was made."""
        envelope = {
            "specversion": "1.0",
            "id": message_id,
            "type": self.TYPE,
            "source": source,
            "time": now.astimezone(UTC).isoformat(timespec="milliseconds"),
            "datacontenttype": "application/json",
            # Defaults are left out: an older version reads the messages of a newer one while both run.
            "data": self.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        }
        if self.session is not None:
            envelope["subject"] = self.session
        return json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read an envelope. Raises NewerMessage for what a newer version of `encode` may have written: the
        same type with a higher number, or with fields or words that are not known here; MalformedMessage for
        anything else.
        """
        try:
            envelope = json.loads(body)
            data = json.dumps(envelope["data"])
            version, kind, source = envelope["specversion"], envelope["type"], envelope.get("source")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise MalformedMessage(f"not a message of type {cls.TYPE}: {type(error).__name__}") from None
        ours = version == "1.0" and isinstance(source, str) and _SOURCE.fullmatch(source) is not None
        if version != "1.0" or kind != cls.TYPE:
            newer = ours and _is_later(kind, cls.TYPE)
            raise _unreadable(f"expected a message of type {cls.TYPE}", newer=newer)
        try:
            return cls.model_validate_json(data, by_alias=True, by_name=False)
        except ValidationError as error:
            newer = ours and _is_only_unknown(error)
            raise _unreadable(
                f"not a message of type {cls.TYPE}: {_first_problem(error)}", newer=newer
            ) from None


#: The source that the stages give to `encode`.
_SOURCE = re.compile(r"/repositories/[0-9]{1,20}")
_TYPE = re.compile(r"(?P<name>.+\.v)(?P<version>[1-9][0-9]{0,3})")


def _unreadable(message: str, *, newer: bool) -> NewerMessage | MalformedMessage:
    return NewerMessage(message) if newer else MalformedMessage(message)


def _is_later(kind: object, known: str) -> bool:
    """Whether a CloudEvents type is a known one of a higher version."""
    found, ours = _TYPE.fullmatch(str(kind)), _TYPE.fullmatch(known)
    if found is None or ours is None or found["name"] != ours["name"]:
        return False
    return int(found["version"]) > int(ours["version"])


def _is_only_unknown(error: ValidationError) -> bool:
    """Whether all problems are unknown fields, or unknown values of fields."""
    problems = error.errors(include_url=False)
    return all(
        problem["type"] == "extra_forbidden"
        or (problem["type"] == "literal_error" and isinstance(problem["input"], str))
        for problem in problems
    )


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{quote('.'.join(map(str, first['loc'])) or 'data')}: {first['msg']}"


class TeamMessage(Message):
    """The fields of AccessChange and DeliverKeys.

    `change` is `requested` (there is a request at `path`), `withdrawn` (at `commit` the guard let the
    withdrawal pass) or `held` (it did not: the product's marker is to say so). `leave` is sent by older
    versions with a withdrawal and not read. `blob` is Git's object id of the request and `text` its content;
    both are empty for a withdrawal, whose `granted` is the commit from which the withdrawn access was made.
    `cause` is a push, or a sweep.
    """

    change: Annotated[Literal["requested", "withdrawn", "held"], Field(alias="change")]
    team: Annotated[Team, Field(alias="team")]
    path: Annotated[str, Field(alias="path", max_length=1024)]
    commit: Annotated[Sha, Field(alias="commit")]
    blob: Annotated[Sha | Literal[""], Field(alias="blob")] = ""
    text: Annotated[str, Field(alias="text")] = ""
    cause: Annotated[Literal["push", "sweep"], Field(alias="cause")] = "push"
    granted: Annotated[Sha | Literal[""], Field(alias="granted")] = ""
    leave: Annotated[str, Field(alias="leave")] = ""

    @property
    def session(self) -> str | None:
        return self.team

    @property
    def revision(self) -> str:
        """Of the request that is to be granted, or of the access that is to be taken away."""
        return self.blob or self.granted

    def content(self) -> bytes | None:
        """The text, if Git's hash of it is the blob that the message names; None otherwise, and the text is
        not used.
        """
        content = self.text.encode()
        return content if self.blob and blob_id(content, len(self.blob)) == self.blob else None


class AccessChange(TeamMessage):
    """A team's access, or the catalogue, may have changed."""

    TYPE: ClassVar[str] = "dev.mergekey.access-change.v1"


class DeliverKeys(TeamMessage):
    """The team's product is in place: deliver its keys to the vault, or, after a withdrawal, disable them."""

    TYPE: ClassVar[str] = "dev.mergekey.deliver-keys.v1"


class Sweep(Message):
    """Compare everything: all teams of the branch, and grace periods that have ended.

    `why` is for people; `verdict` asks for the check run that a large push has not got yet; `deep` compares
    whole objects of all teams and not of a slice only; `team` leaves out all others, and the platform's own
    findings.
    """

    TYPE: ClassVar[str] = "dev.mergekey.sweep.v1"
    why: Annotated[str, Field(alias="why", max_length=200)]
    verdict: Annotated[bool, Field(alias="verdict")] = False
    deep: Annotated[bool, Field(alias="deep")] = False
    team: Annotated[Team | Literal[""], Field(alias="team")] = ""

    @property
    def session(self) -> str | None:
        return "sweep"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The properties of a message that a stage could not finish.

    They are application properties beside the original body, which is kept byte for byte and sent again by a
    replay. `correlation_id` and `hop` are those of the chain it ended (properties `root` and `sequence`),
    `replays` counts earlier replays. A body that leaves no room for the properties is cut: then `body_size`
    are its bytes and `body_sha256` is its SHA-256 in hexadecimal digits; else they are 0 and empty.
    """

    stage: str
    team: str
    reason: str
    message: str
    actor: str
    attempts: int
    message_id: str
    session: str
    correlation_id: str
    hop: int
    replays: int = 0
    body_size: int = 0
    body_sha256: str = ""

    def properties(self) -> dict[str, str | int | float | bool]:
        """Texts are cut, because some come from foreign messages: Service Bus allows 64 KiB for all
        properties.
        """
        texts = {
            "stage": self.stage,
            "team": self.team,
            "reason": self.reason,
            "actor": self.actor,
            "message-id": self.message_id,
            "session": self.session,
            "root": self.correlation_id,
        }
        counts = {"attempts": self.attempts, "sequence": self.hop, "replays": self.replays}
        if self.body_sha256:
            texts["body-sha256"], counts["body-size"] = self.body_sha256, self.body_size
        words = {name: truncate(value, MAX_PROPERTY_LENGTH) for name, value in texts.items()}
        return {**words, "message": truncate(self.message, MAX_MESSAGE_LENGTH), **counts}

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Self:
        """Read it back, whatever else a newer version adds.

        Raises MalformedMessage when a property is missing or cannot be ours.
        """
        return cls(
            stage=_text(properties, "stage"),
            team=_text(properties, "team"),
            reason=_text(properties, "reason"),
            message=_text(properties, "message"),
            actor=_text(properties, "actor"),
            attempts=_count(properties, "attempts"),
            message_id=_text(properties, "message-id"),
            session=_text(properties, "session", most=MAX_PROPERTY_LENGTH),
            correlation_id=_text(properties, "root"),
            hop=_count(properties, "sequence"),
            replays=_count(properties, "replays", 0),
            body_size=_count(properties, "body-size", 0),
            body_sha256=_text(properties, "body-sha256", ""),
        )


def _text(found: Mapping[str, Any], name: str, default: str | None = None, most: float = math.inf) -> str:
    value = found.get(name, default)
    if isinstance(value, str) and len(value) <= most:
        return value
    raise MalformedMessage(f"a dead letter without the property {name!r}")


def _count(found: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = found.get(name, default)
    if is_count(value):
        return value
    raise MalformedMessage(f"a dead letter without the property {name!r}")


def escape_surrogates(text: str) -> str:
    """The text with half characters (lone surrogates, which JSON can spell and nothing can send) written as
    escapes.
    """
    return text.encode(errors="backslashreplace").decode()


def truncate(value: object, most: int) -> str:
    """The value as the text of a property, at most `most` characters."""
    return escape_surrogates(str(value)[:most])[:most]


def is_count(value: object, most: int = 2**31 - 2) -> TypeGuard[int]:
    """Whether it is a valid count. The SDK sends integers of 32 bits, and some are sent on with one more."""
    return isinstance(value, int) and 0 <= value <= most


def content_type(body: bytes) -> str:
    """The content type of a body: that of our messages, or of unknown bytes."""
    return CONTENT_TYPE if "specversion" in read_envelope(body) else "application/octet-stream"


def read_envelope(body: bytes) -> dict[str, Any]:
    """The envelope of any of our messages, for tools that show them; an empty one when it is not ours."""
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return envelope if isinstance(envelope, dict) else {}
