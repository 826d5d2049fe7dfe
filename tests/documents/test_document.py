"""A document knows where its parts stand, and which of them it does not know."""

from __future__ import annotations

from shared.documents.document import Document
from shared.documents.strict_yaml import read_bytes

TEXT = b"team:\n  name: alpha\n  tags: [a, b]\nalias: *x\n"


def _read(text: bytes = TEXT) -> Document:
    return read_bytes("a.yaml", text)


def test_a_part_is_got_by_its_path_and_what_is_not_there_is_none() -> None:
    document = _read()
    assert document.get(("team", "tags", 1)) == "b"
    for where in (
        ("team", "tags", 2),
        ("team", "tags", "a"),
        ("team", 0),
        ("nobody",),
        ("team", "name", "first"),
    ):
        assert document.get(where) is None


def test_what_is_missing_is_placed_at_what_is_around_it() -> None:
    document = _read()
    assert (document.at(("team", "name")).line, document.at(("team", "name")).column) == (2, 9)
    assert document.at(("team", "owner")) == document.at(("team",))
    assert (document.key_at(("team", "owner")).line, document.key_at(("team", "owner")).column) == (1, 1)
    assert document.key_at(("team", "tags", 1)) == document.at(("team", "tags", 1))
    assert document.at(("nobody",)) == document.key_at(("nobody",))


def test_what_an_alias_would_have_said_is_unknown_and_so_is_whatever_holds_it() -> None:
    document = _read()
    assert document.knows(("team",))
    assert document.knows_all(("team",))
    assert not document.knows(("alias",))
    assert not document.knows(("alias", "deeper"))
    assert document.knows(())
    assert not document.knows_all(())
