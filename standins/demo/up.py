"""`make up`: everything keeps running, for a person to edit, commit and push."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from standins.demo.call import ADDRESSES
from standins.demo.follow import Follower
from standins.demo.repository import Clone
from standins.identity import IDENTITY_HEADER
from standins.stack import AUDIENCE, REPOSITORY, TIMERS, Stack

#: Seconds between two looks at what GitHub shows.
LOOK = 0.3


def keep_up(console: Console, app_dir: Path, folder: Path) -> int:
    """Runs until ctrl-C. What is in the folder stays: the next `make up` goes on from there. Raises
    RuntimeError where one runs in the folder already.
    """
    with only_one_in(folder), Stack(folder, app_dir, settings=TIMERS) as stack:
        clone = Clone(stack.git_url, folder / "model-access")
        follower = Follower(console, stack)
        console.print(_help(stack, clone), soft_wrap=True)
        addresses = folder / ADDRESSES
        addresses.write_text(json.dumps({"addresses": stack.addresses, "ca": stack.ca}))
        if (clone.folder / "platform").exists():
            follower.skip()
        else:
            clone.fill(app_dir / "examples" / "access-repo")
            clone.push("Three teams ask for models")
        stop = threading.Event()
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        while not stop.wait(LOOK):
            follower.look()
        console.print("stopping ...")
        addresses.unlink()
    return 0


@contextmanager
def only_one_in(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RuntimeError(
                f"make up runs already in {folder} (process {lock.read().strip()}).\n"
                "Stop it there with ctrl-C, or use another folder: make up STATE=.local/second"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _help(stack: Stack, clone: Clone) -> str:
    control = stack.control.url
    python, shown = shlex.quote(_shown(Path(sys.executable))), shlex.quote(_shown(stack.folder))
    return f"""
Everything runs; ctrl-C ends it. Your clone of the requests' repository:

  cd {shlex.quote(str(clone.folder))}
  $EDITOR tenant-access/config/alpha/access.yaml
  git commit -am "More tokens for alpha" && git push

A team fetches its key and calls a model with it (from another shell, in
the folder of the code, as all that follows):

  {python} -m standins.demo.call alpha gpt-4.1 \\
    --state {shown}

The commands of an operator, after these lines:

{_operator(stack)}
  .venv/bin/mergekey teams list      # also dead-letters, sweep, models

What there is behind it:

  commit statuses  curl -s \\
    -H "Authorization: Bearer {stack.github_token}" \\
    {stack.addresses["github"]}/repos/{REPOSITORY}/commits/main/statuses
  calls so far     curl -s {control}/_standin/calls
  an hour later    curl -s -X POST -d '{{"advance": 3600}}' \\
    {control}/_standin/clock
  logs             {_shown(stack.folder / "functions-host.log")}
  state            {_shown(stack.folder)} (delete it to begin anew)

  API Management   {stack.addresses["gateway"]}
                   for `openai` clients, with the header api-key
  Key Vault        {stack.addresses["key-vault"]}
  Resource Manager {stack.addresses["resource-manager"]}
  Kubernetes       {stack.addresses["kubernetes"]}
  Service Bus      {stack.addresses["service-bus"]}
  certificates     {_shown(Path(stack.ca))}

What becomes of each push, in seconds after it was seen:"""


def _shown(path: Path) -> str:
    """Relative to the folder of the code where it is inside: that fits into a line."""
    home = Path.cwd()
    return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)


def _operator(stack: Stack) -> str:
    """Who calls is played by the stand-in for identity: a name, and the app role that its token has."""
    settings = {
        "MERGEKEY_URL": stack.host_url,
        "MERGEKEY_AUDIENCE": AUDIENCE,
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        "AZURE_CLIENT_ID": "olivia.Operator",
        "IDENTITY_ENDPOINT": f"{stack.addresses['identity']}/msi/token",
        "IDENTITY_HEADER": IDENTITY_HEADER,
    }
    return "\n".join(f"  export {name}={shlex.quote(value)}" for name, value in settings.items())
