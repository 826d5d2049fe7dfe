"""A key has no spelling: whatever is done with it, it does not appear."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from shared.adapters.translate import translated
from shared.secret import SecretValue
from shared.stages.apply import Secret

KEY = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Holder:
    name: str
    value: SecretValue


@pytest.fixture
def secret() -> SecretValue:
    return SecretValue(KEY)


def test_no_way_of_writing_it_shows_it(secret: SecretValue) -> None:
    holder = Holder("alpha", secret)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret:}"]
    shown += ["%s" % secret, "%r" % (secret,)]  # noqa: UP031  # every way
    shown += [
        repr(holder),
        str([secret]),
        str({"key": secret}),
        repr((secret, secret)),
        repr(Secret("a", "b", secret)),
        ascii(secret),
    ]
    assert not [text for text in shown if KEY in text]
    assert str(secret) == "SecretValue(...)"


def test_it_can_be_neither_pickled_nor_copied_nor_made_json(secret: SecretValue) -> None:
    ways: list[Callable[[Any], object]] = [
        pickle.dumps,
        json.dumps,
        copy.copy,
        copy.deepcopy,
        bytes,
        list,
        hash,
    ]
    for write in ways:
        with pytest.raises(TypeError):
            write(secret)
    with pytest.raises(TypeError, match=r"^a secret value cannot be pickled$"):
        pickle.dumps(secret)


def test_a_dataclass_that_holds_it_cannot_be_turned_inside_out(secret: SecretValue) -> None:
    with pytest.raises(TypeError):
        asdict(Holder("alpha", secret))


def test_it_has_no_attributes_to_walk_through(secret: SecretValue) -> None:
    with pytest.raises(TypeError):
        vars(secret)


def test_it_is_not_compared_by_accident(secret: SecretValue) -> None:
    with pytest.raises(TypeError, match=r"^compare fingerprints, not secret values$"):
        assert secret == SecretValue(KEY)
    with pytest.raises(TypeError):
        assert secret in [SecretValue(KEY)]


def test_an_exception_and_its_trace_do_not_show_it(secret: SecretValue) -> None:
    with pytest.raises(ValueError, match="refused") as caught:
        raise ValueError("the vault refused", secret)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_log_record_does_not_show_it(secret: SecretValue, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("mergekey").info("got %s and %r", secret, {"key": secret})
    assert KEY not in caplog.text


def test_an_answer_that_an_sdk_quotes_does_not_travel_along() -> None:
    class Quoting(Exception):
        """As azure-core's: its text quotes the body of the answer."""

    Quoting.__module__ = "azure.core.exceptions"
    with pytest.raises(Exception) as caught, translated("Key Vault"):  # noqa: PT011  # whatever it becomes
        raise Quoting(f'{{"value": "{KEY}"}}')
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_the_fingerprint_tells_equal_values_and_nothing_else(secret: SecretValue) -> None:
    assert secret.fingerprint("a") == SecretValue(KEY).fingerprint("a")
    assert secret.fingerprint("a") != secret.fingerprint("b")
    assert secret.fingerprint("a") != SecretValue(KEY[::-1]).fingerprint("a")
    assert len(secret.fingerprint("a")) == 16
    assert secret.fingerprint("a") not in KEY


def test_a_key_is_never_empty() -> None:
    with pytest.raises(ValueError, match=r"^a secret value cannot be empty$"):
        SecretValue("")


def test_it_is_revealed_on_purpose_only(secret: SecretValue) -> None:
    assert secret.reveal() == KEY
