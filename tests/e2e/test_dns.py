"""DNS: dig and kdig get the same from netlab as from the resolvers behind it, and the lab's own names from nowhere else."""

import json
import re
import subprocess
import time

import pytest

from lab import bastion, clients, odd_upstream, process, resolvers

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("dig", "kdig", "unbound", "openssl", "dnsmasq")]

SERVER = bastion.ADDRESS

QUESTIONS = [
    ("www.example.org", "A"), ("www.example.org", "AAAA"), ("example.org", "MX"), ("example.org", "NS"),
    ("example.org", "SOA"), ("example.org", "CAA"), ("example.org", "TXT"), ("text.example.org", "TXT"),
    ("_sip._tcp.example.org", "SRV"), ("naptr.example.org", "NAPTR"), ("odd.example.org", "TYPE65280"),
    ("ssh.example.org", "SSHFP"), ("tls.example.org", "TLSA"), ("web.example.org", "HTTPS"), ("loc.example.org", "LOC"),
    ("host.example.org", "HINFO"), ("a.b.wild.example.org", "A"), ("one.example.org", "A"), ("one.example.org", "CNAME"),
    ("dangling.example.org", "A"), ("missing.example.org", "A"), ("www.example.org", "MX"), ("wWw.eXample.ORG", "A"),
    ("a\\.b.example.org", "A"), ("80.114.0.203.in-addr.arpa", "PTR"), ("big.example.org", "A"), ("fat.example.org", "TXT"),
]


def kdig(host, server, name, kind, *options):
    """Status, answers (sorted, without TTL) and flags."""
    out = host.run("kdig", f"@{server}", "+nocrypto", "+time=8", "+retry=0", *options, name, kind, check=False, timeout=30)
    status = re.search(r"HEADER<<-.* status: (\w+)", out)
    assert status, f"kdig {name} {kind} @{server}: {out}"
    flags = re.search(r"Flags: ([\w ]*);", out)
    answers = []
    section = re.search(r";; ANSWER SECTION:\n(.*?)(\n\n|\Z)", out, re.S)
    if section:
        for line in section.group(1).splitlines():
            owner, _, klass, kind_, *data = line.split(None, 4)
            answers.append((owner.lower(), klass, kind_, *data))
    return status.group(1), sorted(answers), set(flags.group(1).split()) if flags else set()


def answers(host, name, kind="A", server=SERVER, *options):
    status, found, _ = kdig(host, server, name, kind, *options)
    return status, [answer[3] for answer in found if answer[2] == kind]


@pytest.fixture
def upstream(lab):
    host = lab.network.host("isp", f"{resolvers.ADDRESS}/24")
    return lab.keep(resolvers.Unbound(host, lab.folder))


@pytest.fixture
def client(lab):
    return lab.network.host("client", "10.77.0.9/24")


@pytest.mark.parametrize("way", ["udp", "tcp", "tls", "tls-named", "https", "https-named"])
def test_agrees_with_the_resolver_behind_it(lab, upstream, client, way):
    url = {"udp": resolvers.ADDRESS, "tcp": f"tcp://{resolvers.ADDRESS}", "tls": f"tls://{resolvers.ADDRESS}",
           "tls-named": f"tls://{resolvers.NAME}", "https": f"https://{resolvers.ADDRESS}/dns-query",
           "https-named": f"https://{resolvers.NAME}/dns-query"}[way]
    lab.start("dns", upstreams=url, ca=upstream.certificate, workers=2 if way == "udp" else 1,
              bootstrap=resolvers.ADDRESS if way.endswith("named") else "")
    questions = QUESTIONS if way in ("udp", "tls") else QUESTIONS[:6] + QUESTIONS[-2:]
    for name, kind in questions:
        expected = kdig(client, resolvers.ADDRESS, name, kind)
        for attempt in ("asked", "kept"):
            found = kdig(client, SERVER, name, kind)
            assert found[:2] == expected[:2], f"{name} {kind}, {attempt}"
            assert {"qr", "rd", "ra"} <= found[2]
        by_tcp = kdig(client, SERVER, name, kind, "+tcp")
        assert by_tcp[:2] == expected[:2], f"{name} {kind} by TCP"


def test_own_names(lab, upstream, client):
    hosts = lab.folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n10.77.0.200 printer printer.lab.internal # upstairs\nnonsense here\n")
    server = lab.start("dns", hosts=hosts)
    expected = {
        ("registry.lab.internal", "A"): ["10.77.0.1"],
        ("registry", "A"): ["10.77.0.1"],
        ("virtual-1.lab.internal", "A"): ["10.77.0.11"],
        ("virtual-2", "A"): ["10.77.0.12"],
        ("dual.lab.internal", "AAAA"): ["fd00::2"],
        ("www.lab.internal", "A"): ["10.77.0.1"],
        ("outside.lab.internal", "A"): ["192.0.2.80"],
        ("any.apps.lab.internal", "A"): ["10.77.0.50"],
        ("mail.lab.internal", "MX"): ["10 mail.lab.internal."],
        ("11.0.77.10.in-addr.arpa", "PTR"): ["virtual-1.lab.internal."],
        ("printer.lab.internal", "A"): ["10.77.0.200"],
        ("200.0.77.10.in-addr.arpa", "PTR"): ["printer.lab.internal."],
    }
    for (name, kind), data in expected.items():
        assert answers(client, name, kind) == ("NOERROR", data), f"{name} {kind}"
    assert len(answers(client, "_etcd._tcp.lab.internal", "SRV")[1]) == 2
    assert len(answers(client, "mail.lab.internal", "TXT")[1]) == 2
    assert answers(client, "registry.lab.internal", "AAAA") == ("NOERROR", [])
    for name in ("nobody.lab.internal", "nobody", "1.0.88.10.in-addr.arpa"):
        assert answers(client, name)[0] == "NXDOMAIN", name
    # None of these went outside.
    assert answers(lab.host, "registry.lab.internal", "A", "::1") == ("NOERROR", ["10.77.0.1"])
    assert answers(lab.host, "registry.lab.internal", "A", "127.0.0.1", "+tcp") == ("NOERROR", ["10.77.0.1"])
    # dig asks with a cookie and gets one back; no COOKIE line would be a warning.
    out = client.run("dig", f"@{SERVER}", "registry.lab.internal", "+tries=1")
    assert re.search(r"COOKIE: [0-9a-f]{48} \(good\)", out) or re.search(r"COOKIE: [0-9a-f]{48}", out), out
    assert any("hosts" in str(event) and "no line" in str(event) for event in server.events())
    # A changed hosts file counts without a restart.
    hosts.write_text("10.77.0.201 printer\n")
    deadline = time.monotonic() + 20
    while answers(client, "printer.lab.internal") != ("NOERROR", ["10.77.0.201"]):
        assert time.monotonic() < deadline


@pytest.mark.needs("busybox")
def test_leases_have_names(lab, upstream, client):
    lab.start("dns")
    laptop = lab.client(clients.Udhcpc, "laptop", hostname="laptop")
    thief = lab.client(clients.Udhcpc, "thief", hostname="registry")
    assert answers(client, "laptop.lab.internal")[0] == "NXDOMAIN"
    laptop.start()
    address = laptop.expect("bound")["address"]
    deadline = time.monotonic() + 20
    while answers(client, "laptop.lab.internal") != ("NOERROR", [address]):
        assert time.monotonic() < deadline
    back = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert answers(client, back, "PTR") == ("NOERROR", ["laptop.lab.internal."])
    thief.start()
    thief.expect("bound")
    laptop.release()
    deadline = time.monotonic() + 20
    while answers(client, "laptop.lab.internal")[0] != "NXDOMAIN":
        assert time.monotonic() < deadline
    assert answers(client, "registry.lab.internal") == ("NOERROR", ["10.77.0.1"])


def test_zones_of_their_own(lab, upstream, client):
    corp = lab.network.host("corp", "10.77.0.54/24")
    server = lab.keep(resolvers.DnsmasqResolver(corp, lab.folder, "10.77.0.54"))
    lab.start("dns", forward="10.77.0.54")
    assert answers(client, "intranet.corp.example") == ("NOERROR", ["10.99.0.7"])
    assert answers(client, "7.0.99.10.in-addr.arpa", "PTR") == ("NOERROR", ["intranet.corp.example."])
    assert answers(client, "nobody.corp.example")[0] == "NXDOMAIN"
    assert answers(client, "www.example.org") == ("NOERROR", ["192.0.2.80"])
    assert "example.org" not in server.log.text()


def test_uplink_dies_and_returns(lab, client):
    """Down at the start, up, frozen, gone, back: own names always, others as soon as there is somebody to ask."""
    isp = lab.network.host("isp", f"{resolvers.ADDRESS}/24")
    server = lab.start("dns")
    assert answers(client, "www.example.org")[0] == "SERVFAIL"
    assert answers(client, "registry.lab.internal") == ("NOERROR", ["10.77.0.1"])
    server.log.expect("NL-DNS-001", 30)
    upstream = lab.keep(resolvers.Unbound(isp, lab.folder))

    def until(name, expected):
        deadline = time.monotonic() + 30
        while (found := answers(client, name)) != expected:
            assert time.monotonic() < deadline, found

    until("www.example.org", ("NOERROR", ["192.0.2.80"]))
    server.log.expect("NL-DNS-002", 10)
    upstream.freeze()
    assert answers(client, "www.example.org") == ("NOERROR", ["192.0.2.80"])  # kept
    assert answers(client, "mail.example.org")[0] == "SERVFAIL"
    assert answers(client, "registry.lab.internal") == ("NOERROR", ["10.77.0.1"])
    upstream.thaw()
    until("mail.example.org", ("NOERROR", ["192.0.2.25"]))


def test_upstream_that_lies_and_is_slow(lab, client):
    """Forged replies at once, the true one after three seconds: only that one counts, and the status says how it is."""
    isp = lab.network.host("isp", f"{resolvers.ADDRESS}/24")
    odd = isp.popen("/usr/bin/python3", odd_upstream.__file__, resolvers.ADDRESS, "3", stdout=subprocess.PIPE)
    try:
        assert odd.stdout.readline() == b"ready\n"
        server = lab.start("dns", cache="kept")
        begun = time.monotonic()
        asked = [client.popen("kdig", f"@{SERVER}", "+time=8", "+retry=0", "+short", f"n{number}.example.org", "A", stdout=subprocess.PIPE)
                 for number in range(5)]
        found = {one.communicate(timeout=20)[0].decode().strip() for one in asked}
        assert found == {odd_upstream.TRUE}
        assert time.monotonic() - begun >= 3
        assert answers(client, "n0.example.org") == ("NOERROR", [odd_upstream.TRUE])  # kept
        status = json.loads(lab.host.run(str(lab.binary), "--state", str(lab.state), "status", "--json"))
        upstream, = next(s for s in status["services"] if s["kind"] == "dns.server")["status"]["upstreams"]
        assert upstream["ms"] > 2000 or not upstream["up"]
    finally:
        process.kill_group(odd)
        odd.wait(10)
    # Answers outlive a restart, with nobody to ask.
    assert server.stop() == 0
    lab.start("dns", cache="kept")
    assert answers(client, "n3.example.org") == ("NOERROR", [odd_upstream.TRUE])


def test_certificate_of_another_is_refused(lab, upstream, client):
    server = lab.start("dns", upstreams=f"tls://{resolvers.ADDRESS}#somebody.else.example", ca=upstream.certificate)
    assert answers(client, "www.example.org")[0] == "SERVFAIL"
    assert "certificate" in server.log.expect(r"NL-DNS-001.*", 20).group(0)
