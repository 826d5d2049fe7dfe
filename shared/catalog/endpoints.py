"""Which hosts the gateway may be sent to. Only what is written counts: no name is resolved here.

An address has spellings that hide it (`2130706433`, `0x7f.1`, `0177.0.0.1` are all 127.0.0.1): every one but
four plain decimal numbers is refused, as is an IPv4 address inside an IPv6 one.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST = rf"({LABEL}(\.{LABEL})*|\[[0-9a-f:.]+\])"

Address = IPv4Address | IPv6Address
HostProblem = tuple[str, str]
"""A reason and the rest of a sentence that begins with the host."""

#: Where clouds answer their own machines, with credentials among other things: Azure's wire server, Alibaba,
#: AWS over IPv6, Oracle.
_METADATA = frozenset(map(ip_address, ("168.63.129.16", "100.100.100.200", "fd00:ec2::254", "192.0.0.192")))
_METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "metadata.azure.com", "metadata.azure.internal"}
)
_LOCAL_NAMES = ("localhost", "localdomain", "ip6-localhost", "ip6-loopback")
#: Endings that no public name has: RFC 6762, RFC 8375, RFC 9476, ICANN's `.internal`, and what companies and
#: Kubernetes use.
_PRIVATE_ENDINGS = frozenset(
    {
        "internal",
        "local",
        "lan",
        "home",
        "corp",
        "intranet",
        "private",
        "test",
        "invalid",
        "arpa",
        "onion",
        "alt",
        "svc",
    }
)
_TRANSLATED = ip_network("64:ff9b::/96")


def host_of(url: str) -> str:
    """The host of a URL without user, with its brackets if it has any."""
    authority = url.partition("://")[2].partition("/")[0]
    return authority.partition("]")[0] + "]" if authority.startswith("[") else authority.partition(":")[0]


def host_problem(host: str, private: bool) -> HostProblem | None:
    """Why this host, in lower case, cannot be an endpoint's; None when it can. With `private`, hosts inside
    the company can.
    """
    if host.startswith("[") or _is_number(host.rpartition(".")[2]):
        return _address_problem(host, private)
    labels = host.split(".")
    if host in _METADATA_NAMES or labels[-1] in _LOCAL_NAMES:
        return (
            "ForbiddenEndpoint",
            "is the machine itself or the cloud's metadata service; nothing may be sent there",
        )
    if not private and (len(labels) == 1 or labels[-1] in _PRIVATE_ENDINGS):
        return (
            "PrivateEndpoint",
            (
                "is a name inside a private network; write 'private: true' if the model does not leave it, "
                "or a public host"
            ),
        )
    return None


def _is_number(label: str) -> bool:
    """Resolvers take a host for an IPv4 address when its last part is one:
    https://url.spec.whatwg.org/#ends-in-a-number-checker.
    """
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", label) is not None


def _address_problem(host: str, private: bool) -> HostProblem | None:
    try:
        address: Address = ip_address(host.strip("[]"))
    except ValueError:
        return (
            "BadUrl",
            (
                "is not an address that can be read: write IPv4 as four decimal numbers such as 203.0.113.7, "
                "without leading zeros"
            ),
        )
    if isinstance(address, IPv6Address) and _holds_ipv4(address):
        return "ForbiddenEndpoint", "hides an IPv4 address in an IPv6 one; write the address itself"
    if address in _METADATA or _is_here(address):
        return (
            "ForbiddenEndpoint",
            "is a loopback, link-local, metadata or group address; nothing may be sent there",
        )
    if not private and not address.is_global:
        return (
            "PrivateEndpoint",
            (
                "is in a private range; write 'private: true' if the model does not leave the network, or a "
                "public host"
            ),
        )
    return None


def _holds_ipv4(address: IPv6Address) -> bool:
    return (
        address.ipv4_mapped is not None
        or address.sixtofour is not None
        or address.teredo is not None
        or address in _TRANSLATED
    )


def _is_here(address: Address) -> bool:
    special = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    reserved = address.is_reserved if isinstance(address, IPv4Address) else address.is_site_local
    return special or reserved or (isinstance(address, IPv4Address) and address in ip_network("0.0.0.0/8"))
