"""What the end of an engine's log says of why it ended: one of a few classes, and nothing of its text.

A log holds what its program wrote: arguments, prompts, tokens. So a text is classified where it was read, and
only the class goes on. Source of the lines: https://github.com/vllm-project/vllm (0.22, 0.25), started by
KAITO's inference_api.py, and https://github.com/huggingface/huggingface_hub.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LogTail:
    """The last lines of a log. It shows nothing of them where it is printed."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogClass:
    """`name` is explained in docs/errors.md, `text` is for people. `is_final`: it follows from what the
    engine was told and from nothing else, so no other try ends otherwise.
    """

    name: str
    text: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    pattern: re.Pattern[str]
    found: LogClass


def _row(pattern: str, name: str, text: str, *, is_final: bool = False) -> _Row:
    return _Row(re.compile(pattern), LogClass(name, text, is_final))


_ERROR = r"\.py: error: "
_REFUSED = "LogArgumentInvalid", "an argument's value is refused"
#: The first row whose pattern is in any line decides: the last line is seldom the cause, so what is special
#: comes before what is general. Of a pydantic ValidationError the cause is the line before the link.
_TABLE = (
    _row(f"{_ERROR}unrecognized arguments", "LogArgumentUnknown", "an argument is unknown", is_final=True),
    _row(
        f"{_ERROR}(the following arguments are required|argument .*: expected )",
        "LogArgumentMissing",
        "an argument, or its value, is missing",
        is_final=True,
    ),
    _row(_ERROR, *_REFUSED, is_final=True),
    _row(
        r"KeyError: ['\"]invalid (tool call|reasoning) parser|requires --tool-call-parser",
        "LogParserUnknown",
        "the parser of tool calls is unknown",
        is_final=True,
    ),
    _row(
        r"User-specified max_model_len \(\S+\) is greater than the derived max_model_len",
        "LogContextAboveModel",
        "the context is longer than the model's",
        is_final=True,
    ),
    _row(
        r"Unknown quantization method|Cannot find the config file for ",
        "LogQuantizationRefused",
        "the model does not have this quantization",
        is_final=True,
    ),
    _row(
        r"Model architectures .* are not supported",
        "LogModelNotSupported",
        "the engine does not know this kind of model",
        is_final=True,
    ),
    _row(
        r"larger than the (available KV cache memory|maximum number of tokens that can be stored)",
        "LogContextAboveMemory",
        "the GPUs' memory does not hold the context",
    ),
    _row(
        r"OutOfMemoryError\b|CUDA out of memory|No available memory for the cache blocks"
        r"|Free memory on device .*(?:is less than|$)",
        "LogGpuMemory",
        "the GPUs' memory does not suffice",
    ),
    _row(
        r"GatedRepoError|RepositoryNotFoundError|Cannot access gated repo|(401|403) Client Error",
        "LogWeightsRefused",
        "the hub does not give the weights to this token, or to none",
    ),
    _row(
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|couldn't connect to 'https://huggingface\.co",
        "LogHubUnreachable",
        "the hub cannot be reached",
    ),
    _row(r"HFValidationError", "LogModelNotFound", "the model's folder is not there, nor is it an id"),
    _row(r"\[Errno 98\]", "LogPortInUse", "the port is in use"),
    _row(r"\[Errno 28\]|No space left on device", "LogDiskFull", "the disk is full"),
    _row(
        r"No CUDA GPUs are available|Failed to infer device type|no NVIDIA driver on your system",
        "LogGpuNotSeen",
        "the engine sees no GPU",
    ),
    _row(r"errors\.pydantic\.dev/", "LogValueRefused", "a value of the configuration is refused"),
)
#: All of them, in the order of the table.
LOG_CLASSES = tuple(row.found for row in _TABLE)
FINAL = frozenset(each.name for each in LOG_CLASSES if each.is_final)


def classify(tail: LogTail | None) -> LogClass | None:
    """The class of a log's end; None for one that says nothing known, or that nobody could read."""
    lines = [] if tail is None else tail.text.splitlines()
    return next((row.found for row in _TABLE if any(map(row.pattern.search, lines))), None)
