"""Exceptions of the real SDKs become ours: by type, status and code, never by their prose, and without their
answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
import gidgethub
import pytest
from azure.core import exceptions as azure
from azure.core.polling.base_polling import OperationFailed
from azure.servicebus import exceptions as servicebus
from gidgethub.sansio import decipher_response
from kubernetes.aio.client.exceptions import ApiException

from shared.adapters.answers import text
from shared.adapters.translate import by_status, translated, understood
from shared.errors import AccessDenied, Busy, MergekeyError, Rejected, Throttled, TooLarge, Unavailable

KEY = "0123456789abcdef0123456789abcdef"


class Response:
    """As azure-core shows an answer to its exceptions."""

    def __init__(self, status: int, headers: dict[str, str] | None = None, error: Any = None) -> None:
        self.status_code = status
        self.reason = HTTPStatus(status).phrase
        self.headers = headers or {}
        self.content_type = "application/json"
        self._text = json.dumps({"error": error or {"code": "Code", "message": "Text"}, "keys": KEY})

    def text(self, encoding: str | None = None) -> str:  # the signature that azure-core calls
        return self._text

    def body(self) -> bytes:
        return self._text.encode()


def _azure(
    status: int,
    headers: dict[str, str] | None = None,
    error: Any = None,
    kind: type[azure.HttpResponseError] = azure.HttpResponseError,
) -> Exception:
    # as much of an answer as it reads
    return kind(response=Response(status, headers, error))  # type: ignore[arg-type]


def _kubernetes(status: int, headers: dict[str, str] | None = None) -> Exception:
    error = ApiException(status=status, reason="Reason")
    error.headers = headers or {}
    return error


def _github(status: int, headers: dict[str, str] | None = None, message: str = "Text") -> Exception:
    """As gidgethub makes it of an answer."""
    try:
        body = json.dumps({"message": message}).encode()
        decipher_response(
            status, {"content-type": "application/json; charset=utf-8", **(headers or {})}, body
        )
    except gidgethub.HTTPException as error:
        return error
    raise AssertionError(status)


def _raised(error: Exception) -> MergekeyError:
    with pytest.raises(MergekeyError) as caught, translated("System"):
        raise error
    return caught.value


STATUSES = [
    (302, Unavailable, "UnexpectedAnswer"),
    (400, Rejected, "Rejected"),
    (401, AccessDenied, "AccessDenied"),
    (403, AccessDenied, "AccessDenied"),
    (404, Unavailable, "NotFound"),
    (408, Unavailable, "Unavailable"),
    (409, Busy, "Busy"),
    (410, Unavailable, "Unavailable"),
    (412, Busy, "Busy"),
    (422, Rejected, "Rejected"),
    (429, Throttled, "Throttled"),
    (500, Unavailable, "Unavailable"),
    (502, Unavailable, "Unavailable"),
    (503, Throttled, "Throttled"),
    (504, Unavailable, "Unavailable"),
]


@pytest.mark.parametrize(("status", "kind", "reason"), STATUSES, ids=[str(row[0]) for row in STATUSES])
@pytest.mark.parametrize("make", [_azure, _kubernetes, _github], ids=["azure", "kubernetes", "github"])
def test_a_status_means_the_same_whoever_says_it(
    make: Any, status: int, kind: type[MergekeyError], reason: str
) -> None:
    error = _raised(make(status))
    assert (type(error), error.reason) == (kind, reason)
    assert str(status) in error.message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (azure.ServiceRequestError("no connection"), Unavailable),
        (azure.ServiceResponseError("no answer"), Unavailable),
        (azure.ServiceRequestTimeoutError("too late"), Unavailable),
        (azure.ClientAuthenticationError("no identity"), AccessDenied),
        (_azure(401, kind=azure.ClientAuthenticationError), AccessDenied),
        (_azure(409, kind=azure.ResourceExistsError), Busy),
        (_azure(412, kind=azure.ResourceModifiedError), Busy),
        (servicebus.ServiceBusAuthenticationError(message="x"), AccessDenied),
        (servicebus.ServiceBusAuthorizationError(message="x"), AccessDenied),
        (servicebus.MessageSizeExceededError(message="x"), TooLarge),
        (servicebus.MessagingEntityNotFoundError(message="x"), Rejected),
        (servicebus.ServiceBusConnectionError(message="x"), Unavailable),
        (servicebus.ServiceBusServerBusyError(message="x"), Unavailable),
        (servicebus.OperationTimeoutError(message="x"), Unavailable),
        (aiohttp.ServerDisconnectedError(), Unavailable),
        (aiohttp.ClientPayloadError(), Unavailable),
        (TimeoutError(), Unavailable),
        (ConnectionResetError(), Unavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_other_exceptions_of_the_libraries_are_sorted_by_type(
    error: Exception, kind: type[MergekeyError]
) -> None:
    assert type(_raised(error)) is kind


def test_a_name_that_a_deleted_secret_holds_has_a_reason_of_its_own() -> None:
    inner = {"code": "Conflict", "message": "x", "innererror": {"code": "ObjectIsDeletedButRecoverable"}}
    error = _raised(_azure(409, error=inner))
    assert (type(error), error.reason) == (Busy, "SecretIsDeleted")


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (_azure(429, {"Retry-After": "17"}), 17),
        (_azure(503, {"retry-after": "5"}), 5),
        (_kubernetes(429, {"Retry-After": "3"}), 3),
        (_azure(429), None),
    ],
    ids=["azure 429", "azure 503", "kubernetes", "nothing said"],
)
def test_what_the_service_asks_for_is_kept(error: Exception, seconds: int | None) -> None:
    ours = _raised(error)
    assert isinstance(ours, Throttled)
    assert ours.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "value", "seconds"),
    [
        ("Retry-After", "0", None),
        ("Retry-After", "1.5", 1.5),
        ("Retry-After", " 5 ", 5),
        ("Retry-After", "3600", 3600),
        ("Retry-After", "31536000", 3600),
        ("Retry-After", "9" * 15, 3600),
        ("Retry-After", "9" * 400, 3600),
        ("Retry-After", "Fri, 31 Dec 9999 23:59:59 -0000", 3600),
        ("Retry-After", "Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Retry-After", "Fri, 31 Dec 2027 23:59:59 +99999999999", None),
        ("Retry-After", "", None),
        ("Retry-After", "-1", None),
        ("Retry-After", "+1", None),
        ("Retry-After", "\u00b2", None),
        ("Retry-After", "\u0663", None),
        ("Retry-After", "1e3", None),
        ("Retry-After", "inf", None),
        ("Retry-After", "nan", None),
        ("Retry-After", "soon", None),
        ("retry-after-ms", "1500", 1.5),
        ("x-ms-retry-after-ms", "1500", 1.5),
        ("x-ms-retry-after-ms", "9" * 15, 3600),
        ("x-ms-retry-after-ms", "\u00b2", None),
    ],
)
def test_every_form_of_a_wait_is_understood_and_what_is_none_is_no_word(
    header: str, value: str, seconds: float | None
) -> None:
    ours = _raised(_azure(429, {header: value}))
    assert isinstance(ours, Throttled)
    assert ours.retry_after == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(("seconds", "least", "most"), [(60, 30, 60), (86_400, 3600, 3600), (-86_400, 0, 0)])
def test_a_date_is_waited_for(seconds: int, least: int, most: int) -> None:
    ours = _raised(_azure(429, {"Retry-After": _in(seconds)}))
    assert isinstance(ours, Throttled)
    assert ours.retry_after is not None
    assert timedelta(seconds=least) <= ours.retry_after <= timedelta(seconds=most)


def test_nobody_waits_longer_than_an_hour_whoever_says_so() -> None:
    assert Busy("x", retry_after=timedelta(days=365)).retry_after == timedelta(hours=1)


@pytest.mark.parametrize("reset", ["9" * 15, "9" * 400])
def test_githubs_reset_time_is_an_hour_away_at_most(reset: str) -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
    error = aiohttp.ClientResponseError(None, (), status=429, headers=headers)  # type: ignore[arg-type]
    ours = _raised(error)
    assert isinstance(ours, Throttled)
    assert ours.retry_after == timedelta(hours=1)


@pytest.mark.parametrize("status", [403, 429])
def test_githubs_rate_limits_are_no_missing_right(status: int) -> None:
    """https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api: the hourly one and the
    secondary one.
    """
    reset = str(int(time.time()) + 100)
    hourly = _raised(
        _github(
            status, {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
        )
    )
    assert isinstance(hourly, Throttled)
    assert hourly.retry_after is not None
    assert timedelta(seconds=90) < hourly.retry_after <= timedelta(seconds=100)
    secondary = _raised(_github(status, {"retry-after": "60"}))
    assert isinstance(secondary, Throttled)
    assert secondary.retry_after == timedelta(seconds=60)


def test_a_details_text_names_the_field() -> None:
    detail = {"code": "ValidationError", "target": "url", "message": "url must not be empty"}
    error = _raised(
        _azure(400, error={"code": "ValidationError", "message": "incorrect values:", "details": [detail]})
    )
    assert "url must not be empty" in error.message


def test_a_bug_flies_on_as_it_is() -> None:
    for bug in (ValueError("bug"), KeyError("x"), AssertionError()):
        with pytest.raises(type(bug)) as caught, translated("System"):
            raise bug
        assert caught.value is bug


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("x"),
        KeyError(KEY),
        IndexError(),
        TypeError(),
        ValueError(KEY),
        AssertionError(),
        OverflowError(),
        RecursionError(),
    ],
    ids=repr,
)
def test_what_is_raised_while_an_answer_is_read_is_the_answers_fault(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught, understood("System"):
        raise error
    assert (caught.value.reason, caught.value.__suppress_context__) == ("UnexpectedAnswer", True)
    assert KEY not in str(caught.value)


def _reads(answer: Any) -> str:
    return text(answer["name"])


def test_who_could_make_nothing_of_an_answer_is_told() -> None:
    for answer in ({}, {"name": 5}):
        with pytest.raises(Unavailable, match="Error in _reads, line "), understood("System"):
            _reads(answer)


def test_other_exceptions_mean_the_same_while_an_answer_is_read() -> None:
    for error, kind in (
        (_azure(409), Busy),
        (TimeoutError(), Unavailable),
        (Busy("x"), Busy),
        (aiohttp.InvalidURL("x"), Unavailable),
    ):
        with pytest.raises(kind) as caught, understood("System"):
            raise error
        assert caught.value.reason == kind.reason
    with pytest.raises(ZeroDivisionError), translated("System"):
        raise ZeroDivisionError


def test_an_answer_that_the_sdk_cannot_read_is_told_by_its_status() -> None:
    for error in (
        azure.DecodeError("x"),
        _azure(200, kind=azure.DecodeError),
        azure.DeserializationError("x"),
    ):
        assert _raised(error).reason == "UnexpectedAnswer"
    assert _raised(_azure(503, {"Retry-After": "5"}, kind=azure.DecodeError)).reason == "Throttled"


def test_an_operation_that_failed_was_refused_although_asking_for_it_went_well() -> None:
    response = Response(200, error={"code": "ValidationError", "message": "No"})
    error = azure.HttpResponseError(response=response, error=OperationFailed("x"))  # type: ignore[arg-type]
    ours = _raised(error)
    assert isinstance(ours, Rejected)
    assert "ValidationError No" in ours.message


def test_our_own_errors_are_not_translated_again() -> None:
    error = Busy("x")
    with pytest.raises(Busy) as caught, translated("System"):
        raise error
    assert caught.value is error


def test_the_sdks_exception_does_not_travel_along() -> None:
    ours = _raised(_azure(400))
    assert (ours.__cause__, ours.__suppress_context__) == (None, True)
    assert KEY not in str(ours)


def test_a_long_text_of_a_service_is_cut() -> None:
    assert len(str(by_status("System", 400, "Code", "x" * 10_000))) < 400


async def test_being_cancelled_is_no_error_of_a_service() -> None:
    with pytest.raises(asyncio.CancelledError), translated("System"):
        raise asyncio.CancelledError


def test_githubs_secondary_limit_asks_for_a_minute_where_no_header_says_more() -> None:
    said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    error = _raised(_github(403, message=said))
    assert isinstance(error, Throttled)
    assert error.retry_after == timedelta(minutes=1)
