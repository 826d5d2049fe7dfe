"""One recorded exchange in, what is wrong with it out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from standins.tests.reference import exchanges, workspaces
from standins.tests.reference.descriptions import DIRECTORY, part
from standins.tests.reference.looseness import LOOSE, Looseness, Problem
from standins.tests.reference.openapi import Description
from standins.tests.reference.policies import policy_flaws
from standins.tests.reference.schemas import Flaw, flaws
from standins.world import Exchange

_AZURE = DIRECTORY / "azure" / "specification"
_ARM = _AZURE.glob("*/resource-manager/Microsoft.*/stable/*/*.json")
_DESCRIPTIONS = {
    "resource-manager": Description(sorted(_ARM)),
    # 7.5, though the SDK names a newer version: the operations on secrets and their bodies are the same.
    "key-vault": Description([_AZURE / "keyvault/data-plane/Microsoft.KeyVault/stable/7.5/secrets.json"]),
    "github": Description([DIRECTORY / "github" / "api.github.com.subset.json"]),
}
#: Paths that none of the descriptions is about: other providers of Resource Manager, Foundry's projects, what
#: GitHub's subset leaves out.
_APART = {
    "resource-manager": re.compile(
        r"(?!.*/providers/Microsoft\.(ApiManagement|CognitiveServices)/(?!.*/providers/)).*"
        r"|.*/accounts/[^/]+/(projects|connections)(/.*)?|.*/providers/Microsoft\.CognitiveServices/"
        r"locations/.*",
        re.IGNORECASE,
    ),
    "github": re.compile(r"/repos/[^/]+/[^/]+(/branches/.*)?|/codeload/.*"),
}
_WEBHOOK = "webhook "


@dataclass(frozen=True)
class Verdict:
    """What was looked at, and what is wrong."""

    request: bool
    answer: bool
    problems: tuple[Problem, ...] = ()


NOTHING = Verdict(request=False, answer=False)


def verdict(
    exchange: Exchange, *, wrong_on_purpose: bool = False, excused: Sequence[Looseness] = LOOSE
) -> Verdict:
    """Compare an exchange with the description of its operation, where there is one.

    A request that was refused (4xx, 501) is not judged, since tests send wrong ones on purpose; an answer
    that a fault put there is not the stand-in's, and 501 is no service's. `wrong_on_purpose` spares a request
    that the service accepts, wrong as it is.
    """
    if exchange.path.startswith("/_standin/"):
        return NOTHING
    if exchange.kind.startswith(_WEBHOOK):
        return _webhook_verdict(exchange, excused)
    refused = 400 <= exchange.status < 500 or exchange.status == 501
    request = not (refused or wrong_on_purpose)
    answer = not exchange.injected and exchange.status != 501
    found = _look(exchange, request, answer)
    if found is None:
        return NOTHING
    return Verdict(request, answer, _named(exchange, found, excused))


def _named(exchange: Exchange, found: Iterable[Flaw], excused: Sequence[Looseness]) -> tuple[Problem, ...]:
    operation = f"{exchange.kind}: {exchange.method} {exchange.path} -> {exchange.status}"
    problems = (Problem(exchange.server, operation, flaw.where, flaw.what) for flaw in found)
    return tuple(problem for problem in problems if not any(loose.excuses(problem) for loose in excused))


def _look(exchange: Exchange, request: bool, answer: bool) -> list[Flaw] | None:
    """None where no description is about this exchange."""
    if exchange.server == "kubernetes":
        return _look_at_workspaces(exchange, request, answer)
    description, path = _DESCRIPTIONS.get(exchange.server), exchange.path.split("?")[0]
    if description is None or (exchange.server in _APART and _APART[exchange.server].fullmatch(path)):
        return None
    match = description.find(exchange.method, path)
    if match is None or match.operation is None:
        what = (
            "the description has no such path"
            if match is None
            else f"the description has no {exchange.method} for {match.template}"
        )
        return [Flaw("path", what)] if request else None
    found = (
        [*exchanges.request_flaws(exchange, match, match.operation), *policy_flaws(exchange)]
        if request
        else []
    )
    return [*found, *(exchanges.answer_flaws(exchange, match.operation) if answer else ())]


def _look_at_workspaces(exchange: Exchange, request: bool, answer: bool) -> list[Flaw] | None:
    version = workspaces.version(exchange)
    if version is None:
        return None
    found = workspaces.request_flaws(exchange, version) if request else ()
    return [*found, *(workspaces.answer_flaws(exchange, version) if answer else ())]


def _webhook_verdict(exchange: Exchange, excused: Sequence[Looseness]) -> Verdict:
    """A delivery is GitHub's request; what the receiver answers is its own affair."""
    file = (
        DIRECTORY / "github" / "payload-schemas" / exchange.kind.removeprefix(_WEBHOOK) / "event.schema.json"
    )
    if not file.exists():
        return NOTHING
    found = [
        Flaw(f"body{flaw.where}", flaw.what)
        for flaw in flaws(part(file), json.loads(exchange.request_body or "null"))
    ]
    return Verdict(True, False, _named(exchange, found, excused))
