"""DNSSEC: netlab and unbound come to the same verdicts about zones that ldns signed and nsd serves; DNS over HTTPS."""

import json

import pytest

from lab import bastion, netns, resolvers, signed_zones
from test_dns import answers, kdig

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("kdig", "curl", "unbound", "nsd", "ldns-signzone", "openssl")]

SERVER = bastion.ADDRESS


@pytest.fixture
def client(lab):
    return lab.network.host("client", "10.77.0.9/24")


@pytest.fixture
def zones(lab):
    host = lab.network.host("isp", f"{signed_zones.RESOLVER}/24")
    return lab.keep(signed_zones.SignedZones(host, lab.folder))


def test_agrees_with_unbound_about_what_is_proven(lab, zones, client):
    server = lab.start("dns", anchor=zones.anchor)
    questions = [(f"{name}.{zone}", kind) for zone in ("signed.tld", "rsa.tld", "ed.tld", "hashed.tld")
                 for name, kind in (("www", "A"), ("www", "MX"), ("nobody", "A"), ("one", "A"), ("a.b.wild", "A"), ("a.wild", "MX"),
                                    ("_sip._tcp", "SRV"), ("_tcp", "A"), ("dangling", "A"), ("naptr", "NAPTR"), ("odd", "TYPE65280"))]
    questions += [(zone, kind) for zone in ("signed.tld", "hashed.tld") for kind in ("DNSKEY", "DS", "SOA", "NS", "MX", "NSEC3PARAM")]
    questions += [("www.plain.tld", "A"), ("nobody.plain.tld", "A"), ("plain.tld", "DS"), ("nobody.tld", "A"), ("nobody", "TXT"),
                  ("tld", "DNSKEY"), (".", "DNSKEY"), ("www.broken.tld", "A"), ("mail.broken.tld", "A"), ("www.expired.tld", "A"),
                  ("expired.tld", "DS"), ("outward.signed.tld", "A")]
    verdicts = set()
    for name, kind in questions:
        expected = kdig(client, signed_zones.JUDGE, name, kind, "+dnssec")
        found = kdig(client, SERVER, name, kind, "+dnssec")
        same = lambda result: (result[0], [answer for answer in result[1] if answer[2] != "RRSIG"], "ad" in result[2])
        assert same(found) == same(expected), f"{name} {kind}"
        verdicts.add((found[0], "ad" in found[2]))
        if found[0] != "SERVFAIL":
            # Kept, and to whom neither DO nor AD means anything.
            assert same(kdig(client, SERVER, name, kind, "+dnssec")) == same(expected), f"{name} {kind}, kept"
            assert "ad" not in kdig(client, SERVER, name, kind, "+noadflag")[2]
    assert verdicts == {("NOERROR", True), ("NXDOMAIN", True), ("NOERROR", False), ("NXDOMAIN", False), ("SERVFAIL", False)}
    # Who validates by himself gets what there is, broken or not.
    assert answers(client, "www.broken.tld", "A", SERVER, "+cdflag") == ("NOERROR", ["192.0.2.66"])
    for name, code in (("www.broken.tld", 6), ("www.expired.tld", 7)):
        out = client.run("kdig", f"@{SERVER}", "+dnssec", name, "A")
        assert f"EDE: {code}" in out, out
    server.log.expect(r"NL-DNS-120.*broken\.tld", 10)
    assert answers(client, "registry.lab.internal") == ("NOERROR", ["10.77.0.1"])


def test_passes_dnssec_through(lab, zones, client):
    """Without validation: signatures for who asks for them, nothing is refused, and a validator behind netlab can do its work."""
    lab.start("dns")
    found = kdig(client, SERVER, "www.signed.tld", "A", "+dnssec")
    assert sorted(answer[2] for answer in found[1]) == ["A", "RRSIG"]
    assert "ad" not in found[2]
    assert answers(client, "www.broken.tld") == ("NOERROR", ["192.0.2.66"])
    config = zones.folder / "behind.conf"
    config.write_text(f"""server:
  directory: "{zones.folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  interface: 127.0.0.1@5353
  num-threads: 1
  trust-anchor: ". DS {zones.anchor}"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {SERVER}
""")
    behind = client.popen("unbound", "-d", "-p", "-c", config)
    try:
        for name, kind, expected in (("www.signed.tld", "A", ("NOERROR", True)), ("a.b.wild.hashed.tld", "A", ("NOERROR", True)),
                                     ("nobody.ed.tld", "A", ("NXDOMAIN", True)), ("www.plain.tld", "A", ("NOERROR", False)),
                                     ("www.broken.tld", "A", ("SERVFAIL", False))):
            out = client.run("kdig", "@127.0.0.1", "-p", "5353", "+dnssec", "+retry=5", name, kind)
            assert f"status: {expected[0]}" in out and ((" ad" in out.split("Flags:")[1].split(";")[0]) == expected[1]), out
    finally:
        behind.terminate()
        behind.wait(10)


def test_over_https(lab, client):
    """kdig by HTTP/2 with POST and GET, curl as a client that resolves by it, and what is no query."""
    isp = lab.network.host("isp", f"{resolvers.ADDRESS}/24")
    lab.keep(resolvers.Unbound(isp, lab.folder))
    certificate, key = lab.folder / "doh.pem", lab.folder / "doh.key"
    netns.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key),
              "-out", str(certificate), "-days", "2", "-subj", "/CN=dns.lab.internal", "-addext",
              f"subjectAltName=DNS:dns.lab.internal,IP:{SERVER}")
    lab.start("dns", certificate=certificate, key=key, workers=2)
    for options in (["+https"], ["+https", "+https-get"]):
        tls = ["+tls-ca=" + str(certificate), "+tls-hostname=dns.lab.internal"]
        assert answers(client, "www.example.org", "A", SERVER, *options, *tls) == ("NOERROR", ["192.0.2.80"])
        assert answers(client, "nobody.example.org", "A", SERVER, *options, *tls)[0] == "NXDOMAIN"
        assert len(answers(client, "big.example.org", "A", SERVER, *options, *tls)[1]) == 199
        assert answers(client, "registry.lab.internal", "A", SERVER, *options, *tls) == ("NOERROR", ["10.77.0.1"])
    curl = ["curl", "-sS", "--cacert", str(certificate), "--max-time", "20"]
    url = f"https://{SERVER}/dns-query"
    # A page whose name only this resolver knows, over either version of HTTP.
    for version in ("--http1.1", "--http2"):
        out = client.run(*curl, version, "--doh-url", url, "-o", "/dev/null", "-w", "%{http_code} %{remote_ip} %{http_version}",
                         "https://registry.lab.internal/dns-query", "--insecure", check=False)
        assert out.split() == ["400", "10.77.0.1", version.removeprefix("--http")], out
    status = lambda *options: client.run(*curl, "-o", "/dev/null", "-w", "%{http_code}", *options)
    assert status(f"{url}?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA29yZwAAAQAB") == "200"
    for expected, options in (("400", [f"{url}?dns=A"]), ("400", [f"{url}?dns=AAAA"]), ("400", [f"{url}?name=x"]), ("400", [url]),
                              ("415", [url, "-d", "x"]), ("405", [url, "-X", "DELETE"]), ("404", [f"https://{SERVER}/else"]),
                              ("400", [url, "-H", "Content-Type: application/dns-message", "-d", "short"])):
        assert status(*options) == expected, options
    head = client.run(*curl, "-D", "-", "-o", "/dev/null", f"{url}?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA29yZwAAAQAB").lower()
    assert "content-type: application/dns-message" in head and "cache-control: max-age=" in head
