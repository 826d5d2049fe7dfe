"""The stand-ins' certificate authority, trusted by this process before any client library is imported.

aiohttp, and so every Azure SDK, makes its TLS context when it is imported. So the authority is made once per
checkout, and `standins/tests/__init__.py`, which runs before everything else, names it in the environment
together with the authorities that were trusted before: pip and whatever else a test starts go on working.
"""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from pathlib import Path

import certifi
import trustme

FOLDER = Path(__file__).resolve().parents[2] / ".local" / "test-ca"
#: The names that `standins.run` looks for in its folder.
AUTHORITY, SERVER = "ca.pem", "server.pem"
_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def trust_the_standins() -> None:
    """Make the certificates if there are none, and trust them besides what is trusted anyway."""
    bundle = FOLDER / "bundle.pem"
    if os.environ.get(_VARIABLES[0]) == str(bundle):
        return  # a process that a test started
    assert "aiohttp" not in sys.modules, "aiohttp has its TLS context already: import standins.tests first"
    if not FOLDER.exists():
        _make()
    new = bundle.with_suffix(f".{os.getpid()}")  # replaced at once, since another run may be reading
    new.write_text(
        "\n".join([(FOLDER / AUTHORITY).read_text(), *(path.read_text() for path in _trusted_before())])
    )
    new.replace(bundle)
    os.environ.update(dict.fromkeys(_VARIABLES, str(bundle)))


def give_certificates(folder: Path) -> None:
    """Have the stand-ins that will run in this folder use them."""
    for name in (AUTHORITY, SERVER):
        (folder / name).write_bytes((FOLDER / name).read_bytes())


def _make() -> None:
    """Both files or none: another run may be making them too, and the first one wins."""
    new = FOLDER.with_suffix(f".{os.getpid()}")
    new.mkdir(parents=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(new / AUTHORITY))
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(new / SERVER)
    )
    try:
        new.rename(FOLDER)
    except OSError:
        shutil.rmtree(new)


def _trusted_before() -> list[Path]:
    named = [os.environ.get(name) for name in _VARIABLES] + [
        ssl.get_default_verify_paths().cafile,
        certifi.where(),
    ]
    known = {Path(name).resolve() for name in named if name}
    return sorted(path for path in known if path.is_file())
