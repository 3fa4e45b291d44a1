"""Which addresses are public: by a table of ours, whatever the version of Python thinks."""

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest

from worker.places import is_public

NOT_PUBLIC = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
    "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/31",
    "::/128", "::1/128", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23",
    "2001::/32", "2001:1::1/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28",
    "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "4000::/3", "5f00::/16", "fc00::/7",
    "fe80::/10", "fec0::/10", "ff00::/8",
    "::ffff:10.0.0.0/104", "::ffff:127.0.0.0/104", "::ffff:169.254.0.0/112", "::ffff:192.0.0.0/120",
    "64:ff9b::10.0.0.0/104", "64:ff9b::127.0.0.0/104", "64:ff9b::a9fe:0/112",
]  # fmt: skip
"""IANA's registries of special-purpose addresses, both, and what leads to an IPv4 address."""

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "104.16.0.1", "126.255.255.255",
    "128.0.0.0", "151.101.1.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255",
    "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
    "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::", "2001:db9::", "2003::1", "2400:cb00::1",
    "2606:4700::1111", "2a00:1450:4001::1", "2c0f:fb50::1", "3ffe:ffff::", "3fff:1000::",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("network", NOT_PUBLIC)
def test_no_address_of_a_special_network_is_public(network: str) -> None:
    """Its first, its last, and one in the middle."""
    parsed: IPv4Network | IPv6Network = ip_network(network)
    places = {0, parsed.num_addresses // 2, parsed.num_addresses - 1}
    assert [str(parsed[place]) for place in places if is_public(str(parsed[place]))] == []


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_beside_them_is_public(address: str) -> None:
    """Real hosts, and the neighbours of what is not."""
    assert is_public(address)


def test_a_zone_changes_nothing() -> None:
    """It names a card of this machine."""
    assert not is_public("fe80::1%eth0")
    assert not is_public("fec0::1%2")
