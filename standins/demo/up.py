"""`make up`: everything keeps running, for a person to edit, commit and push."""

from __future__ import annotations

import shlex
import signal
import threading
from pathlib import Path

from rich.console import Console

from standins.demo.repository import Clone
from standins.identity import IDENTITY_HEADER
from standins.stack import AUDIENCE, REPOSITORY, TIMERS, Stack


def keep_up(console: Console, app_dir: Path, folder: Path) -> int:
    """Runs until ctrl-C. What is in the folder stays: the next `make up` goes on from there."""
    with Stack(folder, app_dir, settings=TIMERS) as stack:
        clone = Clone(stack.git_url, folder / "model-access")
        if not (clone.folder / "platform").exists():
            clone.fill(app_dir / "examples" / "access-repo")
            clone.push("Three teams ask for models")
        console.print(_help(stack, clone), soft_wrap=True)
        stop = threading.Event()
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        seen = len(stack.invocations())
        while not stop.wait(0.3):
            rows = stack.invocations()
            for row in rows[seen:]:
                console.print(
                    f"  {(row.trace or '')[:8]}  {row.function:<22} {row.session_id or '':<14} "
                    f"{row.seconds * 1000:6.0f} ms  {row.outcome}"
                )
            seen = len(rows)
        console.print("stopping ...")
    return 0


def _help(stack: Stack, clone: Clone) -> str:
    control = stack.control.url
    return f"""
Everything runs. Your clone of the repository of requests:

  cd {clone.folder}
  $EDITOR tenant-access/config/alpha/access.yaml     # or add tenant-access/config/<team>/access.yaml
  git commit -am "More tokens for alpha" && git push

What there is, and what was called:

  webhook        {stack.host_url}/api/github/webhook
  statuses       curl -H "Authorization: Bearer {stack.github_token}" \
{stack.addresses["github"]}/repos/{REPOSITORY}/commits/main/statuses
  calls so far   curl {control}/_standin/calls
  an hour later  curl -X POST -d '{{"advance": 3600}}' {control}/_standin/clock
  logs           {stack.folder}/functions-host.log
  state          {stack.folder} (delete it to begin anew)

The commands of an operator, from another shell in this folder of the code:

{_operator(stack)}
  .venv/bin/mergekey teams list                      # then dead-letters, sweep, models, with every option

Models, for `openai` clients, with the header api-key: {stack.addresses["gateway"]}
Key Vault {stack.addresses["key-vault"]}, Resource Manager {stack.addresses["resource-manager"]},
Kubernetes {stack.addresses["kubernetes"]}, Service Bus {stack.addresses["service-bus"]}; certificates: \
{stack.ca}

Stages as they run; in front is the trace, one for a push and all that follows (ctrl-C ends everything):
"""


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
