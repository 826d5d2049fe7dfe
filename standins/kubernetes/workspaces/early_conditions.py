"""The conditions of a Workspace in 0.6 and 0.8, whose reconciler waits: each is written when something
happens, and stays until the next thing does.

0.6 (the AKS add-on) calls a Workspace failed as soon as a node takes more than four minutes, and goes on
waiting; when it comes to a workload that stands, it calls it ready without a look at its pods. 0.8 waits
again.
"""

from __future__ import annotations

from collections.abc import Iterator

from standins.kubernetes.workspaces.conditions import Condition, written
from standins.kubernetes.workspaces.course import SILENCE, Course

#: How long a reconciliation waits for a node, when a hopeless NodeClaim is given up, how long a model may
#: load.
_NODE_PATIENCE, _CLAIM_GIVEN_UP, _MODEL_PATIENCE = 240.0, 60.0, 1800.0
Event = tuple[float, Condition]


def so_far(course: Course, now: float) -> list[Event]:
    """The conditions by `now`, and since when they are so; each keeps its place when it changes."""
    shown: dict[str, Event] = {}
    for since, condition in (_add_on if course.release.name == "0.6" else _eight)(course):
        if since <= now:
            shown[condition.type] = since, condition
    return list(shown.values())


# 0.8


def _eight(course: Course) -> Iterator[Event]:
    count = len(course.nodes)
    if not count:
        return
    yield course.created, written("eight-no-claims", n=count)
    yield course.created, written("resource")
    yield course.created + SILENCE, written("eight-no-resource", n=count)
    if course.failure is not None and course.failure.claim_condition() is not None:
        return
    yield course.nodes_at, written("eight-claims", n=count)
    if not course.has_node or not course.has_gpu:
        yield from ((course.nodes_at, written(name)) for name in ("no-plugins", "no-plugins-resource"))
        return
    yield course.nodes_at, written("eight-nodes", n=count)
    yield course.nodes_at, written("eight-no-resource", n=count)
    yield from _eight_model(course)


def _eight_model(course: Course) -> Iterator[Event]:
    if course.is_serving(course.ready_at) and (course.failure is None or course.failure.is_known):
        yield from ((course.ready_at, written(name)) for name in ("resource", "inference", "succeeded"))
        return
    again = course.failure is not None and course.failure.is_looked_at_again
    when = (course.ready_at if again else course.nodes_at) + _MODEL_PATIENCE
    yield (course.ready_at if again else when), written("resource")
    yield from _given_up(course, when)


# 0.6


def _add_on(course: Course) -> Iterator[Event]:
    created, claim = course.created, course.nodes[0].split("-")[1] if course.nodes else ""
    if course.nodes_at > created:
        yield created, written("creating", n=len(course.nodes))
        yield created, written("created")
    if course.reason in ("NoQuota", "LaunchFailed"):
        yield _failed(f'NodeClaim.karpenter.sh "{claim}" not found', created + _CLAIM_GIVEN_UP)
        return
    if not _has_gpu_node(course) or course.nodes_at - created > _NODE_PATIENCE:
        text = f"check nodeClaim status timed out. nodeClaim {claim} is not ready"
        yield _failed(text, created + _NODE_PATIENCE)
    if _has_gpu_node(course):
        yield from ((course.nodes_at, written(name)) for name in ("plugins", "resource"))
        yield from _add_on_model(course)


def _has_gpu_node(course: Course) -> bool:
    return course.has_node and course.has_gpu


def _add_on_model(course: Course) -> Iterator[Event]:
    if course.is_serving(course.ready_at) and (course.failure is None or course.failure.is_known):
        yield from ((course.ready_at, written(name)) for name in ("inference", "succeeded"))
        return
    is_known = course.failure is not None and course.failure.is_known
    if course.failure is not None and course.failure.is_looked_at_again:
        yield from ((course.ready_at, written(name)) for name in ("inference", "succeeded"))
        return
    when = course.nodes_at + _MODEL_PATIENCE if is_known else course.ready_at
    yield from _given_up(course, when)
    if is_known:  # the next look at the workload, some seconds later
        yield from ((when + 10, written(name)) for name in ("inference", "succeeded"))


def _given_up(course: Course, when: float) -> Iterator[Event]:
    known = course.failure is not None and course.failure.is_known
    text = "context deadline exceeded" if known else course.message("context deadline exceeded")
    yield when, written("inference-failed", message=text)
    yield _failed(text, when)


def _failed(message: str, since: float) -> Event:
    return since, written("failed", "workspaceFailed", message)
