"""Translates SDK exceptions into our errors by type, status and error code; by their text only where a
service offers nothing else.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from shared.errors import (
    MAX_RETRY_AFTER,
    AccessDenied,
    Busy,
    MergekeyError,
    Rejected,
    TemporaryError,
    Throttled,
    TooLarge,
    Unavailable,
)

#: Libraries whose exceptions are about a remote system. Other exceptions are bugs and propagate.
_LIBRARIES = ("azure", "kubernetes", "gidgethub", "aiohttp", "urllib3")
#: Key Vault's error code for a name that a soft-deleted secret still has.
_SOFT_DELETED = "ObjectIsDeletedButRecoverable"

#: The errors of statuses that may not last. 410 is for what a list still named: the next attempt starts over.
_TEMPORARY: Mapping[int, type[TemporaryError]] = {
    408: Unavailable,
    409: Busy,
    410: Unavailable,
    412: Busy,
    429: Throttled,
    503: Throttled,
}
#: azure-core's exception when azure-identity gets no token: then it has no status.
_NO_TOKEN = "ClientAuthenticationError"  # noqa: S105 - a name

#: API Management's error code when it does not reach its own management endpoint, and its text, under the
#: code of every other refusal, for what was imported moments ago.
_PART_IS_AWAY, _NOT_KNOWN_YET = "ManagementApiRequestFailed", "Entity with specified identifier not found"

#: Resource Manager's error codes for a missing parent of an object.
_NO_PARENT = ("ParentResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound")
#: GitHub's secondary limit may come as a 403 without any header, and asks for a minute then:
#: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit.
SECONDARY_LIMIT, _SECONDARY_WAIT = "secondary rate limit", timedelta(minutes=1)
#: The exceptions that reading a response of an undocumented form raises.
MISREAD = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
#: The exceptions of azure-core for a body that it cannot parse.
_UNREADABLE = ("DecodeError", "DeserializationError")
#: Headers that name a wait, the most usual first, with the length of their unit in seconds. azure-core knows
#: the same ones.
_WAITS = {"retry-after": 1.0, "retry-after-ms": 0.001, "x-ms-retry-after-ms": 0.001}
#: Not `str.isdigit`, for which `²` is a digit too.
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@contextmanager
def translated(system: str) -> Iterator[None]:
    """Calls to `system` inside this block raise only our errors."""
    try:
        yield
    except MergekeyError:
        raise
    except Exception as error:  # sorted by library; what is none of theirs is raised again as it is
        ours = _translate(system, error)
        if ours is None:
            raise
        # The SDK's exception may hold the answer with a key in it: it must not travel along as a cause.
        raise ours from None


@contextmanager
def understood(system: str) -> Iterator[None]:
    """Like `translated`; moreover, errors while a response is read are taken for an invalid response, which a
    retry may not get again.

    The block must contain only calls and the reading of their responses: a bug of ours inside would be taken
    for an invalid response.
    """
    with translated(system):
        try:
            yield
        except MISREAD as error:
            if _library(error) in _LIBRARIES:
                raise
            raise unexpected(system, _place(error)) from None


def _place(error: Exception) -> str:
    """The place of the error, without its text, which may quote the response."""
    frames = traceback.extract_tb(error.__traceback__)
    asked = [frame for frame in frames if Path(frame.filename).name != "answers.py"] or frames
    return f"{type(error).__name__} in {asked[-1].name}, line {asked[-1].lineno}"


def unexpected(system: str, what: str) -> Unavailable:
    """The error for an invalid response. `what` holds nothing of its content."""
    return Unavailable(f"{system}: the answer makes no sense: {what}", reason="UnexpectedAnswer")


def require_parent(error: Any) -> None:
    """Raise the error again when the service itself is missing: that is a mistake in the settings, and does
    not mean that the object is absent.
    """
    if error.error is not None and error.error.code in _NO_PARENT:
        raise error


def by_status(
    system: str, status: int, code: str = "", message: str = "", retry_after: timedelta | None = None
) -> MergekeyError:
    """The error for a status. `code` is the service's own error code, `message` its text for people."""
    text = f"{system} answered {status}{f' {code}' if code else ''}{f': {message[:300]}' if message else ''}"
    if status < 400:
        # A success or a redirection that the SDK could not parse.
        return unexpected(system, str(status))
    if status in (401, 403):
        return AccessDenied(text)
    if status == 404:
        return Unavailable(text, reason="NotFound")
    if status == 409 and code == _SOFT_DELETED:
        return Busy(text, reason="SecretIsDeleted", retry_after=timedelta(seconds=5))
    temporary = _TEMPORARY.get(status, Unavailable if status >= 500 else None)
    if temporary is not None:
        return temporary(text, retry_after=retry_after)
    return _refusal(text, code, message)


def _refusal(text: str, code: str, message: str) -> MergekeyError:
    """The error for what a service refuses, at once or as the end of an operation. API Management says by the
    same statuses that it cannot reach its own parts, or that a part does not know yet what was just imported:
    https://github.com/Azure/apiops/issues/497 and https://github.com/Azure/apiops/issues/513.
    """
    if code == _PART_IS_AWAY:
        return Unavailable(text)
    return Unavailable(text, reason="NotFound") if _NOT_KNOWN_YET in message else Rejected(text)


def _translate(system: str, error: Exception) -> MergekeyError | None:
    name, status = type(error).__name__, _status(error)
    if isinstance(error, TimeoutError | ConnectionError):
        return Unavailable(f"{system}: {name}")
    if _library(error) not in _LIBRARIES:
        return None
    if type(error).__module__.startswith("azure.servicebus"):
        return _from_service_bus(system, error)
    if name in _UNREADABLE and (status or 0) < 400:
        return unexpected(system, name)
    if status is not None:
        return of_answer(system, error)
    return AccessDenied(f"{system}: no token") if name == _NO_TOKEN else Unavailable(f"{system}: {name}")


def of_answer(system: str, error: Exception) -> MergekeyError:
    """The error for an exception that the SDK made of an answer, or of the end of an operation."""
    code, message, status = _code(error), _message(error), _status(error) or 0
    if _has_failed(error):
        return _refusal(f"{system}: the operation failed: {code} {message[:300]}", code, message)
    headers = _headers(error)
    if is_limit(status, headers):
        status = 429
    if status == 403 and _library(error) == "gidgethub" and SECONDARY_LIMIT in str(error).lower():
        return by_status(system, 429, retry_after=_SECONDARY_WAIT)
    return by_status(system, status, code, message, wait_asked_for(headers))


def is_limit(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a 403 is one of GitHub's rate limits, by its headers, whose names are in lower case."""
    return status == 403 and ("retry-after" in headers or headers.get("x-ratelimit-remaining") == "0")


def _from_service_bus(system: str, error: Exception) -> MergekeyError:
    name = type(error).__name__
    if name in ("ServiceBusAuthenticationError", "ServiceBusAuthorizationError"):
        return AccessDenied(f"{system}: {name}")
    if name == "MessageSizeExceededError":
        return TooLarge(f"{system}: {name}")
    if name in ("MessagingEntityNotFoundError", "MessagingEntityDisabledError"):
        return Rejected(f"{system}: {name}")
    return Unavailable(f"{system}: {name}")


def _library(error: Exception) -> str:
    return type(error).__module__.partition(".")[0]


def _has_failed(error: Exception) -> bool:
    """Whether a long-running operation failed: then the poll itself was answered with 200."""
    return type(getattr(error, "inner_exception", None)).__name__ == "OperationFailed"


def _status(error: Exception) -> int | None:
    """azure-core and gidgethub say `status_code`, kubernetes and aiohttp `status`."""
    for name in ("status_code", "status"):
        value = getattr(error, name, None)
        if isinstance(value, int) and value > 0:
            return int(value)
    return None


def _headers(error: Exception) -> Mapping[str, str]:
    holder: Any = getattr(error, "response", None) or error
    headers: Any = getattr(holder, "headers", None) or {}
    return {str(name).lower(): str(value) for name, value in dict(headers).items()}


def _code(error: Exception) -> str:
    inner = getattr(error, "error", None)
    if inner is None:
        return (
            str(getattr(error, "reason", "") or "") if type(error).__module__.startswith("kubernetes") else ""
        )
    deepest = getattr(inner, "innererror", None)
    if isinstance(deepest, Mapping) and deepest.get("code"):
        return str(deepest["code"])
    return str(getattr(inner, "code", "") or "")


def _message(error: Exception) -> str:
    """The service's message, with the details that name the field. An SDK's own text is not used, because it
    may quote the response.
    """
    inner = getattr(error, "error", None)
    details = [str(getattr(detail, "message", "") or "") for detail in getattr(inner, "details", None) or []]
    return " ".join([str(getattr(inner, "message", "") or ""), *details]).strip()


def wait_asked_for(headers: Mapping[str, str]) -> timedelta | None:
    """The wait that the service asks for, at most an hour; None when there is none, or it is invalid.

    `headers` have names in lower case. `Retry-After` is a number of seconds or a date:
    https://www.rfc-editor.org/rfc/rfc9110#name-retry-after; without it the reset time counts that GitHub
    gives.
    """
    for name, unit in _WAITS.items():
        found = _seconds(headers.get(name, ""), unit) or _until(headers.get(name, ""))
        if found is not None:
            return found
    if headers.get("x-ratelimit-remaining") == "0" and _NUMBER.fullmatch(
        headers.get("x-ratelimit-reset", "")
    ):
        return _bounded(max(float(headers["x-ratelimit-reset"]) - datetime.now(UTC).timestamp(), 1.0))
    return None


def _seconds(text: str, unit: float) -> timedelta | None:
    return _bounded(float(text) * unit) if _NUMBER.fullmatch(text.strip()) else None


def _until(text: str) -> timedelta | None:
    """The time until a date; zero for a date that has passed."""
    try:
        date = parsedate_to_datetime(text)
        return _bounded(
            ((date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
        )
    except MISREAD:
        return None


def _bounded(seconds: float) -> timedelta:
    return timedelta(seconds=min(max(seconds, 0.0), MAX_RETRY_AFTER.total_seconds()))
