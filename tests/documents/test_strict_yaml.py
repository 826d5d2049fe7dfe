"""Strict reading: YAML 1.2, true places, and no file that hangs it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.documents.problem import Position
from shared.documents.strict_yaml import MAX_FILE_BYTES, embed, read_bytes


def test_plain_scalars_mean_what_yaml_1_2_says() -> None:
    text = (
        b"[1, -2, 0o14, 0x1f, 012, 1.5, 1e3, .inf, true, False, yes, no, on, null, ~, 2027-03-31, 1_000, "
        b"12:30, '1', \"true\"]"
    )
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
        "9,",
        "9,9 ,",
        "a:b,",
        "a: b: ",
        '"a ',
        "{a,",
        ": ",
        "a ",
    ],
)
def test_a_hostile_file_as_long_as_a_file_may_be_is_answered(part: str) -> None:
    """With data or with what is wrong, and never with that it is too long. What takes a parser forever never
    gets there.
    """
    for begin in ("", "x: ["):
        document = read_bytes("f", (begin + part * MAX_FILE_BYTES)[:MAX_FILE_BYTES].encode())
        assert document.data is not None or document.problems
        assert "TooLarge" not in {problem.reason for problem in document.problems}


@given(
    st.binary(max_size=200)
    | st.text("ab:-[]{}&*!|>'\"%@` \n\t\r#,?~<\\x0U\x00\x85\u2028\ufeff", max_size=80).map(str.encode)
)
def test_no_bytes_make_the_reading_fail(content: bytes) -> None:
    document = read_bytes("f", content)
    assert document.data is not None or document.problems
    lines = content.count(b"\n") + content.count(b"\r") + 2
    assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in document.problems)


def test_a_file_may_have_64_kib_and_begin_with_a_byte_order_mark() -> None:
    assert read_bytes("f", b"a: 1\n" + b"#" * (MAX_FILE_BYTES - 5)).problems == ()
    [problem] = read_bytes("f", b"a: 1\n" + b"#" * (MAX_FILE_BYTES - 4)).problems
    assert problem.reason == "TooLarge"
    assert "65,536" in problem.message
    assert read_bytes("f", b"\xef\xbb\xbfa: 1").data == {"a": 1}


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [(b"\xff", 1, 1), (b"a: \xc3\xa4\xff", 1, 5), (b"a: 1\nb: \xff", 2, 4), (b"a\n\n\xff", 3, 1)],
)
def test_what_is_not_utf_8_is_told_from_where_on(content: bytes, line: int, column: int) -> None:
    document = read_bytes("f", content)
    [problem] = document.problems
    assert (problem.line, problem.column, problem.reason) == (line, column, "NotUtf8")
    assert (document.data, document.knows(("a",))) == (None, False)


def test_invisible_characters_are_told_twenty_times() -> None:
    problems = read_bytes("f", ("\u200b\n" * 30).encode()).problems
    assert [problem.line for problem in problems if problem.reason == "ControlCharacter"] == list(
        range(1, 21)
    )


@pytest.mark.parametrize("text", [b"&a team: 1", b"!!str team: 1", b"&a !!str team: 1"])
def test_a_key_is_written_without_anchor_and_tag(text: bytes) -> None:
    document = read_bytes("f", b"x: 0\n" + text)
    [problem] = document.problems
    assert (problem.line, problem.column, problem.reason) == (2, 1, "AnchorOrAlias")
    assert "'team'" in problem.message
    assert document.data == {"x": 0, "team": 1}


def test_of_a_key_that_stands_twice_the_first_counts_and_both_are_read_for_mistakes() -> None:
    document = read_bytes("f", b"a: 1\na: {b: 1, b: 2}\nc: 3\n")
    assert document.data == {"a": 1, "c": 3}
    assert document.at(("a",)) == Position(1, 4)
    told = [(problem.line, problem.column, problem.reason) for problem in document.problems]
    assert told == [(2, 1, "DuplicateKey"), (2, 11, "DuplicateKey")]
    for problem, key, line in zip(document.problems, "ab", (1, 2), strict=True):
        assert f"'{key}'" in problem.message
        assert f"line {line}" in problem.message


@pytest.mark.parametrize("text", [b"a: [", b"a: {b: *x }\n? [1]\n: 2", b"{*x : 1}"])
def test_a_reading_that_ends_early_leaves_no_data(text: bytes) -> None:
    document = read_bytes("f", text)
    assert (document.data, document.knows(("a",))) == (None, False)
