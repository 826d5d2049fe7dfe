"""The base of all schemas: how strictly they are read, and the types of their texts and numbers.

Each type validates itself with a message that says what to write; its JSON Schema tells an editor the same.
"""

from __future__ import annotations

import re
from datetime import date
from functools import partial
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shared import names
from shared.documents.amounts import day_meant, number_meant
from shared.documents.problem import did_you_mean, quote

MAX_TOKENS_PER_MINUTE = 2**31 - 1
MAX_TOKENS = 10**12
MAX_REQUESTS_PER_MINUTE = 1_000_000

_EMAIL = r"^[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_INSTANCE_TYPE = r"^Standard_[A-Za-z0-9]+(_[A-Za-z0-9]+)*$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_NUMBER = r"^[1-9][0-9]{0,11}$"


class Schema(BaseModel):
    """A mapping in a file: keys in camelCase, nothing converted, no unknown keys."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


Form = TypeVar("Form", bound=Schema)


def parse_leniently(form: type[Form], raw: object) -> Form | None:
    """The mapping without the keys that have problems; None when it is not valid without them."""
    try:
        return form.model_validate(raw)
    except ValidationError as error:
        if not isinstance(raw, dict):
            return None
        wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
    try:
        return form.model_validate({key: value for key, value in raw.items() if key not in wrong})
    except ValidationError:
        return None


def validation_error(reason: str, message: str) -> PydanticCustomError:
    """The error that a validator raises, with the reason and the message of the problem."""
    return PydanticCustomError(reason, "{message}", {"message": message})


def _team(text: str) -> str:
    if problem := names.team_problem(text):
        raise validation_error(problem[0], f"{quote(text)} cannot be a team's name: {problem[1]}.")
    return text


def _model(text: str, info: ValidationInfo) -> str:
    """`info.context` are the models on offer, for a guess; None where they are not known."""
    if problem := names.model_problem(text):
        guess = did_you_mean(text, info.context or ())
        raise validation_error(problem[0], f"{quote(text)} cannot be a model's name: {problem[1]}.{guess}")
    return text


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise validation_error("BadText", f"{quote(text)} must be one line of visible text.")
    return text


def _matching(pattern: str, reason: str, advice: str, text: str) -> str:
    if not re.fullmatch(pattern, text):
        raise validation_error(reason, f"{quote(text)} {advice}.")
    return text


def _date(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value if re.fullmatch(_DATE, value) else "")
    except ValueError:
        meant = day_meant(value)
        advice = f"Write {meant}." if meant else "Write year, month and day, such as 2027-03-31."
        raise validation_error("BadDate", f"{quote(value)} is not a date. {advice}") from None


def _number(value: object) -> object:
    meant = number_meant(value) or 10000
    if not isinstance(value, str):
        raise validation_error(
            "WrongType", f'Write the number in quotes, such as "{meant}": every value of a ConfigMap is text.'
        )
    if not re.fullmatch(_NUMBER, value):
        raise validation_error(
            "BadNumber",
            f'{quote(value)} must be a whole number above 0 in quotes, digits only, such as "{meant}".',
        )
    return int(value)


def _flag(value: object) -> object:
    if value not in ("true", "false"):
        raise validation_error(
            "WrongType", 'Write "true" or "false", in quotes: every value of a ConfigMap is text.'
        )
    return value == "true"


TeamName = Annotated[
    str,
    AfterValidator(_team),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": names.TEAM_PATTERN,
            "minLength": names.MIN_TEAM_LENGTH,
            "maxLength": names.MAX_TEAM_LENGTH,
            "not": {"anyOf": [{"pattern": f"^{names.FOLDER_PREFIX}"}, {"enum": sorted(names.RESERVED)}]},
        }
    ),
]
ModelName = Annotated[
    str,
    AfterValidator(_model),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": names.MODEL_PATTERN,
            "minLength": 1,
            "maxLength": names.MAX_MODEL_LENGTH,
        }
    ),
]
Line = Annotated[str, Field(max_length=100), AfterValidator(_line)]
Email = Annotated[
    str,
    Field(max_length=254),
    AfterValidator(
        partial(
            _matching,
            _EMAIL,
            "BadEmail",
            "is not an e-mail address; write one such as alpha-lead@contoso.com",
        )
    ),
    WithJsonSchema({"type": "string", "pattern": _EMAIL, "maxLength": 254}),
]
GroupId = Annotated[
    str,
    AfterValidator(
        partial(
            _matching,
            _UUID,
            "BadUuid",
            "is not an object id; copy it from the group's page in Entra: 8-4-4-4-12 hexadecimal digits with "
            "dashes between them",
        )
    ),
    AfterValidator(str.lower),
    WithJsonSchema({"type": "string", "pattern": _UUID}),
]
InstanceType = Annotated[
    str,
    Field(max_length=64),
    AfterValidator(
        partial(
            _matching,
            _INSTANCE_TYPE,
            "BadInstanceType",
            "is not an instance type; write one such as Standard_NC24ads_A100_v4",
        )
    ),
    WithJsonSchema({"type": "string", "pattern": _INSTANCE_TYPE, "maxLength": 64}),
]
Day = Annotated[
    date, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date", "pattern": _DATE})
]
TokensPerMinute = Annotated[int, Field(ge=1, le=MAX_TOKENS_PER_MINUTE)]
Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
RequestsPerMinute = Annotated[int, Field(ge=1, le=MAX_REQUESTS_PER_MINUTE)]

_NUMBER_AS_TEXT = WithJsonSchema({"type": "string", "pattern": _NUMBER})
TokensPerMinuteText = Annotated[TokensPerMinute, BeforeValidator(_number), _NUMBER_AS_TEXT]
RequestsPerMinuteText = Annotated[RequestsPerMinute, BeforeValidator(_number), _NUMBER_AS_TEXT]
TokensText = Annotated[Tokens, BeforeValidator(_number), _NUMBER_AS_TEXT]
FlagText = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"enum": ["true", "false"]})]
