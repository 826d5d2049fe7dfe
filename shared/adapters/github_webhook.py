"""A webhook call, checked: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries

The signature is over the raw bytes and compared in constant time (gidgethub). During a change of secret two
secrets are accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gidgethub import ValidationFailure
from gidgethub.sansio import validate_event

from shared.messaging.outcomes import Push

#: GitHub delivers at most 25 MB (https://docs.github.com/webhooks/webhook-events-and-payloads).
MAX_BODY_BYTES = 25 * 1024 * 1024
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,64}")
#: GitHub's default for the webhooks of a repository, beside application/json.
_FORM = "application/x-www-form-urlencoded"
#: The beginning of the line in a commit's message that allows withdrawals: `shared.branch.withdrawal_guard`.
_LEAVE = "Allow-Withdrawals:"


@dataclass(frozen=True, slots=True)
class Expected:
    """The repository, branch and installation whose pushes are processed."""

    secrets: Sequence[str]
    repository_id: int
    branch: str
    installation_id: int | None


class Refused(Exception):
    """The call is answered with this HTTP status; 204 means that it is valid but not relevant."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def read_delivery(headers: Mapping[str, str], body: bytes, expected: Expected) -> Push | None:
    """The push that a webhook call tells of, or None for a `ping`. Raises Refused for everything else.

    Header names are looked up in lower case.
    """
    if len(body) > MAX_BODY_BYTES:
        raise Refused(413, "the body is larger than GitHub sends")
    if not is_signed(headers.get("x-hub-signature-256", ""), body, expected.secrets):
        raise Refused(401, "the signature is missing or wrong")
    event = headers.get("x-github-event", "")
    if event not in ("ping", "push"):
        raise Refused(204)
    # GitHub shows the answer to a ping to the person who has just set the webhook up.
    payload = _payload(headers.get("content-type", ""), body)
    if event == "ping":
        return None
    delivery = headers.get("x-github-delivery", "")
    if not _DELIVERY.fullmatch(delivery):
        raise Refused(400, "X-GitHub-Delivery is missing")
    return _push(delivery, payload, expected)


def is_signed(signature: str, body: bytes, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets made the signature. Only the SHA-256 form is accepted; the older SHA-1 one
    is not.
    """
    if not _SIGNATURE.fullmatch(signature):
        return False
    # Every secret is tried, so that the time says nothing about which one it was.
    verdicts = [_validates(signature, body, secret) for secret in secrets]
    return any(verdicts)


def _validates(signature: str, body: bytes, secret: str) -> bool:
    try:
        validate_event(body, signature=signature, secret=secret)
    except ValidationFailure:
        return False
    return True


def _payload(content_type: str, body: bytes) -> dict[str, Any]:
    if content_type.partition(";")[0].strip().lower() == _FORM:
        raise Refused(400, f"the webhook sends {_FORM}: choose application/json as its content type")
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(
            400, "the body is not JSON: choose application/json as the webhook's content type"
        ) from None
    if not isinstance(payload, dict):
        raise Refused(400, "the body is not a JSON object")
    return payload


def _push(delivery: str, payload: dict[str, Any], expected: Expected) -> Push:
    try:
        repository, ref, before = payload["repository"]["id"], payload["ref"], payload["before"]
        installation = (payload.get("installation") or {}).get("id")
    except (KeyError, TypeError, AttributeError):
        raise Refused(400, "the body is not a push event") from None
    if repository != expected.repository_id:
        raise Refused(403, "not the repository that this app follows")
    if expected.installation_id is not None and installation != expected.installation_id:
        raise Refused(403, "not the installation that this app belongs to")
    if ref != f"refs/heads/{expected.branch}":
        raise Refused(204)
    if not isinstance(before, str) or not _SHA.fullmatch(before):
        raise Refused(400, "the body is not a push event")
    return Push(delivery, _commit(before), _allows(payload), _commit(payload.get("after")))


def _commit(sha: object) -> str | None:
    """The commit, or None: a branch that is not there is written as zeros."""
    return sha if isinstance(sha, str) and _SHA.fullmatch(sha) and set(sha) != {"0"} else None


def _allows(payload: dict[str, Any]) -> bool:
    """Whether the message of one of the push's commits has a line that allows withdrawals. Invalid entries
    are ignored.
    """
    listed = payload.get("commits")
    commits = [*(listed if isinstance(listed, list) else ()), payload.get("head_commit")]
    messages = [commit.get("message") for commit in commits if isinstance(commit, dict)]
    lines = [line for message in messages if isinstance(message, str) for line in message.splitlines()]
    return any(line.startswith(_LEAVE) for line in lines)
