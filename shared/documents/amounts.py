"""The number or the day that a text probably means, for messages. Nothing is granted by a guess."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation

from shared.documents.characters import straightened

_LARGEST = 10**12
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000, "mio": 1_000_000, "million": 1_000_000, "thousand": 1_000}
_GROUPED = re.compile(r"[0-9]{1,3}(?:([,._' ])[0-9]{3})(?:\1[0-9]{3})*")
_AMOUNT = re.compile(
    r"\+?(?P<number>[0-9][0-9,._' ]*(?:e\+?[0-9]{1,2})?) ?(?P<factor>k|mio|m|million|thousand)?"
    r"(?: ?(?:tokens?|tpm|requests?|rpm))?(?: ?(?:/|per|a) ?(?:m|min|minute|day))?\.?"
)
#: The order of year, month and day in dates that people write.
_DATES = (
    re.compile(r"(?P<year>[0-9]{4})[-./ ](?P<month>[0-9]{1,2})[-./ ](?P<day>[0-9]{1,2})(?:[T ].*)?"),
    re.compile(r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"),
    re.compile(r"(?P<day>[0-9]{1,2})[-./ ]{1,2}(?P<month>[0-9]{1,2})[-./ ]{1,2}(?P<year>[0-9]{4})"),
    re.compile(r"(?P<month>[0-9]{1,2})[-/ ](?P<day>[0-9]{1,2})[-/ ](?P<year>[0-9]{4})"),
    re.compile(r"(?P<day>[0-9]{1,2})\.? ?-?(?P<name>[a-z]{3,9})\.?,? ?-?(?P<year>[0-9]{4})"),
    re.compile(r"(?P<name>[a-z]{3,9})\.? (?P<day>[0-9]{1,2})(?:st|nd|rd|th)?,? (?P<year>[0-9]{4})"),
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def number_meant(written: object) -> int | None:
    """The whole number that a text means: `10,000`, `10k`, `1e5`, `0x2710`, `010000`, `10000 tokens/min`;
    None when it is not clear.
    """
    text = straightened(str(written)).strip(" \"';,").casefold()
    if re.fullmatch(r"0x[0-9a-f]{1,12}|0o[0-7]{1,14}", text):
        return _bounded(Decimal(int(text, base=0)))
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    number = match["number"].strip()
    try:
        value = Decimal(re.sub(r"[,._' ]", "", number) if _GROUPED.fullmatch(number) else number)
    except InvalidOperation:
        return None
    return _bounded(value * _FACTORS[match["factor"] or ""])


def _bounded(value: Decimal) -> int | None:
    return int(value) if value == value.to_integral_value() and 1 <= value <= _LARGEST else None


def day_meant(written: str) -> date | None:
    """The day that a text means; None when it is none, or when day and month could be either."""
    found = set(_days(straightened(written).strip(" \"';,").casefold()))
    return found.pop() if len(found) == 1 else None


def _days(text: str) -> Iterator[date]:
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match is not None:
            parts = match.groupdict()
            name = parts.get("name")
            month = _month(name) if name else int(parts["month"])
            try:
                yield date(int(parts["year"]), month, int(parts["day"]))
            except ValueError:
                continue


def _month(name: str) -> int:
    return _MONTHS.index(name[:3]) + 1 if name[:3] in _MONTHS else 0
