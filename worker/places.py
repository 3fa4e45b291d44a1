"""Pure: which hosts are allowed, and which IP addresses are public.

These are in a table of our own, as Python's says something else with each version: from IANA's registries of
special-purpose addresses (IPv4 and IPv6) and RFC 6890. Whoever serves files has none of them, so what is there for
special services counts among them, though it can be reached.
"""

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from urllib.parse import urlsplit

LONGEST_ADDRESS = 4096
"""Characters of a URL that is followed."""

NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # This network.
            "10.0.0.0/8",  # Private.
            "100.64.0.0/10",  # Shared by a carrier's customers.
            "127.0.0.0/8",  # Loopback.
            "169.254.0.0/16",  # Link-local: a cloud's metadata.
            "172.16.0.0/12",  # Private.
            "192.0.0.0/24",  # Protocols: DS-Lite, NAT64 discovery, PCP, TURN.
            "192.0.2.0/24",  # Documentation.
            "192.31.196.0/24",  # AS112: answers for private names.
            "192.52.193.0/24",  # Multicast tunnels (AMT).
            "192.88.99.0/24",  # Relays of 6to4, given up.
            "192.168.0.0/16",  # Private.
            "192.175.48.0/24",  # AS112.
            "198.18.0.0/15",  # Benchmarks.
            "198.51.100.0/24",  # Documentation.
            "203.0.113.0/24",  # Documentation.
            "224.0.0.0/4",  # Multicast.
            "240.0.0.0/4",  # Reserved; broadcast.
        ),
    )
)

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only IPv6 addresses that are given out. Not in it, among others: ``::1`` and ``::/96`` (loopback, compatible),
``::ffff:0:0:0/96`` (translated), ``64:ff9b:1::/48`` (local NAT64), ``100::/64`` (discarded), ``5f00::/16`` (segments),
``fc00::/7`` (private), ``fe80::/10`` and ``fec0::/10`` (link, site), ``ff00::/8`` (multicast)."""

NOT_PUBLIC_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # Protocols: Teredo, benchmarks, ORCHID, AS112.
            "2001:db8::/32",  # Documentation.
            "2002::/16",  # 6to4, which leads to any IPv4 address.
            "2620:4f:8000::/48",  # AS112.
            "3fff::/20",  # Documentation.
        ),
    )
)
"""What is not public of those."""

IPV4_INSIDE = tuple(map(IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))
"""IPv6 addresses that lead to the IPv4 address of their last 32 bits: mapped, and NAT64."""


def is_public(address: str) -> bool:
    """Tell whether an address, with or without a zone, is one of the public internet's."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if any(parsed in network for network in IPV4_INSIDE):
        parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in NOT_PUBLIC_V4)
    return parsed in GLOBAL_UNICAST and not any(parsed in network for network in NOT_PUBLIC_V6)


_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True)
class AllowedHosts:
    """Where outputs may be downloaded from: names, domains with a leading dot, or exact plain origins."""

    entries: tuple[str, ...]

    def refusal(self, url: str) -> str | None:
        """Say why a URL may not be read, without quoting it; None where it may."""
        if len(url) > LONGEST_ADDRESS:
            return "the output's address is too long"
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return "the output's address is not a URL"
        if self.has_origin(host, port, parts.scheme):
            return None
        if parts.scheme != "https" or port not in {None, 443} or parts.username is not None:
            return "the output's address is not a plain https one"
        if not _HOST.fullmatch(host) or not any(_covers(entry.lower(), host) for entry in self.entries):
            return "the output's host is not in SAM3D_OUTPUT_HOSTS"
        return None

    def has_origin(self, host: str, port: int | None, scheme: str = "http") -> bool:
        """Tell whether just this address was allowed by the operator, private or not."""
        return f"{scheme}://{host}:{port}" in self.entries


def _covers(entry: str, host: str) -> bool:
    return host.endswith(entry) if entry.startswith(".") else host == entry
