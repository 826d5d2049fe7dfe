"""Checks of what was sent: every problem of a resource is collected, then answered at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from standins.resource_manager.arm import Json, invalid


class Fields:
    """The properties that were sent, and what is wrong with them. Null counts as absent."""

    def __init__(self, properties: Json) -> None:
        self.given = {name: value for name, value in properties.items() if value is not None}
        self.problems: list[tuple[str, str]] = []

    def require(self, *names: str) -> None:
        self.problems += [(name, f"{name} is required.") for name in names if name not in self.given]

    def text(self, name: str, shortest: int, longest: int) -> None:
        """A text of a length between two limits, in characters."""
        value = self.given.get(name)
        if value is None:
            return
        if not isinstance(value, str):
            self.problem(name, f"{name} must be a string.")
        elif not shortest <= len(value) <= longest:
            self.problem(name, f"{name} must be between {shortest} and {longest} characters long.")

    def choice(self, name: str, allowed: Collection[str]) -> None:
        value = self.given.get(name)
        if value is not None and value not in allowed:
            self.problem(name, f"'{value}' is not one of {', '.join(allowed)}.")

    def whole_number(self, name: str, least: int) -> None:
        value = self.given.get(name, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.problem(name, f"{name} must be a whole number of at least {least}.")

    def boolean(self, *names: str) -> None:
        self.problems += [
            (name, f"{name} must be a boolean.")
            for name in names
            if not isinstance(self.given.get(name, True), bool)
        ]

    def problem(self, target: str, message: str) -> None:
        self.problems.append((target, message))

    def checked(self, known: Iterable[str]) -> Json:
        """The properties of these names that were given. Raises 400 ValidationError with every problem
        found.
        """
        if self.problems:
            raise invalid(*self.problems)
        return {name: self.given[name] for name in known if name in self.given}
