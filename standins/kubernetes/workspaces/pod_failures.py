"""Why pods are not ready, as KAITO 0.12 tells it: the most telling cause of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from standins.kubernetes.kinds import Object

_MOST = 256
_IMAGE = (
    *("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"),
    "RegistryUnavailable",
)
_START = (
    *("CreateContainerConfigError", "PreCreateHookError", "CreateContainerError", "PreStartHookError"),
    *("RunContainerError", "PostStartHookError"),
)


def pod_failure(pods: list[Object]) -> tuple[str, str]:
    """Reason and message; empty without a cause."""
    found = next(_containers(pods), None) or next(_evicted(pods), None) or next(_unscheduled(pods), None)
    return (found[0], shortened(found[1], _MOST)) if found else ("", "")


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _containers(pods: list[Object]) -> Iterator[tuple[str, str]]:
    checks: tuple[tuple[str, Callable[[Object], str | None]], ...] = (
        ("ContainerOOMKilled", _killed),
        ("ImagePullError", lambda row: _waits(row, _IMAGE, "image pull failed")),
        ("ContainerStartError", lambda row: _waits(row, _START, "failed to start")),
        ("ContainerCrashLoopBackOff", _loop),
    )
    for reason, check in checks:
        for pod in pods:
            status = pod.get("status") or {}
            rows = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
            yield from ((reason, text) for text in map(check, rows) if text)


def _killed(row: Object) -> str | None:
    ends = [(row.get(part) or {}).get("terminated") for part in ("state", "lastState")]
    end = next((end for end in ends if end and end.get("reason") == "OOMKilled"), None)
    if end is None:
        return None
    advice = "reduce memory usage or use a larger instance type"
    return f'container "{row["name"]}" was OOMKilled (exit code {end["exitCode"]}); {advice}'


def _waits(row: Object, reasons: tuple[str, ...], what: str) -> str | None:
    waiting = (row.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") not in reasons:
        return None
    return f'container "{row["name"]}" {what} ({waiting["reason"]}): {waiting.get("message", "")}'


def _loop(row: Object) -> str | None:
    if ((row.get("state") or {}).get("waiting") or {}).get("reason") != "CrashLoopBackOff":
        return None
    end = (row.get("lastState") or {}).get("terminated")
    name = row["name"]
    if not end:
        return f'container "{name}" is in CrashLoopBackOff'
    said = end.get("message") or f"exit code {end['exitCode']}"
    return f'container "{name}" is in CrashLoopBackOff; last termination: {said}'


def _evicted(pods: list[Object]) -> Iterator[tuple[str, str]]:
    for pod in pods:
        status, name = pod.get("status") or {}, pod["metadata"]["name"]
        if status.get("phase") != "Failed" or status.get("reason") != "Evicted":
            continue
        message = status.get("message", "")
        if "ephemeral-storage" in message.lower() or "disk" in message.lower():
            yield "NodeDiskPressure", f'pod "{name}" evicted due to node disk pressure: {message}'
        elif "memory" in message.lower():
            yield "NodeMemoryPressure", f'pod "{name}" evicted due to node memory pressure: {message}'
        else:
            yield "PodEvicted", f'pod "{name}" was evicted: {message}'


def _unscheduled(pods: list[Object]) -> Iterator[tuple[str, str]]:
    for pod in pods:
        status = pod.get("status") or {}
        for row in status.get("conditions") or []:
            is_it = (row["type"], row["status"], row.get("reason")) == (
                "PodScheduled",
                "False",
                "Unschedulable",
            )
            if is_it and status.get("phase") == "Pending":
                yield "Unschedulable", f'pod "{pod["metadata"]["name"]}" is unschedulable: {row["message"]}'
