"""Amounts: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ ."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation

_FORM = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def problem(text: str) -> str | None:
    """Why a text is no amount."""
    if not _FORM.fullmatch(text):
        return f"quantities must match the regular expression '^{_FORM.pattern}$'"
    try:
        amount(text)
    except (KeyError, InvalidOperation):
        return "unable to parse quantity's suffix"
    return None


def amount(text: str) -> Decimal:
    """Of a text that is one."""
    digits = text.rstrip("numkKMGTPEi")
    suffix = text[len(digits) :]
    if suffix in _BINARY:
        return Decimal(digits) * Decimal(2) ** _BINARY[suffix]
    return Decimal(digits).scaleb(_DECIMAL[suffix])


def canonical(text: str) -> str:
    """As the server stores it: a whole number with the largest unit that leaves it whole, `1000m` as `1`."""
    value = amount(text)
    if text.endswith("i") or not value:
        return text if value else "0"
    units = reversed(_DECIMAL.items())
    suffix, power = next((suffix, power) for suffix, power in units if not value.scaleb(-power) % 1)
    return f"{int(value.scaleb(-power))}{suffix}"


def memory(text: str) -> str:
    """A binary amount as Go prints it after reading it: with the largest binary unit that leaves it whole;
    one that is no whole number of bytes in decimal parts of a byte, rounded up to nano (apimachinery,
    `Quantity.String`).
    """
    value = amount(text)
    if value % 1:
        power, unit = next(
            (power, unit)
            for unit, power in (("m", 3), ("u", 6), ("n", 9))
            if power == 9 or not value.scaleb(power) % 1
        )
        return f"{math.ceil(value.scaleb(power))}{unit}"
    units = reversed(_BINARY.items())
    unit, shift = next(((unit, shift) for unit, shift in units if value and not value % 2**shift), ("", 0))
    return f"{int(value) >> shift}{unit}"
