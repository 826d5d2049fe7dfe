"""A secret value that cannot be printed, compared by accident, pickled or serialised."""

from __future__ import annotations

import hashlib
from typing import NoReturn


class SecretValue:
    """Holds a key on its way between the gateway and the vault, where it is stored."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("a secret value cannot be empty")
        self._value = value

    def reveal(self) -> str:
        """The key itself. Only the adapters that send it call this."""
        return self._value

    def as_bearer(self) -> SecretValue:
        """The whole header `Authorization` of a client that sends this key."""
        return SecretValue(f"Bearer {self._value}")

    def fingerprint(self, name: str) -> str:
        """Sixteen hexadecimal digits that tell whether the secret called `name` holds this value.

        The name is the salt, so that equal keys in two places do not look equal. A key has 128 random bits:
        it cannot be found from the fingerprint.
        """
        return hashlib.sha256(f"{name}\0{self._value}".encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return "SecretValue(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret value cannot be pickled")

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("compare fingerprints, not secret values")

    __hash__ = None  # type: ignore[assignment]  # a secret is no key of a dictionary
