"""`SECURITY.md` says of every identity what the deployment lets it do, and nothing else."""

from __future__ import annotations

from tests.docs.security_page import BEGIN, END, PAGE, PLACES, TABLE, inserted


def test_the_page_says_what_each_identity_may_do() -> None:
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    assert inserted(page) == page, "python -m tests.docs.security_page writes it anew"


def test_every_place_has_a_name_for_people() -> None:
    assert {row["at"] for row in TABLE["assignments"].values()} == PLACES.keys()
