"""A strict reading of YAML: plain data, where each part stands, and everything that is wrong with the text.

Refused: anchors, aliases, merge keys, tags, directives, duplicate keys, several documents, invisible
characters, more than 64 KiB, more than 20 levels. The text is read as a stream of events without recursion,
and nothing is ever expanded, so a hostile file costs no more than its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from shared.documents.characters import named
from shared.documents.document import Document, KeyPath
from shared.documents.problem import START, Position, Problem, problem_at
from shared.documents.secret_detection import keys_in
from shared.documents.yaml_reader import Place, Reader
from shared.documents.yaml_scalars import forbidden_in, odd_spaces_in

MAX_FILE_BYTES = 64 * 1024
#: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_POINTER = b"version https://git-lfs.github.com/spec/"


def is_pointer(content: bytes) -> bool:
    """Whether a file's content only tells where Git LFS keeps it."""
    return content.startswith(_POINTER)


def read_bytes(path: str, content: bytes) -> Document:
    """A file's content as a document. Never raises; a UTF-8 byte order mark at the start is accepted."""
    if is_pointer(content):
        advice = (
            "This is a pointer of Git LFS, and what it points to is not read. Take the file out of LFS and "
            "commit its text."
        )
        return _refused(path, START, "LfsPointer", advice)
    if len(content) > MAX_FILE_BYTES:
        return _refused(
            path, START, "TooLarge", f"The file has more than {MAX_FILE_BYTES:,} bytes (64 KiB). Shorten it."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        position = Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
        return _refused(
            path,
            position,
            "NotUtf8",
            "From here on the file is not UTF-8 text. Save it with the encoding UTF-8.",
        )
    return read_text(path, text, lambda line, column: Position(line + 1, column + 1))


def read_text(path: str, text: str, place: Place) -> Document:
    """A text as a document, `place` telling where it stands in the file. Never raises."""
    reader = Reader(path, text, place)
    for line, column, code in forbidden_in(text):
        reader.complain(
            line, column, "ControlCharacter", f"There is an invisible character ({code}) here. Remove it."
        )
    for line, column, space in odd_spaces_in(text):
        advice = f"{named(space)} stands here. Type an ordinary space instead."
        reader.complain(line, column, "ControlCharacter", advice)
    reader.read()
    return reader.document()


def secret_problems(path: str, content: bytes, reason: str) -> Iterator[Problem]:
    """A problem for each line of a file, comments included, that holds what looks like a key."""
    advice = "This looks like a key or a token. Remove it, and revoke it: Git keeps it forever."
    for line, column in keys_in(content[:MAX_FILE_BYTES].decode("utf-8-sig", "replace")):
        yield problem_at(path, Position(line + 1, column + 1), reason, advice)


def embed(document: Document, where: KeyPath) -> Document:
    """The document with a text of it, itself YAML, replaced by what it says.

    `where` must name a text in a mapping, else `ValueError`. The data is changed in place: go on with the
    answer only.
    """
    parent, text = document.get(where[:-1]), document.get(where)
    if not isinstance(parent, dict) or not isinstance(text, str):
        raise ValueError(f"no text at {where}")
    start, fallback = document.text_starts.get(where), document.at(where)

    def place(line: int, column: int) -> Position:
        return fallback if start is None else Position(start.line + line, start.column + column)

    inner = read_text(document.path, text, place)
    parent[where[-1]] = inner.data
    return replace(
        document,
        keys={**document.keys, **{(*where, *way): position for way, position in inner.keys.items()}},
        values={
            **document.values,
            **{(*where, *way): position for way, position in inner.values.items() if way},
        },
        unread=document.unread | {(*where, *way) for way in inner.unread},
        problems=document.problems + inner.problems,
        numbers={**document.numbers, **{(*where, *way): text for way, text in inner.numbers.items()}},
    )


def _refused(path: str, position: Position, reason: str, message: str) -> Document:
    return Document(path, None, {}, {}, {}, frozenset({()}), (problem_at(path, position, reason, message),))
