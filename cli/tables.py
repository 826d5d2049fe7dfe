"""Tables of dead letters for a terminal. Control characters and markup of foreign texts are escaped."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.documents.problem import counted, visible

Row = dict[str, Any]
#: The minimum number of columns, and the number from which a line has room for everything.
WIDTH, ROOMY = 80, 130
#: The maximum number of characters of a message in a list.
PREVIEW_LENGTH = 90
#: The maximum number of stages or teams that a question names; more are counted.
MAX_NAMED = 5


def wide_console() -> Console:
    """A console as wide as the terminal, which tables fit: at least 80 columns."""
    return Console(width=max(Console().width, WIDTH))


def show_groups(console: Console, groups: Iterable[Row]) -> None:
    table = make_table("letters", "stage", "reason", "who must act", "oldest", whole=("letters", "oldest"))
    for group in groups:
        stage = stage_name(console, group["stage"])
        table.add_row(*texts(group["count"], stage, group["reason"], group["actor"], age(group["oldest"])))
    console.print(table)


def stage_name(console: Console, stage: str) -> str:
    """A stage, in little room by the word of its commit status."""
    return (stage if console.width >= ROOMY else stage.removeprefix("provision-")) or "?"


def show_letters(console: Console, letters: Iterable[Row]) -> None:
    """Print a line for each letter. In little room the reason, the replays and the message share a column."""
    roomy = console.width >= ROOMY
    last = ("reason", "replays", "message") if roomy else ("message",)
    whole = ("number", "age", *last[:-1])
    table = make_table("number", "age", "team", "stage", *last, whole=whole)
    for letter in letters:
        told = (letter["reason"], f"{letter['replays']} of {letter['most_replays']}", _preview(letter))
        message = told if roomy else (f"{told[0]} ({told[1]} replays): {told[2]}",)
        stage = stage_name(console, letter["stage"])
        table.add_row(*texts(letter["sequence"], age(letter["enqueued"]), letter["team"], stage, *message))
    console.print(table)


def _preview(letter: Row) -> str:
    message: str = letter["message"]
    known = "(converged) " if letter.get("converged") else ""
    known += "(cut) " if letter.get("body_sha256") else ""
    return known + (message if len(message) <= PREVIEW_LENGTH else message[:PREVIEW_LENGTH] + "…")


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


def make_table(*columns: str, whole: Container[str] = ()) -> Table:
    """A table without lines, as wide as its console. The cells of the `whole` columns stay on one line; all
    others fold, at words where that is possible.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in ("letters", "number") else "left"
        table.add_column(column, overflow="fold", justify=justify, no_wrap=column in whole)
    return table


def texts(*cells: object) -> list[Text]:
    """The cells with control characters escaped; a list is a cell with several lines."""
    lines = [cell if isinstance(cell, list) else [cell] for cell in cells]
    return [Text("\n".join(visible(str(line)) for line in each)) for each in lines]


def age(moment: str) -> str:
    """The time since that moment, in one unit."""
    seconds = max((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds(), 0)
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
