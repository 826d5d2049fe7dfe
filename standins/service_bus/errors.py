"""What the service refuses, with the conditions and status codes the SDKs translate into their exceptions.

https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-troubleshoot
"""

from __future__ import annotations


class BusError(Exception):
    """A refusal. `condition` goes on links and dispositions, `status` into answers of management requests."""

    condition = "amqp:internal-error"
    status = 500
    text = "The service was unable to process the request."

    def __init__(self, text: str | None = None) -> None:
        super().__init__(text or self.text)


class EntityNotFound(BusError):
    condition, status = "amqp:not-found", 404
    text = "The messaging entity could not be found: an injected fault."


class NotAllowed(BusError):
    condition, status = "amqp:not-allowed", 400


class NotImplementedHere(BusError):
    condition, status = "amqp:not-implemented", 501


class MalformedMessage(BusError):
    condition, status = "amqp:decode-error", 400


class InvalidArgument(BusError):
    condition, status = "com.microsoft:argument-error", 400


class Unauthorized(BusError):
    condition, status = "amqp:unauthorized-access", 401
    text = "Unauthorized access: an injected fault."


class LinkForced(BusError):
    condition = "amqp:link:detach-forced"


class QuotaExceeded(BusError):
    condition, status = "amqp:resource-limit-exceeded", 403


class MessageSizeExceeded(BusError):
    condition, status = "amqp:link:message-size-exceeded", 400


class MessageLockLost(BusError):
    condition, status = "com.microsoft:message-lock-lost", 410
    text = (
        "The lock supplied is invalid. Either the lock expired, or the message has already been removed from "
        "the queue."
    )


class MessageNotFound(BusError):
    condition, status = "com.microsoft:message-not-found", 404
    text = "The message with the given sequence number was not found."


class SessionLockLost(BusError):
    condition, status = "com.microsoft:session-lock-lost", 410
    text = "The session lock has expired on the session. Accept a new session."


class SessionCannotBeLocked(BusError):
    condition, status = "com.microsoft:session-cannot-be-locked", 409


class ServerBusy(BusError):
    condition, status = "com.microsoft:server-busy", 503
    text = "The server is busy: an injected fault."


class TimedOut(BusError):
    condition, status = "com.microsoft:timeout", 408
    text = "The operation did not complete within the allotted timeout."
