"""Call a function, and keep a record of the call."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standins.functions_host.index import Function

log = logging.getLogger(__name__)

_ABOUT = ("message_id", "session_id", "delivery_count")
#: The application property in which clients of Service Bus carry a trace.
_TRACE_PROPERTY = "Diagnostic-Id"
_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True)
class Invocation:
    """One line of the file of invocations. `at` is seconds since 1970, `error` the type of the exception and
    no more.
    """

    function: str
    at: float
    seconds: float
    outcome: str
    error: str | None = None
    message_id: str | None = None
    session_id: str | None = None
    delivery_count: int | None = None
    #: The trace that the call belongs to.
    trace: str | None = None


@dataclass(frozen=True)
class TraceContext:
    """W3C: https://www.w3.org/TR/trace-context/#traceparent-header"""

    trace_parent: str
    trace_state: str = ""


@dataclass(frozen=True)
class Context:
    """What a function gets in a parameter `context`, as far as this host knows it."""

    function_name: str
    trace_context: TraceContext

    @classmethod
    def of(cls, function: Function, argument: Any) -> Context:
        """A message continues the trace that it carries, as the host's own client of Service Bus does;
        anything else begins one.
        """
        carried = (getattr(argument, "application_properties", None) or {}).get(_TRACE_PROPERTY)
        trace = str(carried).split("-")[1] if carried and _TRACE.fullmatch(str(carried)) else uuid.uuid4().hex
        return cls(function.name, TraceContext(f"00-{trace}-{uuid.uuid4().hex[:16]}-01"))

    @property
    def trace(self) -> str:
        return self.trace_context.trace_parent.split("-")[1]


class Invoker:
    """Calls functions with a limit of time, and appends one line of JSON per call to a file."""

    def __init__(self, timeout: float, record: Path | None) -> None:
        self._timeout = timeout
        self._record = record

    async def run(self, function: Function, argument: Any) -> Any:
        """What the function returns.

        Raises what the function raised, after its stack trace was logged; TimeoutError after
        `functionTimeout`.
        """
        at, started, error = time.time(), time.perf_counter(), None
        context = Context.of(function, argument)
        arguments = {function.trigger["name"]: argument}
        if "context" in inspect.signature(function.call).parameters:
            arguments["context"] = context
        try:
            return await asyncio.wait_for(_call(function.call, arguments), self._timeout)
        except Exception as raised:
            error = type(raised).__name__
            log.exception("%s failed", function.name)
            raise
        finally:
            about = {key: getattr(argument, key, None) for key in _ABOUT} | {"trace": context.trace}
            outcome, seconds = "error" if error else "ok", time.perf_counter() - started
            self._append(Invocation(function.name, at, seconds, outcome, error, **about))

    def _append(self, line: Invocation) -> None:
        if self._record is None:
            return
        with self._record.open("a") as file:
            file.write(
                json.dumps({key: value for key, value in vars(line).items() if value is not None}) + "\n"
            )


async def _call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    return await asyncio.to_thread(function, **arguments)
