"""Tables of dead letters for a terminal. Control characters and markup of foreign texts are escaped."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.documents.problem import counted, visible

Row = dict[str, Any]
#: The minimum number of columns.
WIDTH = 120
#: The maximum number of characters of a message in a list.
PREVIEW_LENGTH = 90
#: The maximum number of stages or teams that a question names; more are counted.
MAX_NAMED = 5


def wide_console() -> Console:
    """A console wide enough for a row. A narrower terminal folds the lines, so they can still be copied."""
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
            f"Only the beginning of {letter['body_size']} bytes was kept; SHA-256 of the whole message: "
            f"{letter['body_sha256']}"
        )
        console.print(Text(visible(cut), "bold"), soft_wrap=True)
    for line in letter["body"].splitlines():
        console.print(Text(visible(line)), soft_wrap=True)


def show_answers(console: Console, answers: Iterable[Row]) -> None:
    """Print the answer for each letter, and the sums."""
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
    """Print the next commands. They name the listed letters, and none that came later. Letters without a
    stage can only be discarded.
    """
    first = letters[0]["sequence"]
    foreign = [str(letter["sequence"]) for letter in letters if not letter["stage"]]
    console.print(
        "\nShow a letter; when its cause is fixed, replay its group (without --dry-run), or discard it:",
        style="bold",
    )
    console.print(Text(f"  mergekey dead-letters show {first}"), soft_wrap=True)
    for group in (group for group in groups if group["stage"]):
        words = ["--stage", group["stage"], "--reason", group["reason"], "--up-to", str(group["last"])]
        words += [] if team is None else ["--team", team]
        chosen = shlex.join(visible(word) for word in words)
        console.print(Text(f"  mergekey dead-letters replay {chosen} --dry-run"), soft_wrap=True)
    console.print(
        Text(f"  mergekey dead-letters discard {first} --why 'the reason why it is not needed'"),
        soft_wrap=True,
    )
    if foreign:
        console.print(
            Text(f"  mergekey dead-letters discard {' '.join(foreign)} --why 'it comes from no stage'"),
            soft_wrap=True,
        )


def summary(letters: Sequence[Row]) -> str:
    """`2 letters (stage provision-gateway, teams alpha, bravo)`."""
    parts = (_named(field, {letter[field] for letter in letters}) for field in ("stage", "team"))
    return f"{counted(len(letters), 'letter')} ({', '.join(parts)})"


def _named(noun: str, names: set[str]) -> str:
    """The names after their noun, or only their number if there are many."""
    known = sorted(visible(name) or "?" for name in names)
    if len(known) > MAX_NAMED:
        return counted(len(known), noun)
    return f"{noun if len(known) == 1 else noun + 's'} {', '.join(known)}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in ("letters", "number") else "left"
        table.add_column(column, overflow="fold", justify=justify, no_wrap=column != "message")
    return table


def _texts(*cells: object) -> list[Text]:
    return [Text(visible(str(cell))) for cell in cells]


def age(moment: str) -> str:
    """The time since that moment, in one unit."""
    seconds = max((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds(), 0)
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
