"""What a server of KAITO is: its model's name and context, how it reads calls of tools, and its state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from aiohttp import web

from standins.world import Options

#: `starting`: the port refuses. `loading`: it is bound, vLLM has not taken over. `busy`: KAITO's limit of
#: requests that wait. `dying`: the engine's worker was killed. `draining`: after SIGTERM, running streams end
#: with an error. `hanging`: after SIGTERM, running streams get nothing more, and no end.
State = Literal["ready", "starting", "loading", "busy", "dying", "draining", "hanging"]
_IN_CLUSTER = re.compile(r"[^/]+\.svc(\.cluster\.local)?")


@dataclass(frozen=True)
class Server:
    """One server. `served` is the one name of its model; `context` is in tokens.

    `ceiling` is `max_new_tokens` of `--override-generation-config`: no answer has more tokens. `endless` is a
    model that never ends by itself, as one of random weights: it writes on to whatever limit the request has.
    `queue` is `max-num-seqs`.
    """

    served: str
    kind: Literal["vllm", "openai"] = "vllm"
    task: Literal["generate", "embed"] = "generate"
    context: int = 2048
    tool_parser: str = ""
    state: State = "ready"
    release: str = "0.25.1"
    api_key: str = ""
    ceiling: int | None = None
    multimodal: bool = False
    endless: bool = False
    queue: int = 1

    @property
    def old(self) -> bool:
        """Whether it is from before the answers of 0.25."""
        return tuple(int(part) for part in self.release.split(".")) < (0, 25)

    @property
    def fingerprint(self) -> str:
        return f"vllm-{self.release}-00000000"


@dataclass(frozen=True)
class Place:
    """A server, and where in it a request goes."""

    server: Server
    path: str


def place_of(options: Options, request: web.Request) -> Place | None:
    """The server of KAITO that a request is for; None where its host is another kind of server."""
    host = request.host.partition(":")[0]
    whole = host + request.rel_url.raw_path
    for prefix, wishes in sorted(options["servers"].items(), key=lambda row: -len(row[0])):
        if whole == prefix or whole.startswith(f"{prefix}/"):
            server = server_from(host, wishes)
            return Place(server, whole.removeprefix(prefix) or "/") if server.kind == "vllm" else None
    if _IN_CLUSTER.fullmatch(host) is None:
        return None
    return Place(server_from(host, _served(options, host)), request.rel_url.raw_path)


def server_from(host: str, wishes: Mapping[str, Any]) -> Server:
    """Raises ValueError for a wish that no server has, or a state that is none."""
    if unknown := wishes.keys() - {field.name for field in fields(Server)}:
        raise ValueError(f"a model server has no {', '.join(sorted(unknown))}")
    server = Server(**{"served": host.partition(".")[0], **wishes})
    if server.state not in get_args(State):
        raise ValueError(f"a model server is never {server.state}: {', '.join(get_args(State))}")
    return server


def _served(options: Options, host: str) -> dict[str, Any]:
    names = options["serves"].get(f"{host}/v1")
    return {"served": names[0]} if names else {}
