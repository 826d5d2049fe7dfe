"""What the webhook says of tuning (api/v1beta1/workspace_validation.go). Nothing here tunes a model."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from standins.kubernetes.kinds import Object
from standins.kubernetes.workspaces.problems import Problem, image_problem, invalid_value, missing
from standins.kubernetes.workspaces.review import Review

_HOME = "kaito-workspace"
_TEMPLATES = {"lora": "lora-params-template", "qlora": "qlora-params-template"}
_METADATA = ("metadata.google.internal", "metadata.google", "instance-data.ec2.internal")


def on_create(review: Review) -> Iterator[Problem]:
    tuning = review.value["tuning"]
    if review.count > 1:
        text = (
            "Tuning does not currently support multinode configurations. Please set the node count to 1. "
            "Future support with DeepSpeed will allow this."
        )
        yield invalid_value(text, "resource.count")
    if review.release.name == "0.12" and review.resource.get("partition") is not None:
        yield invalid_value("GPU partitioning is not supported for tuning workloads", "resource.partition")
    if tuning.get("method", "").lower() not in _TEMPLATES:
        yield invalid_value(tuning.get("method", ""), "tuning.Method")
    yield from _config(review, tuning)
    if tuning.get("input") is None:
        yield missing("tuning.Input")
    else:
        yield from source_problems(review, tuning["input"], "tuning.Input")
    yield from _output(tuning.get("output"))
    yield from _preset(review, tuning.get("preset"))


def on_update(tuning: Object, old: Object) -> Iterator[Problem]:
    """A configuration and the places of data may change."""
    for part in ("input", "output"):
        place = f"tuning.{part.capitalize()}"
        if tuning.get(part) is None:
            yield missing(place)
            continue
        if part == "input" and tuning[part].get("name", "") != (old.get(part) or {}).get("name", ""):
            yield invalid_value("During tuning Name field cannot be changed once set", f"{place}.Name")
        yield from _image(tuning[part], part, place)
    if tuning.get("preset") != old.get("preset"):
        yield "Preset cannot be changed", "tuning.Preset"
    if tuning.get("method", "").lower() != old.get("method", "").lower():
        yield "Method cannot be changed", "tuning.Method"


def source_problems(review: Review, source: Object, place: str) -> Iterator[Problem]:
    """Of the place that data or an adapter comes from."""
    if source.get("urls") and review.release.name == "0.12":
        for problem in filter(None, map(_url_problem, source["urls"])):
            yield invalid_value(problem, f"{place}.URLs")
    yield from _image(source, "input", place)
    ways = [source.get("urls"), source.get("image"), source.get("volumeSource") is not None]
    if sum(map(bool, ways)) != 1:
        for part in ("URLs", "Volume", "Image"):
            yield "Exactly one of URLs, Volume, or Image must be specified", f"{place}.{part}"


def _config(review: Review, tuning: Object) -> Iterator[Problem]:
    """The chart brings a template for either method."""
    name, namespace = tuning.get("config", ""), review.namespace if tuning.get("config") else _HOME
    is_template = not name and tuning.get("method", "").lower() in _TEMPLATES
    if not is_template and (not name or review.config_map(namespace, name) is None):
        text = f"ConfigMap '{name}' specified in 'config' not found in namespace '{namespace}': config"
        yield f"Failed to evaluate validateConfigMap: {text}", "tuning.Config"


def _output(output: Object | None) -> Iterator[Problem]:
    if output is None:
        yield missing("tuning.Output")
        return
    yield from _image(output, "output", "tuning.Output")
    if output.get("image") and not output.get("imagePushSecret"):
        yield missing("tuning.Output.Must specify imagePushSecret with destination image")
    if bool(output.get("image")) + (output.get("volumeSource") is not None) != 1:
        yield missing("tuning.Output.Exactly one of Volume or Image must be specified")


def _preset(review: Review, preset: Object | None) -> Iterator[Problem]:
    if preset is None:
        yield missing("tuning.Preset")
    elif not review.release.is_valid(preset["name"]):
        yield invalid_value(f"Unsupported tuning preset name {preset['name']}", "tuning.presetName")


def _image(part: Object, way: str, place: str) -> Iterator[Problem]:
    if part.get("image") and (problem := image_problem(part["image"])):
        yield invalid_value(f"Unable to parse {way} image reference: {problem}", f"{place}.Image")


def _url_problem(text: str) -> str | None:
    try:
        url = urlsplit(text)
        host = (url.hostname or "").lower()
    except ValueError:
        return "invalid data source URL"
    if not url.scheme or not url.netloc:
        return "invalid data source URL"
    if url.scheme.lower() not in ("http", "https"):
        return "data source URL must use HTTP or HTTPS"
    if host == "localhost" or host.endswith(".localhost") or host in _METADATA:
        return "data source URL must not target a local or metadata endpoint"
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    is_near = (
        address.is_loopback or address.is_link_local or (address.is_private and not address.is_unspecified)
    )
    return "data source URL must not target a loopback, private, or link-local address" if is_near else None
