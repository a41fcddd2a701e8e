"""What Prometheus fetches: read with the parser of its own client library, each name explained in docs/metrics.md."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab import bastion
from lab.clients import Udhcpc

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("curl", "dig", "busybox")]

PAGE = "http://10.77.0.1:8080/metrics"


def scrape(client, url=PAGE):
    """Name and labels to value, and name to type."""
    text = client.run("curl", "-sSf", "--max-time", "10", url)
    values, kinds = {}, {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            kinds[sample.name] = family.type
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in values, f"{key} stands twice"
            values[key] = sample.value
    return values, kinds


def value(values, name, **labels):
    """The sum over every sample of that name that has these labels."""
    got = [v for (n, l), v in values.items() if n == name and labels.items() <= dict(l).items()]
    assert got, f"no {name} with {labels} in {sorted(values)}"
    return sum(got)


def test_prometheus_reads_what_happened(lab):
    client = lab.network.host("client", "10.77.0.9/24")
    lab.start("metrics")
    before, _ = scrape(client)
    assert value(before, "netlab_dhcp_leases", server="lan") == 0
    assert value(before, "netlab_nodes", declared="true") == 1
    for name in ("web", "lan", "names", "images"):
        assert value(before, "netlab_service_up", server=name) == 1

    machine = lab.client(Udhcpc, "machine")
    machine.start()
    machine.expect("bound")
    client.run("dig", "@10.77.0.1", "+tries=1", "registry.lab.internal")
    client.run("dig", "@10.77.0.1", "+tries=1", "+timeout=1", "www.example.com", check=False)  # its upstream is not there
    client.run("curl", "-sS", "-o", "/dev/null", "http://10.77.0.1:8080/nothing")
    after, kinds = scrape(client)
    assert value(after, "netlab_dhcp_leases", server="lan") == 1
    assert value(after, "netlab_http_requests_total") - value(before, "netlab_http_requests_total") == 2
    assert value(after, "netlab_dns_queries_total") - value(before, "netlab_dns_queries_total") == 2
    names = {"server": "names", "worker": "0"}
    assert value(before, "netlab_dns_upstream_sent_total", upstream="10.77.0.53", **names) == 0
    assert value(after, "netlab_dns_upstream_sent_total", upstream="10.77.0.53", **names) >= 1
    assert value(after, "netlab_dns_cache_answers", **names) == 0
    assert value(after, "process_resident_memory_bytes") > 1 << 20
    assert value(after, "process_cpu_seconds_total") >= value(before, "process_cpu_seconds_total") > 0
    assert value(after, "process_start_time_seconds") == value(before, "process_start_time_seconds") > 1.7e9
    assert value(after, "netlab_registry_cache_limit_bytes", server="images") == 1 << 30
    assert value(after, "netlab_registry_upstream_up", upstream="docker.io") in (0, 1)
    for name, kind in kinds.items():
        assert kind == ("counter" if name.endswith("_total") else "gauge"), name

    described = set(re.findall(r"`((?:netlab|process)_[a-z0-9_]+)", (bastion.REPOSITORY / "docs/metrics.md").read_text()))
    assert {name for name, _ in after} <= described


def test_page_is_for_reading_only(lab):
    client = lab.network.host("client", "10.77.0.9/24")
    lab.start("metrics")

    def ask(*words):
        return client.run("curl", "-sS", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", *words)

    assert ask(PAGE) == "200 text/plain; version=0.0.4; charset=utf-8"
    assert ask("--head", PAGE).startswith("200 ")
    assert ask("-d", "x=1", PAGE).startswith("405 ")
    assert ask(f"{PAGE}/x").startswith("404 ")
    assert scrape(client, "http://10.77.0.1:8080/other/metrics")[0]
