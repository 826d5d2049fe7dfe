"""Reads the end of a container's log, within bounds.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from shared.adapters.kaito_answers import SYSTEM, Answer, Place
from shared.adapters.translate import understood
from shared.kaito.log_classes import LogTail

#: The server takes the last lines first and then cuts at their end, so there is room for long ones. The lines
#: are those of a traceback, or of a program that explains its arguments.
TAIL_LINES, LIMIT_BYTES = 120, 256 * 1024
Send = Callable[[str, str, Mapping[str, str]], Awaitable[Answer]]


async def previous_log(send: Send, pod: Place, container: str) -> LogTail | None:
    """The end of the log of the container's last run but this one. None where there is none (any more): the
    container was not started again yet, or its pod or node is gone.
    """
    query = {
        "container": container,
        "previous": "true",
        "tailLines": str(TAIL_LINES),
        "limitBytes": str(LIMIT_BYTES),
    }
    with understood(SYSTEM):
        answer = await send("GET", f"{pod.path}/log", query)
        if answer.status == 404 or (answer.status == 400 and answer.failure.get("reason") == "BadRequest"):
            return None
        if answer.status >= 300:
            raise answer.error()
        return LogTail(answer.content.decode(errors="replace"))
