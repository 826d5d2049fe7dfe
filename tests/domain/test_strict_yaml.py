"""Strict reading: YAML 1.2, true places, and no file that hangs it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.problem import Position
from shared.domain.strict_yaml import LARGEST, embed, read_bytes


def test_plain_scalars_mean_what_yaml_1_2_says() -> None:
    text = b"[1, -2, 0o14, 0x1f, 012, 1.5, 1e3, .inf, true, False, yes, no, on, null, ~, 2027-03-31, 1_000, 12:30, '1', \"true\"]"
    expected = [1, -2, 12, 31, 12, 1.5, 1000.0, float("inf"), True, False, "yes", "no", "on", None, None]
    assert read_bytes("f", text).data == [*expected, "2027-03-31", "1_000", "12:30", "1", "true"]


def test_every_key_and_value_has_its_place() -> None:
    document = read_bytes("f", b"team:\n  name: alpha\nmodels:\n  - {name: phi-4}\n")
    assert document.data == {"team": {"name": "alpha"}, "models": [{"name": "phi-4"}]}
    assert document.keys["team", "name"] == Position(2, 3)
    assert document.at(("team", "name")) == Position(2, 9)
    assert document.at(("models", 0, "name")) == Position(4, 12)
    assert document.at(("models", 0, "missing")) == Position(4, 5)
    assert document.key_at(("models", 0, "missing")) == Position(4, 5)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("data: |\n  a: 1\n  b: x\n", Position(3, 6)),
        ("data: |-\n\n      a: 1\n      b: x\n", Position(4, 10)),
        ("data: |2\n    a: 1\n    b: x\n", Position(3, 8)),
        ("data: |\r\n  a: 1\r\n  b: x\r\n", Position(3, 6)),
        ("data: '{a: 1, b: x}'\n", Position(1, 18)),
        ("data: >\n  {a: 1,\n  b: x}\n", Position(1, 7)),
    ],
)
def test_a_text_that_is_yaml_itself_keeps_its_places(text: str, place: Position) -> None:
    document = embed(read_bytes("f", text.encode()), ("data",))
    assert document.get(("data", "b")) == "x"
    assert document.at(("data", "b")) == place


def test_an_embedded_text_must_be_a_text() -> None:
    with pytest.raises(ValueError, match="no text"):
        embed(read_bytes("f", b"data: 1"), ("data",))


@pytest.mark.parametrize(
    "part",
    [
        "[",
        "{",
        "- ",
        "? ",
        "a: ",
        "a:\n",
        "&a ",
        "*a,",
        "!",
        "|\n \n",
        '"',
        "'",
        "#\n",
        "\n",
        "%",
        "\x07",
        "\x07\n",
        "9",
        "a: 1\n",
        "[a,",
        "{a,",
        ": ",
        "a ",
    ],
)
def test_a_hostile_file_is_answered_at_once(part: str) -> None:
    started = time.monotonic()
    read_bytes("f", (part * LARGEST)[:LARGEST].encode())
    read_bytes("f", ("x: [" + part * LARGEST)[:LARGEST].encode())
    assert time.monotonic() - started < 10


@given(st.binary(max_size=200) | st.text("ab:-[]{}&*!|>'\"%@` \n\t\r#,?~<\\x0U\x00\x85\u2028\ufeff", max_size=80).map(str.encode))
def test_no_bytes_make_the_reading_fail(content: bytes) -> None:
    document = read_bytes("f", content)
    assert document.data is not None or document.problems
    lines = content.count(b"\n") + content.count(b"\r") + 2
    assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in document.problems)
