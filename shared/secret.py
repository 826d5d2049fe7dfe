"""A key has no spelling: a value that cannot be printed, compared by accident, pickled or serialised."""

from __future__ import annotations

import hashlib
from typing import NoReturn


class SecretValue:
    """Holds a key between the gateway and the vault, its only two homes."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("a secret value cannot be empty")
        self._value = value

    def reveal(self) -> str:
        """The key itself. Called by the adapters that put it where it belongs, and by nobody else."""
        return self._value

    def fingerprint(self, name: str) -> str:
        """Sixteen hexadecimal digits that tell whether the secret called `name` holds this value.

        The name is the salt, so that equal keys in two places do not look equal. A key has 128 random bits:
        the fingerprint does not help anybody to find it.
        """
        return hashlib.sha256(f"{name}\0{self._value}".encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return "SecretValue(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret value cannot be pickled")

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("compare fingerprints, not secret values")

    __hash__ = None  # type: ignore[assignment]  # a secret is no key of a dictionary
