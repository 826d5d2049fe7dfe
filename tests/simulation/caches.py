"""Pure functions of the app answer from memory while many seeds are run: they are asked the same a thousand
times.

What is remembered is what the functions themselves said. Nothing else of the app is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

from shared import marker
from shared.api import conditions, team_view
from shared.branch import (
    account,
    decision,
    evaluation,
    platform_checks,
    replacements,
    repository_state,
    review,
)
from shared.branch.platform_checks import PlatformCheck
from shared.branch.repository_state import Kept
from shared.catalog import catalog
from shared.documents import strict_yaml
from shared.documents.document import Document
from shared.inventory import differences
from shared.messaging import retry_state
from shared.policies import policy_xml
from shared.requests import request
from shared.requests.paths import RequestPaths
from shared.resources import backends, key_slots, keys, product, unified_api_plan
from shared.stages import (
    provision_catalog,
    provision_gateway,
    provision_workspaces,
    receive_push,
    settlement,
    workspace_starts,
)
from tests.fakes import gateway as fake_gateway
from tests.simulation import account as judge
from tests.simulation import people, rules

#: Where the app and the fakes look the functions up. Arguments that cannot be hashed quickly are told apart
#: by identity.
REMEMBERED: tuple[tuple[Any, str], ...] = (
    (catalog, "read_catalog"), (platform_checks, "read_catalog"), (request, "read_bytes"),
    (platform_checks, "read_bytes"), (replacements, "read_bytes"),
    (review, "read"), (decision, "read"), (judge, "read_catalog"), (judge, "read_request"),
    (provision_gateway, "compile_gateway"), (account, "_granted_by"), (decision, "compile_gateway"),
    (workspace_starts, "compile_gateway"),
    (differences, "compile_gateway"),
    (provision_catalog, "compile_catalog"), (differences, "compile_catalog"),
    (provision_workspaces, "compile_workspaces"), (differences, "compile_workspaces"),
    (policy_xml, "digest_of"), (product, "digest_of"), (unified_api_plan, "digest_of"),
    (unified_api_plan, "canonical_digest"),
    (fake_gateway, "canonical_digest"), (judge, "granted"), (people, "granted"),
    (marker, "parse_time"), (settlement, "parse_time"),
    (marker, "read_time"), (retry_state, "read_time"), (keys, "read_time"), (conditions, "read_time"),
    (key_slots, "read_time"), (team_view, "read_time"),
    (RequestPaths, "folder"), (RequestPaths, "team_of"),
    (evaluation, "review"), (decision, "review"), (receive_push, "review"), (rules, "review"),
)  # fmt: skip
#: Properties that are computed anew each time.
DIGESTS: tuple[tuple[type, str], ...] = ((backends.Backend, "digest"),)


#: What the app keeps of trees and their files, from one story to the next in one process.
KEPT: tuple[Kept[Any, Any], ...] = (
    repository_state._STATES, repository_state._REVIEWED,
    evaluation._FILES, evaluation._REQUESTS, evaluation._REVIEWS,
)  # fmt: skip


def forget_trees() -> None:
    """A story is the same whichever was told before it."""
    for kept in KEPT:
        kept.clear()


@contextmanager
def trees_apart() -> Iterator[None]:
    """Inside, nothing is kept of any tree; afterwards, what was kept before."""
    before = [kept._values.copy() for kept in KEPT]
    forget_trees()
    try:
        yield
    finally:
        for kept, values in zip(KEPT, before, strict=True):
            kept.clear()
            kept._values.update(values)


@contextmanager
def remembered() -> Iterator[None]:
    """Inside, every function of the lists is asked once for the same arguments."""
    before = [(where, name, vars(where)[name]) for where, name in (*REMEMBERED, *DIGESTS)]
    memories: dict[Any, Callable[..., Any]] = {}
    for where, name, function in before:
        original = (
            function.fget if isinstance(function, property) else getattr(function, "__wrapped__", function)
        )
        by = _KEYS.get(original, _key)
        # every one of the lists is a function
        remembering = memories.setdefault(original, _remembering(original, by))  # type: ignore[arg-type]
        remembering = _copying(remembering) if original is strict_yaml.read_bytes else remembering
        setattr(where, name, property(remembering) if isinstance(function, property) else remembering)
    try:
        yield
    finally:
        for where, name, function in before:
            setattr(where, name, function)


def _remembering(function: Callable[..., Any], key_of: Callable[..., object]) -> Callable[..., Any]:
    answers: dict[object, tuple[Any, tuple[Any, ...]]] = {}

    def answer(*given: Any) -> Any:
        key = key_of(*given)
        known = answers.get(key)
        if known is None:
            if len(answers) > 20_000:
                answers.clear()
            known = answers[key] = (function(*given), given)
        return known[0]

    return answer


def _copying(read: Callable[..., Document]) -> Callable[..., Document]:
    """A document of its own for everybody: one that is embedded is put into the data in place."""

    def answer(path: str, content: bytes) -> Document:
        document = read(path, content)
        return replace(document, data=deepcopy(document.data))

    return answer


_TEXTS = frozenset({str, bytes})


def _key(*given: Any) -> object:
    """Texts by content, everything else by identity: it is kept, so that no other object gets its place."""
    return tuple([each if each.__class__ in _TEXTS else id(each) for each in given])


def _review_key(
    files: Mapping[str, review.File],
    paths: RequestPaths,
    catalog: str,
    past: review.Baseline = review.NO_BASELINE,
    faults: PlatformCheck | None = None,
) -> object:
    """Everything by content: the same files are put together anew for every look."""
    in_force = tuple((team, tuple(grants.items())) for team, grants in past.in_force.items())
    contents = tuple((path, file.content, file.mode) for path, file in files.items())
    standing_by = tuple((model, frozenset(teams)) for model, teams in past.workspaces.items())
    before = (past.known_paths, in_force, standing_by, past.unmanaged, past.usage, past.today)
    return contents, paths, catalog, before, id(faults)


#: How functions are told apart whose arguments are the same without being one object.
_KEYS: Mapping[Any, Callable[..., object]] = {review.review: _review_key}
