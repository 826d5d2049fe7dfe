"""Pure functions of the app answer from memory while many seeds are run: they are asked the same a thousand times.

What is remembered is what the functions themselves said. Nothing else of the app is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shared import account, gateway, settlement, standing, trail, withdrawal, workspaces
from shared.domain import backends, catalog, conditions, desired, drift, marker, plan, platform_faults, policy_xml, review, slots, view
from shared.domain.paths import RequestPaths
from tests.fakes import gateway as fake_gateway
from tests.simulation import account as judge

#: Where the app and the fakes look the functions up. Arguments that cannot be hashed quickly are told apart by identity.
REMEMBERED: tuple[tuple[Any, str], ...] = (
    (catalog, "read_catalog"), (platform_faults, "read_catalog"),
    (review, "read_request"), (standing, "read_request"), (judge, "read_catalog"), (judge, "read_request"),
    (gateway, "compile_gateway"), (account, "compile_gateway"), (workspaces, "compile_gateway"), (drift, "compile_gateway"),
    (gateway, "compile_catalog"), (drift, "compile_catalog"),
    (workspaces, "compile_workspaces"), (drift, "compile_workspaces"),
    (policy_xml, "digest_of"), (plan, "digest_of"), (drift, "digest_of"), (fake_gateway, "digest_of"),
    (marker, "parse_time"), (settlement, "parse_time"),
    (marker, "read_time"), (trail, "read_time"), (withdrawal, "read_time"), (conditions, "read_time"), (slots, "read_time"),
    (view, "read_time"),
    (RequestPaths, "folder"), (RequestPaths, "team_of"),
)  # fmt: skip
#: Properties that are computed anew each time.
DIGESTS: tuple[tuple[type, str], ...] = (
    (desired.DesiredGateway, "digest"), (desired.DesiredCatalog, "digest"), (desired.DesiredCatalog, "api_digest"),
    (desired.DesiredWorkspaces, "digest"), (backends.Backend, "digest"),
)  # fmt: skip


@contextmanager
def remembered() -> Iterator[None]:
    """Inside, every function of the lists is asked once for the same arguments."""
    before = [(where, name, vars(where)[name]) for where, name in (*REMEMBERED, *DIGESTS)]
    memories: dict[Any, Callable[..., Any]] = {}
    for where, name, function in before:
        original = function.fget if isinstance(function, property) else getattr(function, "__wrapped__", function)
        remembering = memories.setdefault(original, _remembering(original))  # type: ignore[arg-type]  # every one of the lists is a function
        setattr(where, name, property(remembering) if isinstance(function, property) else remembering)
    try:
        yield
    finally:
        for where, name, function in before:
            setattr(where, name, function)


def _remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    answers: dict[tuple[object, ...], tuple[Any, tuple[Any, ...]]] = {}

    def answer(*given: Any) -> Any:
        # Texts by content, everything else by identity: it is kept, so that no other object gets its place.
        key = tuple(each if isinstance(each, str | bytes) else id(each) for each in given)
        if key not in answers:
            if len(answers) > 20_000:
                answers.clear()
            answers[key] = (function(*given), given)
        return answers[key][0]

    return answer
