"""The network that the pods have: what they need, and nobody who needs nothing of them."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def policies(manifests: list[Manifest]) -> list[Manifest]:
    """Return the network policies."""
    return [each for each in manifests if each["kind"] == "NetworkPolicy"]


def ports(rules: list[Manifest]) -> set[tuple[Any, str]]:
    """Return the ports that rules open; a rule without ports opens all."""
    assert all(rule.get("ports") for rule in rules)
    return {(port["port"], port["protocol"]) for rule in rules for port in rule["ports"]}


def test_the_pods_are_closed_by_default(render: Render) -> None:
    """Out go names, database, broker and TLS; in comes nobody: probes are the node's."""
    [policy] = policies(render())
    spec = policy["spec"]

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == []
    tcp = {(port, "TCP") for port in (53, 5432, 5671, 5672, 443)}
    assert ports(spec["egress"]) == {(53, "UDP"), *tcp}


def test_the_policy_is_of_every_pod(render: Render) -> None:
    """None of the release is left out of it."""
    manifests = render()
    [policy] = policies(manifests)
    wanted = policy["spec"]["podSelector"]["matchLabels"].items()
    templates = [each["spec"]["template"] for each in manifests if each["kind"] in {"Deployment", "Job"}]

    assert len(templates) > 3
    assert all(wanted <= template["metadata"]["labels"].items() for template in templates)


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "fd00::1"]
)
def test_tls_goes_to_the_internet_alone(render: Render, address: str) -> None:
    """Neither to neighbours nor to where a cloud keeps its credentials."""
    [policy] = policies(render())
    [rule] = [rule for rule in policy["spec"]["egress"] if ports([rule]) == {(443, "TCP")}]
    blocks = [peer["ipBlock"] for peer in rule["to"]]
    found = ip_address(address)

    assert not any(
        found in ip_network(block["cidr"]) and not any(found in ip_network(each) for each in block["except"])
        for block in blocks
    )


def test_a_scraper_reaches_the_health_port_alone(render: Render) -> None:
    """Whoever is named; what else is let in is said beside it."""
    [policy] = policies(render({"networkPolicy": {"scrapersFrom": [MONITORING]}}))

    assert policy["spec"]["ingress"] == [{"from": [MONITORING], "ports": [{"port": "health", "protocol": "TCP"}]}]

    more = {"ports": [{"port": 9090}]}
    [policy] = policies(render({"networkPolicy": {"scrapersFrom": [MONITORING], "extraIngress": [more]}}))
    assert len(policy["spec"]["ingress"]) == 2
    assert more in policy["spec"]["ingress"]


def test_the_file_server_is_reached_at_its_port(render: Render) -> None:
    """By anybody, or by whom is named."""
    wanted = {"config": {"publicUrl": "https://files.example"}, "files": {"enabled": True}}
    port = {"ports": [{"port": "files", "protocol": "TCP"}]}
    [policy] = policies(render(wanted))
    assert policy["spec"]["ingress"] == [port]

    [policy] = policies(render({**wanted, "networkPolicy": {"filesFrom": [MONITORING]}}))
    assert policy["spec"]["ingress"] == [{"from": [MONITORING], **port}]


def test_it_can_be_left_out(render: Render) -> None:
    """Where another one does it."""
    assert policies(render({"networkPolicy": {"enabled": False}})) == []
