"""The road of a workspace: the whole way from its route's address to the model server, as one call sees it.

`GET /v1/models` is asked at the address that API Management calls. The names that it answers say whose model
is at the end. What cannot be asked from here says nothing of the road: a worker may have no way into the
network of the Gateway, or none of its certificates.

The last verdict stands as an annotation of the route, so that nothing has to be asked to tell it:
`mergekey.dev/road: <verdict> <generation> <since> [<detail>]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from shared.marker import format_time, read_time

#: The annotation of a route. Only its last verdict is kept.
ANNOTATION = "mergekey.dev/road"
#: `NotReachable`: it could not be asked from here.
Word = Literal["Answers", "OtherName", "RoadFails", "NotReachable"]
_WORDS: tuple[Word, ...] = get_args(Word)
#: Statuses with which a Gateway refuses a caller that it does not know, before it looks for a route. A model
#: server of KAITO has no keys, so that none of them comes from it.
_STRANGER = frozenset({400, 401, 403, 407, 495, 496})
_MAX_DETAIL, _MAX_NAMES = 200, 5


@dataclass(frozen=True, slots=True)
class Served:
    """A model server answered. `names` are the models that it serves."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unserved:
    """A server was reached, and no model server answered: `status` of the answer, None for no whole answer,
    with `why`.
    """

    status: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class NotReached:
    """No server was reached from here, or it does not talk to this caller."""

    why: str


RoadAnswer = Served | Unserved | NotReached


@dataclass(frozen=True, slots=True)
class RoadVerdict:
    """`detail` is for people, printable, empty where there is nothing more to say."""

    word: Word
    detail: str = ""

    @property
    def text(self) -> str:
        """For people; empty for a road that answers."""
        return _TEXTS[self.word].format(f" ({self.detail})" if self.detail else "")


#: With the place of the detail.
_TEXTS: dict[Word, str] = {
    "Answers": "",
    "OtherName": "the server calls its model otherwise{}: correct servedName in the catalogue",
    "RoadFails": "calls through the cluster's Gateway fail{}",
    "NotReachable": "the cluster's Gateway cannot be asked from the workers{}",
}


def judge_road(answer: RoadAnswer, served_name: str) -> RoadVerdict:
    """What an answer says of the road to the model that is asked for by `served_name`."""
    if isinstance(answer, NotReached):
        return RoadVerdict("NotReachable", printable(answer.why))
    if isinstance(answer, Unserved):
        return _without_model(answer)
    if served_name in answer.names:
        return RoadVerdict("Answers")
    listed = ", ".join(answer.names[:_MAX_NAMES]) or "none"
    return RoadVerdict("OtherName", printable(f"asked for {served_name}, it serves {listed}"))


def _without_model(answer: Unserved) -> RoadVerdict:
    said = "" if answer.status is None else f"status {answer.status}"
    detail = printable(", ".join(each for each in (said, answer.why) if each))
    if answer.status in _STRANGER:
        return RoadVerdict("NotReachable", detail)
    return RoadVerdict("RoadFails", detail)


@dataclass(frozen=True, slots=True)
class RoadNote:
    """A verdict as it stands on a route: of which `generation` of the route, and since when."""

    verdict: RoadVerdict
    generation: int
    since: datetime

    @property
    def text(self) -> str:
        """The value of the annotation."""
        detail = f" {self.verdict.detail}" if self.verdict.detail else ""
        return f"{self.verdict.word} {self.generation} {format_time(self.since)}{detail}"


def read_note(text: str | None) -> RoadNote | None:
    """The note in an annotation; None for none, and for a text that people or another version wrote."""
    word, generation, since, detail = ((text or "").split(" ", 3) + [""] * 4)[:4]
    known, moment = next((each for each in _WORDS if each == word), None), read_time(since)
    if known is None or moment is None or not (generation.isascii() and generation.isdecimal()):
        return None
    if len(generation) > _MAX_GENERATION_DIGITS:
        return None
    return RoadNote(RoadVerdict(known, printable(detail)), int(generation), moment)


#: Kubernetes counts in 64 bits.
_MAX_GENERATION_DIGITS = 19


def next_note(
    before: RoadNote | None, verdict: RoadVerdict, generation: int, now: datetime
) -> RoadNote | None:
    """The note to write, None where the one that stands says the same. A verdict stands since the first note
    of its word and generation.
    """
    if before is None or (before.verdict.word, before.generation) != (verdict.word, generation):
        return RoadNote(verdict, generation, now)
    return None if before.verdict == verdict else RoadNote(verdict, generation, before.since)


def printable(text: str) -> str:
    """One line of printable characters, without spaces at its ends."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(shown.split())[:_MAX_DETAIL].rstrip()
