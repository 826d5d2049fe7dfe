"""Timer functions, and the NCRONTAB expressions that say when they run.

Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions. Times
are UTC.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from itertools import product

from standins.functions_host import conversion
from standins.functions_host.index import TIMER, Function, triggered
from standins.functions_host.invocation import Invoker
from standins.functions_host.options import HostError

log = logging.getLogger(__name__)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: The smallest and largest value of second, minute, hour, day, month and day of the week; 7 is Sunday too.
_LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_PART = re.compile(r"(?:(\*)|(\d+)(?:-(\d+))?)(?:/(\d+))?")
#: 29 February on a given day of the week comes at least once in 40 years.
_HORIZON_DAYS = 40 * 366


class Schedule:
    """An NCRONTAB expression: `{second} {minute} {hour} {day} {month} {day of the week}`; with five fields
    the second is 0.

    Raises HostError when it is not one.
    """

    def __init__(self, expression: str) -> None:
        fields = expression.lower().split()
        if len(fields) == 5:
            fields.insert(0, "0")
        if len(fields) != 6:
            raise HostError(f"the schedule {expression!r} does not have six fields")
        fields[4] = _numbers(fields[4], _MONTHS, 1)
        fields[5] = _numbers(fields[5], _DAYS, 0)
        values = [_values(field, *limits) for field, limits in zip(fields, _LIMITS, strict=True)]
        self._times = [
            time(h, m, s, tzinfo=UTC) for h, m, s in product(*(sorted(values[i]) for i in (2, 1, 0)))
        ]
        self._days, self._months = values[3], values[4]
        self._weekdays = {day % 7 for day in values[5]}

    def after(self, moment: datetime) -> datetime:
        """The first time of the schedule later than this one."""
        for offset in range(_HORIZON_DAYS):
            day = (moment + timedelta(days=offset)).date()
            if day.day in self._days and day.month in self._months and day.isoweekday() % 7 in self._weekdays:
                for at in self._times:
                    if (found := datetime.combine(day, at)) > moment:
                        return found
        raise HostError("the schedule never comes")


class TimerTriggers:
    """Runs each timer function when its schedule says so. What was missed while the host was down is not
    caught up.
    """

    def __init__(self, functions: Iterable[Function], invoker: Invoker) -> None:
        self._invoker = invoker
        self._timers = [
            (function, Schedule(str(function.trigger["schedule"])))
            for function in triggered(functions, TIMER)
        ]
        self._waiting: dict[asyncio.Task[None], bool] = {}
        self._stopping = False

    def start(self) -> None:
        for function, schedule in self._timers:
            self._waiting[asyncio.create_task(self._run(function, schedule))] = True

    async def stop(self, seconds: float) -> None:
        """Stop waiting, and let what runs end within so many seconds."""
        self._stopping = True
        for task, waits in self._waiting.items():
            if waits:
                task.cancel()
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=seconds)

    async def _run(self, function: Function, schedule: Schedule) -> None:
        task = asyncio.current_task()
        assert task is not None
        startup = bool(function.trigger.get("runOnStartup"))
        while not self._stopping:
            if not startup:
                due = schedule.after(datetime.now(UTC))
                await asyncio.sleep((due - datetime.now(UTC)).total_seconds())
            startup = False
            self._waiting[task] = False
            try:
                await self._invoker.run(function, conversion.timer_request())
            except Exception:  # the function's own error: the invoker has logged it, and the timer goes on
                log.debug("%s failed", function.name)
            self._waiting[task] = True


def _numbers(field: str, names: tuple[str, ...], first: int) -> str:
    """`mon-fri` as `1-5`; full names are known by their first three letters."""
    return re.sub(
        r"[a-z]+",
        lambda match: str(names.index(match[0][:3]) + first) if match[0][:3] in names else match[0],
        field,
    )


def _values(field: str, lowest: int, highest: int) -> set[int]:
    """The numbers that a field such as `*/15`, `1-5` or `0,30` stands for."""
    found: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise HostError(f"{part!r} is not a part of a schedule")
        every, start, end, step = match.groups()
        first = lowest if every else int(start)
        last = highest if every or (step and not end) else int(end or start)
        if not lowest <= first <= last <= highest:
            raise HostError(f"{part!r} is out of range {lowest}-{highest}")
        found |= set(range(first, last + 1, int(step or 1)))
    return found
