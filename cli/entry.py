"""The console script `mergekey`."""

from __future__ import annotations

import sys

#: What only the command line needs: the extra `cli` in pyproject.toml.
EXTRA = ("rich", "typer")


def main() -> None:
    """Run the command. Where its extra is not installed, say how to install it: exit status 2."""
    try:
        from cli.main import app
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        print(
            f"mergekey: {error.name} is not installed. Install the command line with its extra: "
            "python -m pip install 'mergekey[cli]', "
            "from a clone python -m pip install '.[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    app()
