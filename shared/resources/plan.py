"""The difference between desired and actual as a value: changes in the order in which they are written.

Sweeps, answers about a team and stages make the same plan of the same two states; each renders or writes it.
A plan that was made from lists says what differs, and cannot be written: lists show neither every part of an
object nor its ETag. `Plan.writable` is what `shared.stages.apply` takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Literal, TypeVar

from shared.errors import NewerVersion, NotManaged
from shared.marker import Marker

Kind = Literal[
    "product", "product policy", "product link", "product marker", "product reservation",
    "administrator subscription", "subscription", "mirror", "backend", "named value",
    "api", "api policy", "api marker", "policy fragment",
    "namespace", "workspace", "config", "route", "limits",
    "project", "project marker", "project role", "tracing connection",
    "secret", "key", "secret role",
]  # fmt: skip


class Unread(Enum):
    """The value of a part of the actual state that was not read."""

    UNREAD = "unread"


UNREAD: Final = Unread.UNREAD
T = TypeVar("T")
#: The ETag of an object that was listed: it fences nothing.
ANY_VERSION = "*"


def known(part: T | Unread, otherwise: T) -> T:
    """The part; `otherwise` where it was not read and nothing can be said of it."""
    return otherwise if isinstance(part, Unread) else part


@dataclass(frozen=True, slots=True)
class Create:
    kind: Kind
    name: str
    body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Update:
    """`tag` is the ETag or resourceVersion that was read; the write fails if the object has changed since.
    `cause` is why, for people, where it is not that the object differs.
    """

    kind: Kind
    name: str
    tag: str | None
    body: Any = field(default=None, repr=False)
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """Delete an object that cannot be changed in place; the next run finds it gone and creates it."""

    kind: Kind
    name: str
    tag: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Can only be made of an object that carries our marker."""

    kind: Kind
    name: str
    tag: str


Change = Create | Update | Replace | Delete


@dataclass(frozen=True, slots=True)
class Pending:
    """A difference that nothing can be written about yet: the object is being made, changed or deleted.

    `ends`: the object goes, as it should. A stage waits for that; it is no difference. `note`: what the
    service says of it.
    """

    kind: Kind
    name: str
    reason: str
    ends: bool = False
    note: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.reason}" + (f": {self.note}" if self.note else "")


@dataclass(frozen=True, slots=True)
class Refused:
    """An object that is needed and must not be changed: others own it, or a newer version maintains it."""

    kind: Kind
    name: str
    error: type[NotManaged | NewerVersion]
    message: str

    def __str__(self) -> str:
        return self.message


def refusal(kind: Kind, name: str, shown: str, owner: Marker, found: Marker | None) -> tuple[Refused, ...]:
    """Whether an existing object with this marker must be left alone; `shown` names it for people."""
    if not owner.owns(found):
        article = "an" if shown[0] in "AEIOU" else "a"
        advice = f"that is not managed by mergekey for {owner.team}: rename or remove it"
        message = f"there is {article} {shown} {advice}"
        return (Refused(kind, name, NotManaged, message),)
    if found is not None and found.newer:
        message = f"the {shown} was written by a newer version of mergekey, which looks after it"
        return (Refused(kind, name, NewerVersion, message),)
    return ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps one after the other; the changes of one step side by side.

    `unread` are the kinds of objects that differ perhaps: they were not read, and no marker vouches for them.
    """

    steps: tuple[tuple[Change, ...], ...] = ()
    refused: tuple[Refused, ...] = ()
    pending: tuple[Pending, ...] = ()
    unread: frozenset[Kind] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything is to be written."""
        return any(self.steps)

    def __iter__(self) -> Iterator[Change]:
        return (change for step in self.steps for change in step)

    def __str__(self) -> str:
        return "; ".join(map(describe, self))

    @property
    def deletes(self) -> bool:
        """Whether anything is deleted for good: the branch is read again right before."""
        return any(isinstance(change, Delete | Replace) for change in self)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All differences. An object that a newer version maintains is none."""
        taken = (each for each in self.refused if issubclass(each.error, NotManaged))
        waiting = (each for each in self.pending if not each.ends)
        return (*taken, *waiting, *self)

    def writable(self, *, despite_refusals: bool = False, despite_unread: bool = False) -> WritablePlan:
        """The plan for `apply`. Raises the error of an object that must be left alone; where access is taken
        away, all that can be is (`despite_refusals`), and `require_allowed` comes afterwards. Where nothing
        more can be read, what is known is written (`despite_unread`).

        Raises ValueError for a plan that was made from lists: it is not known what there is to write.
        """
        if not despite_refusals:
            self.require_allowed()
        if (self.unread and not despite_unread) or any(_is_listed(change) for change in self):
            raise ValueError(f"not all was read that this plan writes: {self}")
        return WritablePlan(self.steps, pending=self.pending)

    def require_allowed(self) -> None:
        """Raises NotManaged or NewerVersion when an object must be left alone."""
        for each in self.refused:
            raise each.error(each.message)


@dataclass(frozen=True, slots=True)
class WritablePlan(Plan):
    """A plan of which all parts were read, with the versions that fence its writes."""

    def before_last(self) -> tuple[WritablePlan, WritablePlan]:
        """The plan without its last step, and that."""
        return replace(self, steps=self.steps[:-1]), replace(self, steps=self.steps[-1:])

    def after_first(self) -> WritablePlan:
        """The rest of the plan after its first step, with an empty first step."""
        return replace(self, steps=((), *self.steps))


Finding = Change | Pending | Refused


def _is_listed(change: Change) -> bool:
    """Backends and named values are read by lists alone: the branch is read again after their writes."""
    if isinstance(change, Create) or change.kind in ("backend", "named value"):
        return False
    return change.tag == ANY_VERSION


def describe(finding: Finding) -> str:
    """One difference in words."""
    if isinstance(finding, Pending | Refused):
        return str(finding)
    text = f"{type(finding).__name__.lower()} {finding.kind} {finding.name}".rstrip()
    return f"{text}: {finding.cause}" if isinstance(finding, Update) and finding.cause else text


def in_steps(*steps: Iterable[Change]) -> tuple[tuple[Change, ...], ...]:
    """The steps that are not empty."""
    return tuple(step for each in steps if (step := tuple(each)))
