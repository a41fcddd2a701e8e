"""DNS as its operator sees and steers it: the log, why, changes at run time, zone files, the recipe's hook and names."""

import json
import re
import time

import pytest

from lab import netns, resolvers
from test_dns import SERVER, answers
from test_dns_filter import events, until

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("dig", "kdig", "unbound", "openssl")]

NULL = ("NOERROR", ["0.0.0.0"])
WWW = ("NOERROR", ["192.0.2.80"])


@pytest.fixture
def upstream(lab):
    host = lab.network.host("isp", f"{resolvers.ADDRESS}/24")
    return lab.keep(resolvers.Unbound(host, lab.folder))


@pytest.fixture
def client(lab):
    return lab.network.host("client", "10.77.0.9/24")


def rows(lab, *words):
    return [json.loads(line) for line in lab.command("dns", "tail", "--json", "--rows", "1000", *words).splitlines()]


def why(lab, *words):
    return json.loads(lab.command("dns", "why", "--json", *words))


def test_log_top_tail_and_why(lab, upstream, client):
    kid = lab.network.host("kid", "10.77.0.20/24")
    server = lab.start("dns_operator", workers=1)
    until(lambda: answers(client, "text.example.org") == NULL, "the list is not used")
    assert answers(client, "www.example.org") == WWW
    assert answers(client, "www.example.org") == WWW
    assert answers(kid, "registry.lab.internal") == ("NOERROR", ["10.77.0.1"])
    client.run("dig", f"@{SERVER}", "+tries=1", r"a\027[31mred.example.org", check=False)

    told = rows(lab)
    by_name = {}
    for row in told:
        by_name.setdefault(row["name"], []).append(row)
    assert [row["answer"] for row in by_name["www.example.org"]] == ["forwarded", "cached"]
    assert by_name["www.example.org"][0]["upstream"] == "10.77.0.53"
    assert by_name["www.example.org"][0]["ms"] > 0
    assert by_name["text.example.org"][-1]["list"] == "ads"
    assert by_name["registry.lab.internal"][-1]["client"] == "10.77.0.20"
    assert by_name["registry.lab.internal"][-1]["group"] == "kids"
    # What a client put into a name never reaches a terminal as it was.
    assert "\x1b" not in lab.command("dns", "tail") and r"\027[31mred" in lab.command("dns", "tail")
    assert {row["name"] for row in rows(lab, "--client", "10.77.0.20")} == {"registry.lab.internal"}
    assert {row["name"] for row in rows(lab, "www.example.org")} == {"www.example.org"}

    top = json.loads(lab.command("dns", "top", "--json"))
    assert top["queries"] == len(told)
    assert {"name": "www.example.org", "queries": 2} in top["names"]
    assert top["blocked_names"][0]["name"] == "text.example.org"
    assert top["lists"]["ads"] == top["blocked"] > 0
    assert top["clients"][0]["name"] == "10.77.0.9"
    assert re.search(r"www\.example\.org +2 ", lab.command("dns", "top", "--since", "1h"))

    # Why, for what was asked and for what never was.
    blocked = why(lab, "sub.text.example.org")
    assert blocked["outcome"] == "blocked" and "ads" in blocked["because"] and "||text.example.org^" not in blocked["outcome"]
    assert blocked["rules"][0]["list"] == "ads"
    assert why(lab, "www.example.org")["outcome"] == "cached"
    assert why(lab, "www.example.org")["last"]["client"] == "10.77.0.9"
    never = why(lab, "mail.example.org", "--type", "MX")
    assert never["outcome"] == "forwarded" and never["upstreams"] == ["10.77.0.53"] and "last" not in never
    assert "a record of the recipe" in why(lab, "registry.lab.internal")["because"]
    assert why(lab, "build.lab.internal")["outcome"] == "local"
    assert why(lab, "nobody.lab.internal")["because"].endswith("NXDOMAIN")
    assert why(lab, "www.google.com", "--client", "10.77.0.20")["group"] == "kids"
    assert any("safe search" in step for step in why(lab, "www.google.com", "--client", "10.77.0.20")["steps"])
    assert not any("safe search" in step for step in why(lab, "www.google.com", "--client", "10.77.0.9")["steps"])
    assert "use-application-dns.net" in why(lab, "use-application-dns.net")["because"]
    assert "is refused" in why(lab, "www.example.org", "--client", "8.8.8.8")["because"]
    assert answers(client, "use-application-dns.net")[0] == "NXDOMAIN"

    # The recipe's own names and questions.
    assert answers(client, "build.lab.internal") == ("NOERROR", ["10.77.0.77"])
    assert answers(client, "build", "TXT") == ("NOERROR", ['"set at run time"'])
    assert answers(client, "77.0.77.10.in-addr.arpa", "PTR") == ("NOERROR", ["build.lab.internal."])
    assert answers(client, "gone.lab.internal")[0] == "NXDOMAIN"
    line = next(e for e in server.events() if e.get("message") == "resolved")
    assert (line["registry"], line["missing"], line["held"]) == ("10.77.0.1", "not_found", "conflict")

    # Another process' damage to the log costs what it hit, and nothing else.
    segment = sorted((lab.state / "resolver.log").glob("queries-*.log"))[-1]
    text = bytearray(segment.read_bytes())
    at = text.index(b"\x04text\x07example")
    text[at + 1] = 0xff
    segment.write_bytes(text)
    assert "damaged" in lab.command("dns", "tail")
    assert answers(client, "www.example.org") == WWW


def test_changes_at_run_time(lab, upstream, client):
    server = lab.start("dns_operator")
    until(lambda: answers(client, "text.example.org") == NULL, "the list is not used")
    fine = answers(client, "text.example.org", "TXT", "10.77.0.53")
    told = lab.command("dns", "allow", "text.example.org", "--for", "1h")
    assert "text.example.org" in told and "until 20" in told
    until(lambda: answers(client, "text.example.org", "TXT") == fine, "it is not allowed")
    assert "has no end" in lab.command("dns", "block", "example.net")
    until(lambda: answers(client, "www.example.net") == NULL, "it is not blocked")
    assert "by an operator" in why(lab, "www.example.net")["because"]
    status = lab.command("status")
    assert re.search(r"allow text\.example\.org .*left\)", status) and re.search(r"block example\.net .*taken back", status), status
    assert len(events(server, "NL-DNS-160")) == 2

    # A restart forgets nothing.
    server.stop()
    server = lab.start("dns_operator")
    until(lambda: answers(client, "fat.example.org") == NULL, "the list is not used")
    assert answers(client, "text.example.org", "TXT") == fine
    assert answers(client, "www.example.net") == NULL
    lab.command("dns", "remove", "text.example.org")
    until(lambda: answers(client, "text.example.org") == NULL, "it is still allowed")

    # A pause ends by itself, or by hand.
    lab.command("dns", "pause", "3s")
    until(lambda: answers(client, "fat.example.org") != NULL, "blocking is not paused")
    until(lambda: answers(client, "fat.example.org") == NULL, "the pause did not end")
    assert events(server, "NL-DNS-161")
    lab.command("dns", "pause", "1h")
    until(lambda: answers(client, "www.example.net") != NULL, "blocking is not paused")
    lab.command("dns", "resume")
    until(lambda: answers(client, "www.example.net") == NULL, "blocking is still paused")

    for bad in (["allow"], ["pause"], ["top", "--since", "soon"], ["alow", "x"], ["why"]):
        lab.command("dns", *bad, code=2)
    assert "nobody allowed" in lab.command("dns", "remove", "elsewhere.example", code=1)
    assert "no domain name" in lab.command("dns", "block", "a..b", code=1)
    assert "is not a duration" in lab.command("dns", "allow", "a.example", "--for", "5", code=1)


def test_zone_file(lab, upstream, client):
    zone = lab.folder / "test.zone"
    zone.write_text("$TTL 60\n@ SOA ns hostmaster 7 1h 10m 1w 60\n NS ns\nns A 10.77.0.1\nwww CNAME ns\n"
                    "text TXT \"a b\" \"c\"\nodd TYPE65280 \\# 2 abcd\n*.wild A 10.77.0.5\nfar CNAME www.example.org.\n")
    server = lab.start("dns_operator", zone=zone)
    assert answers(client, "zone.test.example", "SOA")[1][0].startswith("ns.zone.test.example. hostmaster.zone.test.example. 7 ")
    assert answers(client, "zone.test.example", "NS") == ("NOERROR", ["ns.zone.test.example."])
    assert answers(client, "www.zone.test.example", "A") == ("NOERROR", ["10.77.0.1"])
    assert answers(client, "text.zone.test.example", "TXT") == ("NOERROR", ['"a b" "c"'])
    assert answers(client, "odd.zone.test.example", "TYPE65280") == ("NOERROR", ["\\# 2 ABCD"])
    assert answers(client, "x.y.wild.zone.test.example") == ("NOERROR", ["10.77.0.5"])
    assert answers(client, "far.zone.test.example") == WWW
    assert answers(client, "nobody.zone.test.example")[0] == "NXDOMAIN"
    assert answers(client, "1.0.77.10.in-addr.arpa", "PTR")[0] == "NOERROR"
    assert "test.zone:4" in why(lab, "ns.zone.test.example")["because"]
    zone.write_text("$TTL 60\nns A 10.77.0.300\n")
    until(lambda: events(server, "NL-DNS-170"), "the mistake is not told")
    assert "test.zone:2: A record" in str(events(server, "NL-DNS-170"))
    assert answers(client, "ns.zone.test.example") == ("NOERROR", ["10.77.0.1"])
    zone.write_text("$TTL 60\nns A 10.77.0.2\n")
    until(lambda: answers(client, "ns.zone.test.example") == ("NOERROR", ["10.77.0.2"]), "the change does not count")


def test_hook(lab, upstream, client):
    kid = lab.network.host("kid", "10.77.0.20/24")
    server = lab.start("dns_operator", hook=True)
    assert answers(client, "answered.hook.example") == ("NOERROR", ["10.77.0.99"])
    assert answers(client, "answered.hook.example", "A", SERVER, "+tcp") == ("NOERROR", ["10.77.0.99"])
    assert answers(client, "answered.hook.example", "AAAA") == ("NOERROR", [])
    assert answers(client, "refused.hook.example")[0] == "REFUSED"
    assert answers(client, "missing.hook.example")[0] == "NXDOMAIN"
    assert answers(client, "waited.hook.example") == ("NOERROR", ["10.77.0.98"])
    for attempt in range(2):
        assert answers(client, "rewritten.hook.example") == WWW
        assert answers(client, "mine.hook.example") == WWW
        assert answers(kid, "mine.hook.example") == ("NOERROR", ["192.0.2.25"])
    assert answers(client, "www.example.org") == WWW
    out = client.run("dig", f"@{SERVER}", "answered.hook.example", "+tries=1")
    assert re.search(r"COOKIE: [0-9a-f]{48}", out), out
    # Without an answer in time the default counts, and the log says why.
    begun = time.monotonic()
    assert answers(client, "slow.hook.example")[0] in ("NXDOMAIN", "SERVFAIL", "REFUSED")
    assert time.monotonic() - begun < 20
    assert answers(client, "broken.hook.example")[0] in ("NXDOMAIN", "SERVFAIL", "REFUSED")
    assert events(server, "NL-DNS-180")
    assert [row["answer"] for row in rows(lab, "answered.hook.example")][0] == "answered by the recipe"


def test_disk_full(lab, upstream, client):
    """A full disk costs the log, and no answer."""
    folder = lab.state / "resolver.log"
    folder.mkdir()
    netns.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder))
    try:
        server = lab.start("dns_operator")
        (folder / "filler").write_bytes(b"x" * 40960)
        ask = ["kdig", f"@{SERVER}", "+time=5", *[word for n in range(400) for word in (f"n{n}.{'x' * 60}.lab.internal", "A")]]

        def full():
            client.run(*ask, timeout=60)
            lab.command("dns", "tail", "--rows", "1")
            return events(server, "NL-DNS-150")

        until(full, "the full disk is not told", 60)
        assert answers(client, "www.example.org") == WWW
        assert "not written" in lab.command("dns", "tail", "--rows", "1")
        assert "trouble" in lab.command("status")
        server.stop()
    finally:
        netns.run("umount", "-l", str(folder))


def test_probe(lab, upstream, client):
    lab.start("dns_operator")
    until(lambda: answers(client, "text.example.org") == NULL, "the list is not used")
    out = client.run(str(lab.binary), "probe", "dns", "www.example.org", "--server", SERVER, "--upstream", resolvers.ADDRESS)
    for part in ("udp", "tcp", "192.0.2.80", "edns       yes, 1232 bytes", "recursion  yes", "says the same", "answer     NOERROR"):
        assert part in out, out
    out = client.run(str(lab.binary), "probe", "dns", "text.example.org", "--type", "TXT", "--server", SERVER,
                     "--upstream", resolvers.ADDRESS)
    assert "extended error 15" in out and "blocked by ads" in out and "netlab dns why" in out, out
    out = client.run(str(lab.binary), "probe", "dns", "fat.example.net", "--server", f"tls://{resolvers.ADDRESS}", "--ca",
                     str(upstream.certificate))
    assert "by tls" in out and "NXDOMAIN" in out, out
    done = client.run(str(lab.binary), "probe", "dns", "www.example.org", "--server", "10.77.0.250", "--timeout", "1s", check=False)
    assert "STOPPED" in done and "10.77.0.250" in done, done
