"""Texts of people in Markdown stay texts."""

from __future__ import annotations

import pytest

from shared.documents.markdown import as_code, message_as_code, spelt_out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a", "`a`"),
        ("a`b", "`` a`b ``"),
        ("``` x ````", "````` ``` x ```` `````"),
        ("a\nb\x1b", "`a\\nb\\x1b`"),
        ("\u202eevil", "`\\u202eevil`"),
    ],
)
def test_a_fence_is_longer_than_any_run_of_backticks(text: str, shown: str) -> None:
    assert as_code(text) == shown


def test_the_lines_of_a_message_stay_lines() -> None:
    assert message_as_code("one\n\n    two\n") == "`one`<br>`two`"
    assert spelt_out("one\n\x1btwo") == "one\n\\x1btwo"
