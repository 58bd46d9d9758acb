"""Who may call whom: the policies, against the service's own check of where webhooks may go."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from functools import cache

from service.outbound import is_public
from tests.security.test_ssrf import PRIVATE
from tests.support.manifests import API, DELIVER, of_kind, ours, pods, policies, selects

network = cache(ipaddress.ip_network)


def may_call(overlay: str, labels: Mapping[str, str], address: str, port: int) -> bool:
    ip = ipaddress.ip_address(address)
    for rule in policies(overlay, labels, "egress"):
        assert rule.get("to"), "a rule without an address is one for all of them"
        assert rule.get("ports"), "a rule without a port is one for all of them"
        if any(each["port"] == port for each in rule["ports"]):
            for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
                inside = ip in network(block["cidr"])
                if inside and not any(ip in network(each) for each in block.get("except", ())):
                    return True
    return False


def test_every_pod_is_cut_off_until_a_policy_names_it(overlay: str) -> None:
    deny = of_kind(overlay, "NetworkPolicy")["deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in of_kind(overlay, "NetworkPolicy").items():
        spec = policy["spec"]
        assert name == "deny" or spec["podSelector"], f"{name} would open every pod, also those to come"
        assert any(selects(spec["podSelector"], pod["metadata"]["labels"]) for pod in pods(overlay).values()), name
        for rule in spec.get("ingress", []):
            assert rule["from"] and rule["ports"], name
            assert not any("ipBlock" in peer or {} in peer.values() for peer in rule["from"]), name


def test_every_role_reaches_dns_store_and_storage(overlay: str) -> None:
    for name, pod in ours(overlay).items():
        opened = policies(overlay, pod["metadata"]["labels"], "egress")
        asked = {each["port"] for rule in opened for each in rule["ports"]}
        assert 53 in asked, name
        redis = [pod["metadata"]["labels"] for kind, pod in pods(overlay).items() if kind == "longtake-redis"]
        peers = [peer["podSelector"] for rule in opened for peer in rule["to"] if set(peer) == {"podSelector"}]
        if redis:
            assert any(selects(peer, redis[0]) for peer in peers), name
            let_in = policies(overlay, redis[0], "ingress")
            assert any(
                selects(peer["podSelector"], pod["metadata"]["labels"]) for rule in let_in for peer in rule["from"]
            )
            assert not policies(overlay, redis[0], "egress")
        else:
            assert {6379, 443} <= asked, name


def test_only_a_proxy_and_prometheus_come_in(overlay: str) -> None:
    for name, pod in ours(overlay).items():
        rules = policies(overlay, pod["metadata"]["labels"], "ingress")
        spaces = {
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            for rule in rules
            for peer in rule["from"]
        }
        assert spaces == (
            set() if overlay == "tiny" else {"ingress", "monitoring"} if name == API else {"monitoring"}
        ), name


def outside(overlay: str) -> set[str]:
    """The addresses of Redis and storage, which `site` has for an example among those that are nobody's."""
    store = of_kind(overlay, "NetworkPolicy").get("store-and-storage", {"spec": {"egress": []}})
    return {peer["ipBlock"]["cidr"] for rule in store["spec"]["egress"] for peer in rule["to"]}


def edges() -> Iterator[str]:
    """Around every range that Python, and so the service's check, has a word for, and every range of our own policy."""
    (rule,) = of_kind("tiny", "NetworkPolicy")["internet"]["spec"]["egress"]
    blocks = [network(each) for peer in rule["to"] for each in (peer["ipBlock"]["cidr"], *peer["ipBlock"]["except"])]
    for table in (ipaddress._IPv4Constants, ipaddress._IPv6Constants):  # type: ignore[attr-defined]
        for value in vars(table).values():
            known = value if isinstance(value, list) else [value]
            blocks += [each for each in known if isinstance(each, ipaddress.IPv4Network | ipaddress.IPv6Network)]
    assert len(blocks) > 40
    for block in blocks:
        first, last, most = int(block.network_address), int(block.broadcast_address), 2**block.max_prefixlen - 1
        for number in {max(first - 1, 0), first, (first + last) // 2, last, min(last + 1, most)}:
            yield str(type(block.network_address)(number))


def test_webhooks_go_where_the_services_own_check_lets_them_and_nowhere_else(overlay: str) -> None:
    labels, own = pods(overlay)[DELIVER]["metadata"]["labels"], [network(cidr) for cidr in outside(overlay)]
    grid = [f"{a}.{b}.1.1" for a in range(256) for b in range(0, 256, 16)]
    for address in {each.partition("%")[0] for each in (*grid, *edges(), *PRIVATE)}:
        if not is_public(address) and not any(ipaddress.ip_address(address) in block for block in own):
            assert not may_call(overlay, labels, address, 443), address
    for address in filter(is_public, (*grid, "2606:4700:4700::1111", "2a00:1450:4001::1")):
        assert may_call(overlay, labels, address, 443), address
        assert not may_call(overlay, labels, address, 80)
        assert not may_call(overlay, labels, address, 6379)
    assert not may_call(overlay, labels, "3fff::1", 443)  # documentation (RFC 9637), which older Pythons do not know


def test_who_calls_nobody_that_users_name_reaches_no_public_address(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        may = may_call(overlay, pod["metadata"]["labels"], "8.8.8.8", 443)
        assert may == (name in (API, DELIVER)), name  # the API fetches pictures
        for address in ("169.254.169.254", "fd00:ec2::254", "10.0.0.1"):
            assert not may_call(overlay, pod["metadata"]["labels"], address, 443), name
