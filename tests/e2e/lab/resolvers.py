"""Resolvers that other people wrote, as netlab's upstreams: unbound with a zone of every kind of record, and dnsmasq."""

import subprocess

from . import netns, process
from .output import Output

ADDRESS = "10.77.0.53"
NAME = "resolver.test.example"

ZONE = """\
$ORIGIN example.org.
$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
@ IN MX 10 mail
@ IN CAA 0 issue "ca.example.net"
@ IN TXT "v=spf1 -all"
ns IN A 10.77.0.53
mail IN A 192.0.2.25
www IN A 192.0.2.80
www IN AAAA 2001:db8::80
one IN CNAME two
two IN CNAME three
three IN CNAME www
dangling IN CNAME nowhere
outward IN CNAME www.example.net.
text IN TXT "a b" "c\\"d"
_sip._tcp IN SRV 1 2 5060 www
naptr IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.org!" .
odd IN TYPE65280 \\# 4 c00c0102
ssh IN SSHFP 1 1 0123456789abcdef0123456789abcdef01234567
tls IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
web IN HTTPS 1 . alpn="h2" ipv4hint="192.0.2.80"
loc IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
host IN HINFO "a" "b"
*.wild IN A 192.0.2.77
short IN A 192.0.2.5
a\\.b IN A 192.0.2.6
resolver IN A 10.77.0.53
""" + "".join(f"big IN A 192.0.3.{number}\n" for number in range(1, 200)) \
    + "".join(f"fat IN TXT \"{'x' * 250}\"\n".replace("x", letter) for letter in "abcdefghijklmnopqrstuvwxyz")

NET_ZONE = """\
$ORIGIN example.net.
$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
ns IN A 10.77.0.53
www IN A 198.51.100.80
"""

REVERSE_ZONE = """\
$ORIGIN 114.0.203.in-addr.arpa.
$TTL 300
@ IN SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 60
@ IN NS ns.example.org.
80 IN PTR www.example.org.
"""

CONFIG = """\
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  interface: {address}@53
  interface: {address}@853
  interface: {address}@443
  tls-service-key: "{folder}/key.pem"
  tls-service-pem: "{folder}/cert.pem"
  tls-port: 853
  https-port: 443
  access-control: 0.0.0.0/0 allow
  do-ip6: no
  num-threads: 1
  local-zone: "114.0.203.in-addr.arpa." nodefault
  local-zone: "{name}." static
  local-data: "{name}. 60 IN A {address}"
  minimal-responses: {minimal}
remote-control:
  control-enable: no
auth-zone:
  name: "example.org"
  zonefile: "{folder}/example.org.zone"
auth-zone:
  name: "example.net"
  zonefile: "{folder}/example.net.zone"
auth-zone:
  name: "114.0.203.in-addr.arpa"
  zonefile: "{folder}/reverse.zone"
"""


class Unbound:
    """unbound in a host's namespace: plain DNS, DNS over TLS and DNS over HTTPS for zones of every record type."""

    def __init__(self, host, folder, log_name="unbound", minimal="no"):
        self._host = host
        self.folder = folder / "unbound"
        self.folder.mkdir(exist_ok=True)
        self.certificate = self.folder / "cert.pem"
        if not self.certificate.exists():
            netns.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                      "-keyout", str(self.folder / "key.pem"), "-out", str(self.certificate), "-days", "2",
                      "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:{ADDRESS}")
        for name, text in (("example.org.zone", ZONE), ("example.net.zone", NET_ZONE), ("reverse.zone", REVERSE_ZONE)):
            (self.folder / name).write_text(text)
        config = self.folder / "unbound.conf"
        config.write_text(CONFIG.format(folder=self.folder, address=ADDRESS, name=NAME, minimal=minimal))
        self.process = host.popen("unbound", "-d", "-p", "-c", config, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.log = Output(self.process.stdout, folder / f"{log_name}.log")
        self.log.expect("start of service", 20)

    def freeze(self):
        process.kill_group(self.process, 19)

    def thaw(self):
        process.kill_group(self.process, 18)

    def close(self):
        process.kill_group(self.process, 18)
        process.stop(self.process)
        self.log.close()


class DnsmasqResolver:
    """dnsmasq as the resolver of corp.example and of a reverse zone."""

    def __init__(self, host, folder, address):
        self.process = host.popen("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                                  "--bind-interfaces", f"--listen-address={address}", "--log-queries", "--log-facility=-",
                                  "--pid-file=", "--host-record=intranet.corp.example,10.99.0.7", "--local=/corp.example/",
                                  "--local-ttl=60", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.log = Output(self.process.stdout, folder / "dnsmasq-resolver.log")
        self.log.expect("started", 10)

    def close(self):
        process.stop(self.process)
        self.log.close()
