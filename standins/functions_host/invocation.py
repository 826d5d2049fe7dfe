"""Call a function, and keep a record of the call."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standins.functions_host.index import Function

log = logging.getLogger(__name__)


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
        try:
            return await asyncio.wait_for(
                _call(function.call, {function.trigger["name"]: argument}), self._timeout
            )
        except Exception as raised:
            error = type(raised).__name__
            log.exception("%s failed", function.name)
            raise
        finally:
            self._append(function.name, at, time.perf_counter() - started, error, argument)

    def _append(self, name: str, at: float, seconds: float, error: str | None, argument: Any) -> None:
        if self._record is None:
            return
        about = {key: getattr(argument, key, None) for key in ("message_id", "session_id", "delivery_count")}
        line = Invocation(name, at, seconds, "error" if error else "ok", error, **about)
        with self._record.open("a") as file:
            file.write(
                json.dumps({key: value for key, value in vars(line).items() if value is not None}) + "\n"
            )


async def _call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    return await asyncio.to_thread(function, **arguments)
