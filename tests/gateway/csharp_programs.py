"""The expressions of our policies, compiled by a C# compiler (Mono's) and run with the real Json.NET.

`python -m tests.gateway.csharp_programs` says how long the scan of a body of 20 MiB takes.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.policies.expressions import EXPRESSIONS

SOURCES = Path(__file__).parent / "csharp"
ABSENT = (
    "Mono or Json.NET is not there: apt-get install mono-mcs mono-runtime libnewtonsoft-json5.0-cil "
    "libmono-system-core4.0-cil"
)
#: What stands in the places of expressions here.
LITERALS = {"name": "requested-model", "value": "gpt-4.1 llama"}
_USINGS = (
    "System",
    "System.Collections.Generic",
    "System.Linq",
    "System.Text",
    "Newtonsoft.Json",
    "Newtonsoft.Json.Linq",
)
_MEBIBYTES = 20


@dataclass(frozen=True)
class Call:
    """What an expression is evaluated with; `status` is None where there is no response yet."""

    expression: str
    body: bytes | None = b""
    headers: Mapping[str, list[str]] = field(default_factory=lambda: {"Content-Type": ["application/json"]})
    parameters: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str | int] = field(default_factory=dict)
    path: str = "/openai/v1/chat/completions"
    status: int | None = None
    answered: Mapping[str, list[str]] = field(default_factory=dict)
    answer: bytes = b""
    message: str | None = None
    reason: str = ""
    subscription: str = "team-alpha"
    operation: str = "v1-chat-completions"
    method: str = "POST"

    @property
    def line(self) -> str:
        body = None if self.body is None else base64.b64encode(self.body).decode()
        answer = base64.b64encode(self.answer).decode()
        return json.dumps({**vars(self), "body": body, "answer": answer})


@dataclass(frozen=True)
class Told:
    """What an expression answered, or how it failed; and its milliseconds."""

    result: Any
    error: str | None
    milliseconds: int


def json_net() -> Path | None:
    """Json.NET, of a setting or of Debian's package."""
    named = os.environ.get("JSON_NET")
    packaged = sorted(Path("/usr/lib/cli").glob("Newtonsoft.Json*/Newtonsoft.Json.dll"))
    return next((each for each in ([Path(named)] if named else packaged) if each.exists()), None)


def is_there() -> bool:
    return shutil.which("mcs") is not None and shutil.which("mono") is not None and json_net() is not None


class Programs:
    """Three assemblies in a folder: the context, the expressions, and the program that runs them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        library = json_net()
        assert library is not None, "the caller looked whether it is there"
        shutil.copy(library, folder / "Newtonsoft.Json.dll")
        (folder / "Policies.cs").write_text(source(), encoding="utf-8")
        self._compile("context.dll", SOURCES / "Context.cs")
        self._compile("policies.dll", folder / "Policies.cs", "context.dll")
        self._compile("program.exe", SOURCES / "Program.cs", "context.dll", "policies.dll")

    def _compile(self, made: str, source: Path, *references: str) -> None:
        kind = "library" if made.endswith(".dll") else "exe"
        used = [f"-r:{self._folder / each}" for each in ("Newtonsoft.Json.dll", *references)]
        out = f"-out:{self._folder / made}"
        command = ["mcs", "-langversion:7", f"-target:{kind}", "-r:System.Core", *used, out, str(source)]
        subprocess.run(command, check=True)

    def _run(self, told: str, *arguments: str) -> list[str]:
        command = ["mono", str(self._folder / "program.exe"), *arguments]
        done = subprocess.run(command, input=told, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    def evaluate(self, calls: Iterable[Call]) -> list[Told]:
        lines = self._run("".join(f"{call.line}\n" for call in calls))
        return [Told(**json.loads(line)) for line in lines]

    def members(self) -> list[tuple[str, str]]:
        """The types that the expressions use, with the member."""
        found = (line.partition(" ") for line in self._run("", "members"))
        return [(of, name) for of, _, name in found]


def source() -> str:
    """A method for each expression, and one that finds it by its name. That uses allowed types, too."""
    methods, cases = [], []
    for number, (name, text) in enumerate(EXPRESSIONS.items()):
        filled = text.replace("%name%", LITERALS["name"]).replace("%value%", LITERALS["value"])
        code = f"{{ return {filled[1:]}; }}" if filled.startswith("@(") else filled[1:]
        methods.append(f"static object E{number}(IContext context) {code}")
        cases.append(f"case {json.dumps(name)}: return E{number}(context);")
    switch = f"switch (name) {{ {' '.join(cases)} }} throw new Exception(name);"
    methods.append(f"public static object Evaluate(string name, IContext context) {{ {switch} }}")
    usings = "\n".join(f"using {each};" for each in _USINGS)
    return f"{usings}\npublic static class Policies\n{{\n" + "\n".join(methods) + "\n}\n"


def large_bodies() -> Mapping[str, bytes]:
    """Bodies of 20 MiB that take a scanner longest."""
    size = _MEBIBYTES * 2**20
    end = b'1],"model":"a"}'
    return {
        "one text": b'{"model":"a","x":"' + b"x" * (size - 20) + b'"}',
        "small objects": b'{"x":[' + b'{"a":1,"b":2},' * (size // 14) + end,
        "different keys": b'{"x":{' + b",".join(b'"%d":1' % n for n in range(size // 12)) + b'},"model":"a"}',
        "the same key": b'{"x":{' + b'"a":1,' * (size // 6) + b'"b":1},"model":"a"}',
        "numbers": b'{"x":[' + b"1.5e3," * (size // 6) + end,
        "escapes": b'{"model":"' + b"\\u0061" * (size // 6) + b'"}',
    }


def main() -> None:
    if not is_there():
        print(ABSENT)
        return
    with tempfile.TemporaryDirectory() as folder:
        programs = Programs(Path(folder))
        for name, body in large_bodies().items():
            [*_, told] = programs.evaluate([Call("scanned body", body)] * 3)
            print(f"scan of {len(body):,} bytes, {name}: {told.milliseconds} ms ({told.error or 'read'})")


if __name__ == "__main__":
    main()
