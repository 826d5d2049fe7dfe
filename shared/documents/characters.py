"""Characters that look like others: typographic dashes and quotes, letters of other alphabets."""

from __future__ import annotations

import unicodedata

#: Letters of the Cyrillic and of the Greek alphabet, and the Latin ones that look the same.
_CYRILLIC = ("аеёіјорсѕухӏԁԛԝһкмнтвАВЕЅІЈКМНОРСТУХ", "aeeijopcsyxldqwhkmhtbABESIJKMHOPCTYX")
_GREEK = ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαινορυχ", "ABEZHIKMNOPTYXaivopux")
_LETTERS = {odd: latin for alphabet in (_CYRILLIC, _GREEK) for odd, latin in zip(*alphabet, strict=True)}
_QUOTES = {"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "`": "'", "´": "'"}
_OTHERS = {"−": "-", "⁄": "/", "∕": "/", "：": ":", "…": "..."}


def straightened(text: str) -> str:
    """The text with what each of its characters looks like on a keyboard, where that is known."""
    return text if text.isascii() else "".join(map(_plain, text))


def odd_characters(text: object) -> str:
    """A sentence that names the first character of a text that only looks like one of the keyboard's; empty
    when there is none.
    """
    odd = next((char for char in str(text) if not char.isascii() and _plain(char) != char), None)
    if odd is None:
        return ""
    plain = _plain(odd)
    instead = "a space" if plain == " " else f"{plain} (U+{ord(plain[0]):04X})"
    return f" {named(odd)} stands in it: type {instead} instead."


def named(char: str) -> str:
    """`U+2011 (NON-BREAKING HYPHEN)`."""
    name = unicodedata.name(char, "")
    return f"U+{ord(char):04X} ({name})" if name else f"U+{ord(char):04X}"


def _plain(char: str) -> str:
    """The character of the keyboard that looks like this one; itself where none is known."""
    known = _LETTERS.get(char) or _QUOTES.get(char) or _OTHERS.get(char)
    if char.isascii() or known:
        return known if known and not char.isascii() else char
    category = unicodedata.category(char)
    if category in ("Pd", "Zs"):
        return "-" if category == "Pd" else " "
    compatible = unicodedata.normalize("NFKC", char)
    return compatible if compatible.isascii() else char
