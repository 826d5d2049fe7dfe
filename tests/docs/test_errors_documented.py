"""docs/errors.md explains every reason that people can meet, and none that does not exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from shared import errors
from shared.gateway_api.causes import CAUSES as CAUSES_OF_ROUTES
from shared.gateway_api.listeners import REASONS
from shared.kaito.causes import CAUSES
from shared.kaito.log_classes import LOG_CLASSES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text()
REASON = re.compile(r"[A-Z][a-z]+[0-9]?([A-Z][a-z]+[0-9]?)*")
#: Where files of people are judged.
JUDGING = [ROOT / "shared" / "names.py"] + [
    path
    for room in ("documents", "catalog", "requests", "policies", "branch")
    for path in (ROOT / "shared" / room).glob("*.py")
]
#: Calls that are given the reason of a problem as an argument of its own.
COMPLAINTS = {
    "problem",
    "problem_at",
    "complain",
    "validation_error",
    "_refuse",
    "_refused",
    "_matching",
    "secret_problems",
    "_text",
}


def test_every_reason_is_explained_and_every_explained_reason_exists() -> None:
    found = of_classes() | of_stages() | of_waiting_for_kaito() | of_routes() | of_problems() | set(REASONS)
    assert explained() == found | {each.name for each in LOG_CLASSES}


def test_no_reason_is_explained_twice() -> None:
    rows = re.findall(r"^\| (?:<a id=\"\w+\"></a>)?`(\w+)` \|", PAGE, re.MULTILINE)
    assert len(rows) == len(set(rows))


def test_a_check_and_a_status_can_lead_to_each_reason() -> None:
    rows = re.findall(r"^\| (.*?)`(\w+)` \|", PAGE, re.MULTILINE)
    assert [start for start, _ in rows] == [f'<a id="{reason}"></a>' for _, reason in rows]


def test_who_must_act_is_what_the_error_says() -> None:
    actors = {"the team": "the team", "the platform": "the platform", "nobody: it is tried again": "nobody"}
    rows = dict(re.findall(r"^\| (?:<a id=\"\w+\"></a>)?`(\w+)` \|[^|]+\| ([^|]+?) \|", PAGE, re.MULTILINE))
    for error in of_family(errors.MergekeyError):
        if error.reason in explained():
            assert rows[error.reason] == actors[error.actor], error.reason


def explained() -> set[str]:
    return set(re.findall(r"^\| (?:<a id=\"\w+\"></a>)?`(\w+)` \|", PAGE, re.MULTILINE))


def of_family(family: type[errors.MergekeyError]) -> Iterator[type[errors.MergekeyError]]:
    for error in family.__subclasses__():
        yield error
        yield from of_family(error)


def of_classes() -> set[str]:
    """The words that the classes of errors bring along; the bases have none of their own."""
    return {error.reason for error in of_family(errors.MergekeyError)} - {errors.MergekeyError.reason}


def of_stages() -> set[str]:
    """`reason="..."` of an error or of `Waiting`, the second argument of that, the third of `Pending`."""
    found: set[str] = set()
    for call in calls("shared"):
        if name_of(call) == "Waiting":
            found |= {word for argument in call.args[1:2] for word in words(argument)}
        if name_of(call) == "Pending":
            found |= {word for argument in call.args[2:3] for word in words(argument)}
        if name_of(call) == "Waiting" or hasattr(errors, name_of(call)):
            found |= {
                word for keyword in call.keywords if keyword.arg == "reason" for word in words(keyword.value)
            }
    return found


def of_waiting_for_kaito() -> set[str]:
    """What can be the cause that a workspace does not serve."""
    return {each.reason for each in CAUSES}


def of_routes() -> set[str]:
    """What can be the cause that a route does not work."""
    return {each.reason for each in CAUSES_OF_ROUTES}


def of_problems() -> set[str]:
    """What is wrong with a request or a catalogue: given to a call that complains, or returned or yielded
    before a message.
    """
    found = {
        word
        for call in calls("shared")
        if name_of(call) == "problem_at"
        for argument in call.args
        for word in words(argument)
    }
    for path in sorted(JUDGING):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name_of(node) in COMPLAINTS:
                found |= {word for argument in node.args for word in words(argument)}
            elif (
                isinstance(node, ast.Return | ast.Yield)
                and isinstance(node.value, ast.Tuple)
                and len(node.value.elts) > 1
            ):
                found |= before_message(node.value)
    return found


def before_message(pair: ast.Tuple) -> set[str]:
    """The reason of `..., reason, message`: a message is a text with spaces, or a variable."""
    reason, message = pair.elts[-2:]
    spoken = isinstance(message, ast.JoinedStr | ast.Name) or any(" " in text for text in texts(message))
    return words(reason) if spoken else set()


def calls(folder: str) -> Iterator[ast.Call]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    """The name of what is called; of `partial`, of what will be."""
    function = call.func
    if isinstance(function, ast.Name) and function.id == "partial":
        function = call.args[0]
    return (
        function.attr
        if isinstance(function, ast.Attribute)
        else function.id
        if isinstance(function, ast.Name)
        else ""
    )


def texts(node: ast.AST) -> list[str]:
    return [
        inner.value
        for inner in ast.walk(node)
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
    ]


def words(node: ast.AST) -> set[str]:
    return {text for text in texts(node) if REASON.fullmatch(text)}
