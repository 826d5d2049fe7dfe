"""The logs of pods, as the kubelet gives them: text, with the last lines taken before it is cut.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod
"""

from __future__ import annotations

from aiohttp import web

from standins.kubernetes import definitions, lists
from standins.kubernetes.errors import bad_request
from standins.kubernetes.kinds import WORKSPACE, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.workspaces import failures

_TEXTS: dict[str, str] = definitions.read("logs.yaml")
_POD_OF = "kaito.sh/workspace"


def answer(objects: Objects, pod: Object, request: web.Request) -> web.Response:
    """Raises `Refused` (400) for a container that is not there, or has no such log."""
    previous = request.query.get("previous", "").lower() in ("true", "1")
    text = _log(objects, pod, _container(pod, request.query.get("container", "")), previous)
    if "tailLines" in request.query:
        lines = text.splitlines(keepends=True)
        text = "".join(lines[max(0, len(lines) - lists.number(request, "tailLines")) :])
    content = text.encode()
    if limit := lists.number(request, "limitBytes"):
        content = content[:limit]
    return web.Response(body=content, content_type="text/plain")


def _container(pod: Object, name: str) -> Object:
    """The state of the container that was asked for, or of the only one."""
    status = pod["status"]
    rows = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    spec = pod["spec"]
    names = [each["name"] for each in (*spec.get("initContainers", ()), *spec.get("containers", ()))]
    if not name and len(names) > 1:
        choice = " ".join(names)
        text = (
            f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: [{choice}]"
        )
        raise bad_request(text)
    wanted = name or names[0]
    if wanted not in names:
        raise bad_request(f"container {wanted} is not valid for pod {pod['metadata']['name']}")
    return next((row for row in rows if row["name"] == wanted), {"name": wanted, "state": {}})


def _log(objects: Objects, pod: Object, row: Object, previous: bool) -> str:
    state, last = row.get("state") or {}, (row.get("lastState") or {}).get("terminated")
    about = f'container "{row["name"]}" in pod "{pod["metadata"]["name"]}"'
    if previous and last is None:
        raise bad_request(f"previous terminated {about} not found")
    if not previous and "running" in state:
        return _TEXTS["loading"]
    if not previous and last is None and "terminated" not in state:
        reason = state.get("waiting", {}).get("reason", "ContainerCreating")
        raise bad_request(f"{about} is waiting to start: {reason}")
    return _ended(objects, pod)


def _ended(objects: Objects, pod: Object) -> str:
    """The wish of the option `fail` says what the container wrote: a text of `definitions/logs.yaml`."""
    metadata = pod["metadata"]
    workspace = objects.find(Key(WORKSPACE, metadata["namespace"], metadata["labels"].get(_POD_OF, "")))
    failure = None if workspace is None else failures.of(workspace, objects.options)
    return _TEXTS["unclear" if failure is None else failure.log]
