"""SDK exceptions become our errors, once, by type, status and error code; by their prose only where a service has no other word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import AccessDenied, Busy, MergekeyError, Rejected, Throttled, TooLarge, Unavailable

#: Libraries whose exceptions are about a remote system. What else is raised is a bug and flies on.
_LIBRARIES = ("azure", "kubernetes", "gidgethub", "aiohttp", "urllib3")
#: Key Vault's word for a name that a soft-deleted secret still holds.
_SOFT_DELETED = "ObjectIsDeletedButRecoverable"

#: ARM's words for what should hold an object and is not there.
_NO_PARENT = ("ParentResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound")
#: GitHub's secondary limit may come as a 403 without any header, and asks for a minute then:
#: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit.
_SECONDARY_LIMIT, _SECONDARY_WAIT = "secondary rate limit", timedelta(minutes=1)


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


def require_parent(error: Any) -> None:
    """A service that is not there is a mistake in the settings, and no reason to think that nobody has anything in it: raised again."""
    if error.error is not None and error.error.code in _NO_PARENT:
        raise error


def by_status(system: str, status: int, code: str = "", message: str = "", retry_after: timedelta | None = None) -> MergekeyError:
    """The table. `code` is the service's own error code, `message` its text for people."""
    text = f"{system} answered {status}{f' {code}' if code else ''}{f': {message[:300]}' if message else ''}"
    if status in (401, 403):
        return AccessDenied(text)
    if status == 409 and code == _SOFT_DELETED:
        return Busy(text, reason="SecretIsDeleted", retry_after=timedelta(seconds=5))
    if status in (409, 412):
        return Busy(text, retry_after=retry_after)
    if status in (429, 503):
        return Throttled(text, retry_after=retry_after)
    if status == 404:
        return Unavailable(text, reason="NotFound")
    if status == 408 or status >= 500:
        return Unavailable(text, retry_after=retry_after)
    return Rejected(text)


def _translate(system: str, error: Exception) -> MergekeyError | None:
    library = type(error).__module__.partition(".")[0]
    if isinstance(error, TimeoutError | ConnectionError):
        return Unavailable(f"{system}: {type(error).__name__}")
    if library not in _LIBRARIES:
        return None
    if type(error).__name__ == "ClientAuthenticationError" and not getattr(error, "status_code", None):
        return AccessDenied(f"{system}: no token")
    if type(error).__module__.startswith("azure.servicebus"):
        return _from_service_bus(system, error)
    status = _status(error)
    if status is None:
        return Unavailable(f"{system}: {type(error).__name__}")
    headers = _headers(error)
    if status == 403 and ("retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"):
        status = 429  # GitHub's rate limits
    if status == 403 and library == "gidgethub" and _SECONDARY_LIMIT in str(error).lower():
        return by_status(system, 429, retry_after=_SECONDARY_WAIT)
    return by_status(system, status, _code(error), _message(error), _retry_after(headers))


def _from_service_bus(system: str, error: Exception) -> MergekeyError:
    name = type(error).__name__
    if name in ("ServiceBusAuthenticationError", "ServiceBusAuthorizationError"):
        return AccessDenied(f"{system}: {name}")
    if name == "MessageSizeExceededError":
        return TooLarge(f"{system}: {name}")
    if name in ("MessagingEntityNotFoundError", "MessagingEntityDisabledError"):
        return Rejected(f"{system}: {name}")
    return Unavailable(f"{system}: {name}")


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
        return str(getattr(error, "reason", "") or "") if type(error).__module__.startswith("kubernetes") else ""
    deepest = getattr(inner, "innererror", None)
    if isinstance(deepest, Mapping) and deepest.get("code"):
        return str(deepest["code"])
    return str(getattr(inner, "code", "") or "")


def _message(error: Exception) -> str:
    """What the service says, with the details that name the field; an SDK's own text is not used: it may quote the answer."""
    inner = getattr(error, "error", None)
    details = [str(getattr(detail, "message", "") or "") for detail in getattr(inner, "details", None) or []]
    return " ".join([str(getattr(inner, "message", "") or ""), *details]).strip()


def _retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Seconds in `Retry-After`, else the reset time that GitHub gives."""
    if headers.get("retry-after", "").isdigit():
        return timedelta(seconds=int(headers["retry-after"]))
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
        return max(datetime.fromtimestamp(int(headers["x-ratelimit-reset"]), UTC) - datetime.now(UTC), timedelta(seconds=1))
    return None
