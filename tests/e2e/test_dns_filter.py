"""The filter: lists from a server that turns bad, a file that changes, groups, and a restart without any of them."""

import http.server
import re
import threading
import time

import pytest

from lab import netns, resolvers
from lab.pihole import make_folder
from test_dns import SERVER, answers

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("dig", "kdig", "unbound", "openssl")]


class ListServer:
    """A list over HTTP on a host of the lab; what it answers may be changed at any time."""

    def __init__(self, host):
        self.status, self.body, self.kind, self.requests = 200, "", "text/plain", []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(dict(self.headers))
                etag = f'"{hash(outer.body)}"'
                same = outer.status == 200 and self.headers.get("If-None-Match") == etag
                body = b"" if same else outer.body.encode()
                self.send_response(304 if same else outer.status)
                self.send_header("ETag", etag)
                self.send_header("Content-Type", outer.kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        with netns.inside(host.name):
            self._server = http.server.ThreadingHTTPServer(("10.77.0.53", 8000), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture
def isp(lab):
    host = lab.network.host("isp", f"{resolvers.ADDRESS}/24")
    lab.keep(resolvers.Unbound(host, lab.folder))
    return lab.keep(ListServer(host))


def events(server, message):
    return [e for e in server.events() if e.get("id") == message]


def test_lists_groups_and_restart(lab, isp):
    client = lab.network.host("client", "10.77.0.9/24")
    kid = lab.network.host("kid", "10.77.0.20/24")
    machine = lab.network.host("machine", "10.77.0.31/24")
    listed = lab.folder / "list.txt"
    listed.write_text("0.0.0.0 text.example.org\nthis is no rule\n")
    filler = "".join(f"0.0.0.0 ad{i}.tracker.example\n" for i in range(1000))
    isp.body = "# a list\n||www.example.org^\n" + filler
    options = {"url": "http://10.77.0.53:8000/list", "file": listed}
    server = lab.start("dns_filter", **options)
    null = ("NOERROR", ["0.0.0.0"])
    until(lambda: answers(client, "www.example.org") == null, "the list is not used")

    assert answers(client, "www.example.org", "AAAA") == ("NOERROR", ["::"])
    assert answers(client, "x.WWW.example.org") == null
    assert answers(client, "good.www.example.org")[1] != ["0.0.0.0"]
    assert answers(client, "text.example.org") == null
    assert answers(client, "one.example.org") == null  # three CNAMEs before it comes to the blocked name
    assert answers(client, "ad999.tracker.example") == null
    out = client.run("kdig", f"@{SERVER}", "+edns", "www.example.org")
    assert "15 (Blocked)" in out or re.search(r"EDE: 15", out), out
    assert events(server, "NL-DNS-104")
    assert any("this is no rule" in str(e) for e in events(server, "NL-DNS-107"))
    # Whose lists count.
    assert answers(client, "fat.example.org", "TXT")[1]
    assert answers(kid, "fat.example.org", "TXT") == ("NOERROR", [])
    assert answers(kid, "fat.example.org") == null
    assert answers(machine, "www.example.org")[1] not in ([], ["0.0.0.0"])

    # The file changes without a restart.
    listed.write_text("0.0.0.0 tls.example.org\n0.0.0.0 more.tracker.example\n")
    until(lambda: answers(client, "tls.example.org") == null, "the changed file is not used")
    assert answers(client, "text.example.org")[1] != ["0.0.0.0"]

    # A restart while the list server has only a web page: everything is blocked from the first answer on.
    asked = len(isp.requests)
    server.stop()
    isp.body, isp.kind = "<!DOCTYPE html><html>log in first</html>", "text/html"
    server = lab.start("dns_filter", **options, blocking="nxdomain")
    assert answers(client, "www.example.org")[0] == "NXDOMAIN"
    assert answers(client, "tls.example.org")[0] == "NXDOMAIN"
    assert len(isp.requests) == asked  # it is not time yet


def test_a_bad_list_is_told(lab, isp):
    client = lab.network.host("client", "10.77.0.9/24")
    listed = lab.folder / "list.txt"
    listed.write_text("text.example.org\n")
    isp.body = "<!DOCTYPE html><html>log in first</html>"
    server = lab.start("dns_filter", url="http://10.77.0.53:8000/list", file=listed, blocking="refused")
    until(lambda: answers(client, "text.example.org")[0] == "REFUSED", "the file's rules do not count")
    until(lambda: events(server, "NL-DNS-102"), "nothing is said of the bad list")
    assert "web page" in str(events(server, "NL-DNS-102"))
    assert answers(client, "www.example.org")[0] == "NOERROR"


def test_what_a_pihole_had(lab, isp):
    client = lab.network.host("client", "10.77.0.9/24")
    kid = lab.network.host("girl", "10.77.0.40/24")
    folder = make_folder(lab.folder / "pihole", """
        INSERT INTO "group" VALUES (1, 1, 'girls');
        INSERT INTO adlist VALUES (1, 'http://10.77.0.53:8000/list', 1);
        INSERT INTO adlist_by_group VALUES (1, 0);
        INSERT INTO domainlist VALUES (1, 1, 'text.example.org', 1), (2, 3, '^fat[.]', 1);
        INSERT INTO domainlist_by_group VALUES (1, 0), (2, 1);
        INSERT INTO client VALUES (1, '10.77.0.40');
        INSERT INTO client_by_group VALUES (1, 1);
    """, "10.77.0.210 nas.lan\n")
    (folder / "pihole.toml").write_text('[dns]\ncnameRecords = [ "files.lan,nas.lan" ]\n')
    isp.body = "0.0.0.0 tls.example.org\n"
    listed = lab.folder / "list.txt"
    listed.write_text("host.example.org\n")
    lab.start("dns_filter", url="http://10.77.0.53:8000/recipe", file=listed, pihole=folder)
    null = ("NOERROR", ["0.0.0.0"])
    until(lambda: answers(client, "tls.example.org") == null, "the Pi-hole's list does not count")
    assert answers(client, "text.example.org") == null
    assert answers(kid, "fat.example.org") == null
    assert answers(kid, "host.example.org") == null
    assert answers(kid, "text.example.org")[1] != ["0.0.0.0"]
    assert answers(client, "fat.example.org", "TXT")[1]
    assert answers(client, "nas.lan") == ("NOERROR", ["10.77.0.210"])
    assert answers(client, "files.lan") == ("NOERROR", ["10.77.0.210"])
