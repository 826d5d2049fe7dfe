"""What the end of a log says: its class, and none of its text."""

from __future__ import annotations

import pytest

from shared.kaito.log_classes import FINAL, LOG_CLASSES, LogTail, classify

_VALUE = (
    "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, {}\n"
)
_LINK = "    For further information visit https://errors.pydantic.dev/2.12/v/value_error"
#: The lines that vLLM 0.22 and 0.25, KAITO's inference_api.py, PyTorch and the hub's client end with.
ENDS = {
    "usage: x\ninference_api.py: error: unrecognized arguments: True": "LogArgumentUnknown",
    "inference_api.py: error: argument --max-model-len: expected one argument": "LogArgumentMissing",
    "inference_api.py: error: the following arguments are required: --model": "LogArgumentMissing",
    "inference_api.py: error: argument --max-model-len: invalid int value: '1e3'": "LogArgumentInvalid",
    "KeyError: 'invalid tool call parser: nonsense (chose from {hermes})'": "LogParserUnknown",
    "TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser": "LogParserUnknown",
    _VALUE.format("User-specified max_model_len (9) is greater than the derived max_model_len (x=4).")
    + _LINK: "LogContextAboveModel",
    _VALUE.format("Unknown quantization method: nonsense. Must be one of [].")
    + _LINK: "LogQuantizationRefused",
    _VALUE.format("Cannot find the config file for awq") + _LINK: "LogQuantizationRefused",
    _VALUE.format("Model architectures ['X'] are not supported for now.") + _LINK: "LogModelNotSupported",
    _VALUE.format("max_model_len must be greater than 0") + _LINK: "LogValueRefused",
    "8 GiB is needed, which is larger than the available KV cache memory": "LogContextAboveMemory",
    "torch.OutOfMemoryError: CUDA out of memory.\nRuntimeError: Engine core failed.": "LogGpuMemory",
    "ValueError: No available memory for the cache blocks.": "LogGpuMemory",
    "ValueError: Free memory on device cuda:0 (2/24 GiB) on startup is less than desired": "LogGpuMemory",
    "huggingface_hub.errors.GatedRepoError: 401 Client Error.": "LogWeightsRefused",
    "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.": "LogWeightsRefused",
    "huggingface_hub.errors.LocalEntryNotFoundError: An error happened": "LogHubUnreachable",
    "huggingface_hub.errors.HFValidationError: Repo id must be in the form": "LogModelNotFound",
    "OSError: [Errno 98] Address already in use": "LogPortInUse",
    "OSError: [Errno 28] No space left on device": "LogDiskFull",
    "RuntimeError: No CUDA GPUs are available": "LogGpuNotSeen",
}


@pytest.mark.parametrize("text", ENDS)
def test_the_end_of_a_log_has_a_class(text: str) -> None:
    found = classify(LogTail(f"INFO loading\n{text}\nresource_tracker: 1 leaked object\n"))
    assert found is not None
    assert found.name == ENDS[text]
    assert found.text not in text


def test_every_class_is_met() -> None:
    assert {each.name for each in LOG_CLASSES} == set(ENDS.values())


@pytest.mark.parametrize(
    "text", ["", "Traceback (most recent call last):\nKeyError: 'x'", "\x00\ud83d\n", _LINK[:9]]
)
def test_what_is_not_known_has_none(text: str) -> None:
    assert classify(LogTail(text)) is None


def test_what_may_pass_is_not_final() -> None:
    """A token, a network and memory that others hold may be there at the next try."""
    assert not FINAL & {"LogWeightsRefused", "LogHubUnreachable", "LogGpuMemory", "LogValueRefused"}


def test_a_log_is_not_shown_where_it_is_printed() -> None:
    tail = LogTail("HF_TOKEN=of somebody")
    assert "somebody" not in f"{tail} {tail!r}"
