"""Dead letters on a terminal. What came from outside is shown as text, whatever it contains."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.documents.problem import visible

Row = dict[str, Any]
#: Columns.
WIDTH = 120
#: Characters of a message in a list.
PREVIEW_LENGTH = 90
#: Stages or teams that are named in one question; more are counted.
MOST_NAMED = 5


def a_console() -> Console:
    """Wide enough for a row: a terminal that is narrower folds lines, so that they can still be copied."""
    return Console(width=max(Console().width, WIDTH))


def show_groups(console: Console, groups: Iterable[Row]) -> None:
    table = _table("letters", "stage", "reason", "who must act", "oldest")
    for group in groups:
        table.add_row(
            *_texts(
                group["count"], group["stage"] or "?", group["reason"], group["actor"], age(group["oldest"])
            )
        )
    console.print(table)


def show_letters(console: Console, letters: Iterable[Row]) -> None:
    table = _table("number", "age", "team", "stage", "reason", "replays", "message")
    for letter in letters:
        replays = f"{letter['replays']} of {letter['most_replays']}"
        message = (
            letter["message"]
            if len(letter["message"]) <= PREVIEW_LENGTH
            else letter["message"][:PREVIEW_LENGTH] + "…"
        )
        known = "(converged) " if letter.get("converged") else ""
        known += "(cut) " if letter.get("body_sha256") else ""
        cells = (
            letter["sequence"],
            age(letter["enqueued"]),
            letter["team"],
            letter["stage"] or "?",
            letter["reason"],
            replays,
        )
        table.add_row(*_texts(*cells, known + message))
    console.print(table)


def show_letter(console: Console, letter: Row) -> None:
    named = (
        "sequence",
        "enqueued",
        "team",
        "stage",
        "reason",
        "message",
        "actor",
        "attempts",
        "replays",
        "root",
        "session",
        "message_id",
    )
    for name in named:
        console.print(
            Text.assemble((f"{name.replace('_', ' '):<12}", "bold"), visible(str(letter[name]))),
            soft_wrap=True,
        )
    console.print()
    if letter.get("body_sha256"):
        cut = (
            f"Only the beginning of {letter['body_size']} bytes was kept; SHA-256 of the whole: "
            f"{letter['body_sha256']}"
        )
        console.print(Text(visible(cut), "bold"), soft_wrap=True)
    for line in letter["body"].splitlines():
        console.print(Text(visible(line)), soft_wrap=True)


def show_answers(console: Console, answers: Iterable[Row]) -> None:
    """Each letter that something is to be said about, and the sums."""
    answers = list(answers)
    for answer in answers:
        console.print(
            Text(visible(f"{answer['sequence']:>8}  {answer['outcome']:<10} {answer['why']}").rstrip()),
            soft_wrap=True,
        )
    console.print(
        ", ".join(
            f"{count} {outcome}"
            for outcome, count in Counter(answer["outcome"] for answer in answers).items()
        )
    )


def show_next(console: Console, groups: Iterable[Row], letters: Sequence[Row], team: str | None) -> None:
    """What to type now: commands that name what was seen, and nothing that came later. What no stage knows
    can only be discarded.
    """
    first, foreign = (
        letters[0]["sequence"],
        [str(letter["sequence"]) for letter in letters if not letter["stage"]],
    )
    console.print(
        "\nLook at one, then, when its cause is gone, replay its group (without --dry-run), or discard it:",
        style="bold",
    )
    console.print(Text(f"  mergekey dead-letters show {first}"), soft_wrap=True)
    for group in (group for group in groups if group["stage"]):
        words = ["--stage", group["stage"], "--reason", group["reason"], "--up-to", str(group["last"])]
        words += [] if team is None else ["--team", team]
        chosen = shlex.join(visible(word) for word in words)
        console.print(Text(f"  mergekey dead-letters replay {chosen} --dry-run"), soft_wrap=True)
    console.print(
        Text(f"  mergekey dead-letters discard {first} --why 'why nobody needs it any more'"), soft_wrap=True
    )
    if foreign:
        console.print(
            Text(f"  mergekey dead-letters discard {' '.join(foreign)} --why 'no stage put it there'"),
            soft_wrap=True,
        )


def summary(letters: Sequence[Row]) -> str:
    """`2 letters (stage provision-gateway, teams alpha, bravo)`."""
    parts = (_some(what, {letter[what] for letter in letters}) for what in ("stage", "team"))
    return f"{_counted(len(letters), 'letter')} ({', '.join(parts)})"


def _some(what: str, names: set[str]) -> str:
    known = sorted(visible(name) or "?" for name in names)
    return (
        _counted(len(known), what)
        if len(known) > MOST_NAMED
        else f"{what}{'s' * (len(known) != 1)} {', '.join(known)}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in ("letters", "number") else "left"
        table.add_column(column, overflow="fold", justify=justify, no_wrap=column != "message")
    return table


def _texts(*cells: object) -> list[Text]:
    return [Text(visible(str(cell))) for cell in cells]


def age(moment: str) -> str:
    """How long ago it was, in one unit."""
    seconds = max((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds(), 0)
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
