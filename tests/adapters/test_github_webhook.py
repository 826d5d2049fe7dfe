"""A webhook call: proved by its signature, then by whose push it is."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.github_webhook import MAX_BODY_BYTES, Expected, Refused, is_signed, read_delivery
from shared.branch.withdrawal_guard import MissingTeam, withhold
from shared.messaging.outcomes import Push

SECRET, PREVIOUS = "It's a Secret to Everybody", "the one before"
EXPECTED = Expected((SECRET,), repository_id=7, branch="main", installation_id=9)
BEFORE, AFTER, DELIVERY = "b" * 40, "a" * 40, "72d3162e-cc78-11e3-81ab-4c9367dc0958"
PAYLOAD: dict[str, Any] = {
    "ref": "refs/heads/main",
    "before": BEFORE,
    "after": AFTER,
    "repository": {"id": 7},
    "installation": {"id": 9},
}


def _signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _read(body: bytes, expected: Expected = EXPECTED, **headers: str) -> Push | None:
    given = {"x-github-event": "push", "x-github-delivery": DELIVERY, "x-hub-signature-256": _signature(body)}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return read_delivery({name: value for name, value in given.items() if value}, body, expected)


def _status(body: bytes, expected: Expected = EXPECTED, **headers: str) -> int:
    with pytest.raises(Refused) as refused:
        _read(body, expected, **headers)
    return refused.value.status


def _body(**changed: Any) -> bytes:
    return json.dumps(
        {key: value for key, value in (PAYLOAD | changed).items() if value is not None}
    ).encode()


def test_githubs_own_example_of_a_signature_is_accepted() -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert is_signed(signature, b"Hello, World!", [SECRET])
    assert not is_signed(signature, b"Hello, World?", [SECRET])
    assert not is_signed(signature, b"Hello, World!", [SECRET.lower()])


def test_a_push_to_our_branch_is_taken() -> None:
    assert _read(_body()) == Push(DELIVERY, BEFORE, after=AFTER)


@pytest.mark.parametrize("after", [None, "0" * 40, 7, "main", ["a" * 40]])
def test_a_push_without_a_commit_afterwards_is_taken(after: object) -> None:
    """The branch was deleted, or GitHub says something new: the head is asked for anyway."""
    assert _read(_body(after=after)) == Push(DELIVERY, BEFORE)


#: The line that the guard asks for.
LEAVE = withhold(
    [], [MissingTeam("alpha", "tenant-access/config/alpha/access.yaml", "c" * 40, withdrawn=False)]
).approval


@pytest.mark.parametrize(
    ("about", "allows"),
    [
        ({"commits": [{"message": "Remove"}, {"message": f"Remove\n\n{LEAVE}"}]}, True),
        ({"commits": [], "head_commit": {"message": f"Remove\r\n\r\n{LEAVE}\r\n"}}, True),
        ({"commits": [{"message": LEAVE}], "head_commit": {"message": "Remove"}}, True),
        (
            {"commits": [{"message": f"Remove, as in {LEAVE}"}], "head_commit": {"message": f" {LEAVE}"}},
            False,
        ),
        ({"commits": [{"message": LEAVE.replace("-", " ")}], "head_commit": {}}, False),
    ],
    ids=["a commit", "the head", "not the head", "in a line", "other words"],
)
def test_a_push_says_whether_one_of_its_commits_gives_leave(about: dict[str, Any], allows: bool) -> None:
    assert _read(_body(**about)) == Push(DELIVERY, BEFORE, allows, AFTER)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        True,
        7,
        LEAVE,
        [LEAVE],
        [None],
        {"message": [LEAVE]},
        [{"message": {LEAVE: 1}}],
        [[LEAVE]],
        {"commits": LEAVE},
    ],
)
def test_commits_of_another_shape_say_nothing(odd: Any) -> None:
    assert _read(_body(commits=odd, head_commit=odd)) == Push(DELIVERY, BEFORE, after=AFTER)
    assert _read(_body(commits=odd, head_commit={"message": LEAVE})) == Push(
        DELIVERY, BEFORE, allows=True, after=AFTER
    )


@pytest.mark.parametrize("zeros", ["0" * 40, "0" * 64])
def test_a_new_branch_has_nothing_before(zeros: str) -> None:
    assert _read(_body(before=zeros)) == Push(DELIVERY, None, after=AFTER)


def test_a_repository_with_longer_ids_is_read_too() -> None:
    assert _read(_body(before="c" * 64)) == Push(DELIVERY, "c" * 64, after=AFTER)


def test_two_secrets_are_accepted_while_one_replaces_the_other() -> None:
    both = Expected((SECRET, PREVIOUS), 7, "main", 9)
    body = _body()
    for secret in (SECRET, PREVIOUS):
        assert _read(body, both, x_hub_signature_256=_signature(body, secret)) is not None
    assert _status(body, both, x_hub_signature_256=_signature(body, "a third")) == 401


def _sha1(body: bytes) -> str:
    return "sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        _sha1(_body()),
        _signature(_body()).removeprefix("sha256="),
        _signature(_body()).upper(),
        _signature(_body()) + " ",
        _signature(_body()) + "\n",
        "sha256=" + "é" * 64,
        "sha256=" + "٣" * 64,
        _signature(b""),
    ],
    ids=[
        "none",
        "empty",
        "zeros",
        "SHA-1",
        "bare",
        "upper case",
        "space",
        "newline",
        "not ASCII",
        "other digits",
        "of another body",
    ],
)
def test_a_call_without_our_signature_is_refused(signature: str) -> None:
    assert _status(_body(), x_hub_signature_256=signature) == 401


def test_the_signature_of_the_older_header_counts_for_nothing() -> None:
    assert _status(_body(), x_hub_signature_256="", x_hub_signature=_sha1(_body())) == 401


@given(st.text(max_size=80), st.binary(max_size=40))
def test_no_signature_breaks_the_reader(signature: str, body: bytes) -> None:
    assert not is_signed(signature, body, [SECRET])


def test_a_body_larger_than_github_sends_is_not_even_hashed() -> None:
    assert _status(b"x" * (MAX_BODY_BYTES + 1), x_hub_signature_256="") == 413


def test_nothing_is_read_before_the_signature_is_right() -> None:
    assert _status(b"not JSON", x_hub_signature_256="", x_github_event="nonsense") == 401


def test_a_ping_is_answered() -> None:
    assert _read(b"{}", x_github_event="ping", content_type="application/json") is None


@pytest.mark.parametrize("event", ["ping", "push"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"payload=%7B%7D"),
        ("Application/X-WWW-Form-Urlencoded; charset=utf-8", b"{}"),
        ("", b"payload=%7B%7D"),
        ("application/json", b""),
    ],
)
def test_form_data_is_refused_with_the_content_type_to_choose(
    event: str, content_type: str, body: bytes
) -> None:
    """At the ping already, which GitHub sends when a webhook is set up."""
    with pytest.raises(Refused) as refused:
        _read(body, x_github_event=event, content_type=content_type)
    assert refused.value.status == 400
    assert "application/json" in refused.value.message


@pytest.mark.parametrize("event", ["pull_request", "installation", "", "PUSH"])
def test_other_events_mean_nothing_to_us(event: str) -> None:
    assert _status(_body(), x_github_event=event) == 204


@pytest.mark.parametrize("ref", ["refs/heads/other", "refs/tags/main", "main", "refs/heads/main2"])
def test_pushes_to_other_branches_mean_nothing_to_us(ref: str) -> None:
    assert _status(_body(ref=ref)) == 204


@pytest.mark.parametrize(
    "changed",
    [
        {"repository": {"id": 8}},
        {"repository": {"id": "7"}},
        {"installation": {"id": 8}},
        {"installation": None},
        {"installation": {}},
    ],
    ids=str,
)
def test_pushes_of_others_are_forbidden(changed: dict[str, Any]) -> None:
    assert _status(_body(**changed)) == 403


def test_without_an_app_any_installation_is_ours() -> None:
    plain = Expected((SECRET,), 7, "main", None)
    assert _read(_body(installation=None), plain) == Push(DELIVERY, BEFORE, after=AFTER)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"7",
        b"[" * 200_000,
        b"payload=%7B%7D",
        b"{}",
        _body(repository=None),
        _body(repository=[]),
        _body(before=None),
        _body(before=7),
        _body(before="main"),
        _body(before="B" * 40),
        _body(ref=None),
    ],
)
def test_garbage_with_a_right_signature_is_a_bad_request(body: bytes) -> None:
    assert _status(body) == 400


@pytest.mark.parametrize("delivery", ["", "a b", "x" * 65, "a/b", "é"])
def test_a_delivery_without_a_usable_id_is_a_bad_request(delivery: str) -> None:
    assert _status(_body(), x_github_delivery=delivery) == 400


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*PAYLOAD, "id"]), inner),
    )
)
def test_any_other_json_is_refused(value: Any) -> None:
    assert _status(json.dumps(value).encode()) in (204, 400, 403)
