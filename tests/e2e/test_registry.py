"""The registry cache between real clients and Debian's docker-registry: fetched once, right, and there without it."""

import contextlib
import hashlib
import json
import re
import subprocess

import pytest

from lab import images, pullers, registries
from lab.registry_node import ALL, MANIFEST, PORT, UPSTREAM, sent, whole

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("skopeo", "docker-registry", "curl")]


def test_pulled_once_and_kept(lab, upstream, node):
    """Cold, warm, by digest, and with the upstream stopped: the same bytes, which the upstream sent once."""
    image = images.Image(upstream, "team/app", "v1", [6 << 20, 2 << 20, 1000])
    netlab = lab.start("registry")
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)
    images.check_folder(node.pull(f"{PORT}/team/app@{image.digest}"), image)
    assert sorted(sent(upstream)) == sorted((digest, 200) for digest in image.blobs)
    upstream.down()
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)
    # Also by a process that has never seen the upstream.
    assert netlab.stop() == 0
    lab.start("registry")
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)
    images.check_folder(node.pull(f"{ALL}/upstream.lab/team/app:v1"), image)


def test_protocol(lab, upstream, node):
    """What the distribution-spec asks of answers to GET and HEAD, for content that is cold and warm."""
    image = images.Image(upstream, "team/app", "v1", [300_000])
    [layer] = image.layers
    content = image.blobs[layer["digest"]]
    lab.start("registry")
    ping = node.curl("/v2/")
    assert (ping.status, ping.headers["docker-distribution-api-version"]) == (200, "registry/2.0")
    manifest = json.loads(node.curl("/v2/team/app/manifests/v1").body)
    for reference in ("v1", image.digest):
        for method in ("-XGET", "-I"):
            got = node.curl(f"/v2/team/app/manifests/{reference}", method)
            assert got.status == 200
            assert got.headers["docker-content-digest"] == image.digest
            assert got.headers["content-type"] == MANIFEST
            assert int(got.headers["content-length"]) == image.manifest["size"]
            assert got.headers["etag"] == f'"{image.digest}"'
    assert manifest["layers"][0]["digest"] == layer["digest"]
    # HEAD of a blob that is not here, then GET of it, then both again.
    for _ in range(2):
        head = node.curl(f"/v2/team/app/blobs/{layer['digest']}", "-I")
        assert (head.status, int(head.headers["content-length"])) == (200, len(content))
        got = node.curl(f"/v2/team/app/blobs/{layer['digest']}", "-H", "Accept-Encoding: zstd,gzip,deflate")
        assert (got.status, got.body) == (200, content)
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.headers["docker-content-digest"] == layer["digest"]
        assert "content-encoding" not in got.headers and got.headers["accept-ranges"] == "bytes"
    # A manifest is a blob as well, for who asks for it so.
    assert node.curl(f"/v2/team/app/blobs/{image.digest}").status == 200
    not_modified = node.curl(f"/v2/team/app/manifests/v1", "-H", f'If-None-Match: "{image.digest}"')
    assert (not_modified.status, not_modified.body) == (304, b"")


RANGES = [("500-1499", 206, (500, 1500)), ("500-", 206, (500, None)), ("-500", 206, (-500, None)),
          ("2000-5000", 206, (2000, 5001)), ("500-0", 416, None), ("10000000-20000000", 416, None),
          ("0-99,200-299", 200, (0, None))]


def test_ranges_warm_and_cold(lab, upstream, node):
    image = images.Image(upstream, "team/app", "v1", [400_000 + number for number in range(len(RANGES) + 1)])
    lab.start("registry")

    def ask(layer, text, status, piece):
        content = image.blobs[layer["digest"]]
        got = node.curl(f"/v2/team/app/blobs/{layer['digest']}", "-H", f"Range: bytes={text}")
        assert got.status == status, text
        if piece:
            assert got.body == content[slice(*piece)], text
        if status == 206:
            first = piece[0] % len(content)
            assert got.headers["content-range"] == f"bytes {first}-{first + len(got.body) - 1}/{len(content)}"
        if status == 416:
            assert got.headers["content-range"] == f"bytes */{len(content)}"

    for (text, status, piece), layer in zip(RANGES, image.layers):  # each cold: nobody asked for that layer before
        ask(layer, text, status, piece)
    warm = image.layers[-1]
    assert node.curl(f"/v2/team/app/blobs/{warm['digest']}").status == 200
    for text, status, piece in RANGES:
        ask(warm, text, status, piece)


def test_refusals(lab, upstream, node):
    """What cannot be had is said in the words that clients of registries know."""
    images.Image(upstream, "team/app", "v1", [1000])
    lab.start("registry")

    def refused(path, status, code, *options, base=PORT):
        got = node.curl(path, *options, base=base)
        assert (got.status, got.json()["errors"][0]["code"]) == (status, code), (path, got.body)
        assert got.headers["content-type"] == "application/json"

    nothing = "sha256:" + "0" * 64
    refused("/v2/team/app/manifests/v2", 404, "MANIFEST_UNKNOWN")
    refused(f"/v2/team/app/manifests/{nothing}", 404, "MANIFEST_UNKNOWN")
    refused(f"/v2/team/app/blobs/{nothing}", 404, "BLOB_UNKNOWN")
    refused("/v2/team/app/blobs/sha256:12", 400, "DIGEST_INVALID")
    refused("/v2/Team/app/manifests/v1", 400, "NAME_INVALID")
    refused("/v2/team/app/manifests/-v1", 400, "MANIFEST_INVALID")
    refused("/v2/team/nothing/tags/list", 404, "NAME_UNKNOWN")
    refused("/v2/team/app/manifests/v1", 405, "UNSUPPORTED", "-X", "PUT", "--data", "{}")
    refused("/v2/team/app/blobs/uploads/", 405, "UNSUPPORTED", "-X", "POST")
    refused("/v2/elsewhere.lab/team/app/manifests/v1", 404, "NAME_UNKNOWN", base=ALL)
    refused("/v2/team/app/manifests/v1?ns=elsewhere.lab", 404, "NAME_UNKNOWN", base=ALL)
    upstream.down()
    refused("/v2/team/app/manifests/v1", 502, "UNAVAILABLE")


def test_tags_and_referrers(lab, upstream, node):
    image = images.Image(upstream, "team/app", "v1", [1000])
    for tag in ("b", "a", "c", "latest"):
        images.Image(upstream, "team/app", tag, [1000])
    lab.start("registry")
    got = node.curl("/v2/team/app/tags/list").json()
    assert got == {"name": "team/app", "tags": ["a", "b", "c", "latest", "v1"]}
    page = node.curl("/v2/team/app/tags/list?n=2")
    assert page.json()["tags"] == ["a", "b"]
    link = re.fullmatch(r'<(\S+)>; rel="next"', page.headers["link"])[1]
    assert node.curl(link).json()["tags"] == ["c", "latest"]
    assert node.curl("/v2/team/app/tags/list?n=2&last=latest").json()["tags"] == ["v1"]
    # This upstream has no referrers: they are what is kept under a tag, or nothing.
    index = node.curl(f"/v2/team/app/referrers/{image.digest}")
    assert (index.status, index.headers["content-type"]) == (200, images.INDEX)
    assert index.json()["manifests"] == []
    signature = {**image.manifest, "artifactType": "application/vnd.lab.signature"}
    other = images.Image(upstream, "team/app", "other", [1000], seed="other")
    kept = [signature, {**image.manifest, "artifactType": "application/vnd.lab.other"}]
    upstream.manifest("team/app", other.digest.replace(":", "-"), {"manifests": kept}, images.INDEX)
    found = node.curl(f"/v2/team/app/referrers/{other.digest}").json()["manifests"]
    assert [each["artifactType"] for each in found] == ["application/vnd.lab.signature", "application/vnd.lab.other"]
    filtered = node.curl(f"/v2/team/app/referrers/{other.digest}?artifactType=application/vnd.lab.signature")
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert [each["artifactType"] for each in filtered.json()["manifests"]] == ["application/vnd.lab.signature"]


def test_one_port_for_all(lab, upstream, node, away):
    """containerd's ?ns= and a registry in front of the name lead to the same content."""
    image = images.Image(upstream, "team/app", "v1", [100_000])
    lab.start("registry")
    by_path = node.curl("/v2/upstream.lab/team/app/manifests/v1", base=ALL)
    by_ns = node.curl("/v2/team/app/manifests/v1?ns=upstream.lab", base=ALL)
    assert by_path.headers["docker-content-digest"] == by_ns.headers["docker-content-digest"] == image.digest
    assert by_ns.headers["oci-namespace"] == "upstream.lab" and "oci-namespace" not in by_path.headers
    images.check_folder(node.pull(f"{ALL}/upstream.lab/team/app:v1"), image)
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)
    assert sorted(sent(upstream)) == sorted((digest, 200) for digest in image.blobs)


def test_sixteen_at_once(lab, upstream, node):
    """Sixteen clients want the same cold image: the upstream sends each part of it once."""
    image = images.Image(upstream, "team/app", "v1", [8 << 20, 4 << 20])
    lab.start("registry")
    pulls = [node.start_pull(f"{PORT}/team/app:v1") for _ in range(16)]
    for process, folder in pulls:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, out
        images.check_folder(folder, image)
    assert sorted(sent(upstream)) == sorted((digest, 200) for digest in image.blobs)


@pytest.mark.needs("openssl")
def test_tls_and_tokens(lab, upstream, away, node):
    """docker-registry behind a CA of the lab and tokens, with credentials: nodes see neither."""
    image = images.Image(upstream, "team/app", "v1", [1 << 20, 1 << 20])
    tls = registries.certificates(lab.folder, UPSTREAM)
    issuer = lab.keep(registries.Issuer(away, lab.folder, UPSTREAM, 5001, tls, password="robot:hunter2-old"))
    lab.keep(registries.Secure(away, lab.folder, lab.folder / "registry/data", UPSTREAM, 5443, tls,
                               f"https://{UPSTREAM}:5001/token"))
    (lab.folder / "password").write_text("hunter2-old\n")
    netlab = lab.start("registry", upstream=f"https://{UPSTREAM}:5443", ca=tls["ca"], username="robot",
                       password_file=lab.folder / "password")
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)
    assert set(issuer.asked) == {"repository:team/app:pull"} and issuer.refused == 0
    assert len(issuer.asked) <= 2  # one token serves the whole image
    # Another image, for which the password does not help: 403, and no word of the upstream's demand.
    assert netlab.stop() == 0
    (lab.folder / "password").write_text("hunter2-new\n")
    netlab = lab.start("registry", upstream=f"https://{UPSTREAM}:5443", ca=tls["ca"], username="robot",
                       password_file=lab.folder / "password")
    got = node.curl("/v2/team/other/manifests/v1")
    assert (got.status, got.json()["errors"][0]["code"]) == (403, "DENIED")
    assert "www-authenticate" not in got.headers
    netlab.log.expect("NL-REG-014", 10)
    assert "hunter2" not in netlab.logs()
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)  # what is here is still served
    # A certificate that nobody knows is no upstream.
    assert netlab.stop() == 0
    lab.start("registry", upstream=f"https://{UPSTREAM}:5443", cache="fresh")
    assert node.curl("/v2/team/app/manifests/v1").status == 502


def test_broken_connections_are_gone_on_with(lab, faulty, node):
    """An upstream that cuts off again and again: the client sees one whole blob, each byte of which came once."""
    [digest] = faulty.image([3 << 20])
    content = faulty.blobs[digest]
    for count in (700_000, 1, 100_000):
        faulty.cut_after(digest, count)
    lab.start("registry")
    assert whole(node, f"/v2/team/app/blobs/{digest}", content)
    ranges = [wanted for how, path, wanted in faulty.asked if path.endswith(digest)]
    assert ranges == ["", "bytes=700000-", "bytes=700001-", "bytes=800001-"]


def test_wrong_content_is_never_served_to_its_end(lab, faulty, node):
    """Wrong bytes, a wrong length, and nonsense: an error or a cut connection, and the next pull is right."""
    [digest] = faulty.image([1 << 20])
    content = faulty.blobs[digest]
    path = f"/v2/team/app/blobs/{digest}"
    netlab = lab.start("registry")

    def spoiled(what, message):
        faulty.once(digest, what)
        done = subprocess.run(node.host.command("curl", "-sS", "-m", "60", f"http://{PORT}{path}"), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=70)
        assert done.stdout != content and hashlib.sha256(done.stdout).hexdigest() != digest[7:]
        assert len(done.stdout) < len(content)
        netlab.log.expect(message, 20)

    spoiled(lambda handler, body: faulty.reply(handler, 200, bytes(len(body))), "NL-REG-007")
    spoiled(lambda handler, body: faulty.reply(handler, 200, body[:-1] + b"x"), "NL-REG-007")
    spoiled(lambda handler, body: faulty.reply(handler, 200, body[:-1000]), "NL-REG-007")
    asked = faulty.count(digest)
    assert whole(node, path, content)
    assert whole(node, path, content)
    assert faulty.count(digest) == asked + 1

    def too_long(handler, body):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) + 1000))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True
    other = faulty.put(bytes(reversed(content)))["digest"]
    digest, content, path = other, faulty.blobs[other], f"/v2/team/app/blobs/{other}"
    spoiled(too_long, "NL-REG-008")
    assert whole(node, path, content)


def test_an_upstream_with_faults(lab, faulty, node):
    """429, 500, loops of 401, endless redirects, something else than a registry, a manifest of 2 GB."""
    [digest] = faulty.image([1000])
    netlab = lab.start("registry")

    def spoiled(status, code, answer):
        def fault(handler, path):
            return answer(handler) or True
        faulty.faults.append(fault)
        got = node.curl("/v2/team/app/manifests/v1")
        faulty.faults.remove(fault)
        assert (got.status, got.json()["errors"][0]["code"]) == (status, code), got.body
        return got

    spoiled(502, "UNAVAILABLE", lambda h: faulty.reply(h, 500))
    spoiled(502, "UNAVAILABLE", lambda h: faulty.reply(h, 200, b"<html>Sign in to the portal</html>", Content_Type="text/html"))
    spoiled(502, "UNAVAILABLE", lambda h: faulty.reply(h, 307, Location=h.path))
    spoiled(502, "UNAVAILABLE", lambda h: faulty.reply(h, 307, Location="file:///etc/passwd"))
    spoiled(403, "DENIED", lambda h: faulty.reply(h, 401, WWW_Authenticate='Basic realm="x"'))
    spoiled(403, "DENIED", lambda h: faulty.reply(h, 401, WWW_Authenticate="(((nonsense"))
    spoiled(403, "DENIED", lambda h: faulty.reply(h, 200, b'{"token": "t"}') if "token" in h.path else faulty.reply(
        h, 401, WWW_Authenticate=f'Bearer realm="http://{UPSTREAM}:5000/token",service="x"'))

    def huge(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        handler.send_header("Content-Length", str(2 << 30))
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(2048):
                handler.wfile.write(bytes(1 << 20))
        handler.close_connection = True
    spoiled(502, "UNAVAILABLE", huge)
    got = node.curl("/v2/team/app/manifests/v1")
    assert (got.status, got.body) == (200, faulty.manifests["v1"])
    # Too many requests: said on, remembered, and no question is asked until the time is over.
    other = faulty.put(b"something else")["digest"]
    limited = lambda h, path: faulty.reply(h, 429, Retry_After="600") or True  # noqa: E731
    faulty.faults.append(limited)
    first = node.curl(f"/v2/team/app/blobs/{other}")
    assert (first.status, first.json()["errors"][0]["code"]) == (429, "TOOMANYREQUESTS")
    asked = len(faulty.asked)
    again = node.curl(f"/v2/team/app/blobs/{other}")
    assert again.status == 429 and 1 <= int(again.headers["retry-after"]) <= 600
    assert len(faulty.asked) == asked
    assert node.curl("/v2/team/app/manifests/v1").status == 200
    netlab.log.expect("NL-REG-006", 10)


def test_redirects_are_followed_without_credentials(lab, faulty, away, node):
    """Blobs and manifests that lie elsewhere: a relative place gets the token, another host does not."""
    [layer] = faulty.image([200_000])
    elsewhere = lab.keep(registries.Faulty(away, UPSTREAM, 5002))
    elsewhere.blobs, elsewhere.manifests = faulty.blobs, faulty.manifests
    seen = {"home": [], "elsewhere": []}

    def at_home(handler, path):
        seen["home"].append((path, handler.headers.get("Authorization")))
        if path.startswith("/token"):
            return faulty.reply(handler, 200, b'{"token": "secret-token"}') or True
        if handler.headers.get("Authorization") != "Bearer secret-token":
            return faulty.reply(handler, 401, WWW_Authenticate=f'Bearer realm="http://{UPSTREAM}:5000/token",service="x"') or True
        if path == f"/v2/team/app/blobs/{layer}":
            return faulty.reply(handler, 307, Location=f"../blobs/{layer}?moved=1") or True
        if path.endswith("?moved=1"):
            return faulty.reply(handler, 302, Location=f"http://{UPSTREAM}:5002/v2/team/app/blobs/{layer}") or True
        return faulty.reply(handler, 307, Location=f"http://{UPSTREAM}:5002{path}") or True
    faulty.faults.append(at_home)
    elsewhere.faults.append(lambda h, path: seen["elsewhere"].append((path, h.headers.get("Authorization"))))
    lab.start("registry")
    assert node.curl("/v2/team/app/manifests/v1").body == faulty.manifests["v1"]
    assert whole(node, f"/v2/team/app/blobs/{layer}", faulty.blobs[layer])
    assert (f"/v2/team/app/blobs/{layer}?moved=1", "Bearer secret-token") in seen["home"]
    assert {path for path, _ in seen["elsewhere"]} == {"/v2/team/app/manifests/v1", f"/v2/team/app/blobs/{layer}"}
    assert {authorization for _, authorization in seen["elsewhere"]} == {None}


def test_tags_are_asked_about_and_served_stale(lab, faulty, node):
    faulty.image([1000], seed="old")
    old = faulty.manifests["v1"]
    netlab = lab.start("registry", tags="0s")
    assert node.curl("/v2/team/app/manifests/v1").body == old
    for _ in range(3):
        assert node.curl("/v2/team/app/manifests/v1").body == old
    tag = [how for how, path, _ in faulty.asked if path.endswith("manifests/v1")]
    assert tag == ["GET", "HEAD", "HEAD", "HEAD"]  # a HEAD is no pull to Docker Hub
    faulty.image([1000], seed="new")
    assert node.curl("/v2/team/app/manifests/v1").body == faulty.manifests["v1"] != old
    broken = lambda h, path: faulty.reply(h, 503) or True  # noqa: E731
    faulty.faults.append(broken)
    assert node.curl("/v2/team/app/manifests/v1").body == faulty.manifests["v1"]
    netlab.log.expect("NL-REG-012", 10)


def test_readers_follow_and_leaving_does_not_end_it(lab, faulty, node):
    """Readers get what is there before the end is; the first one's going does not stop the fetch."""
    [digest] = faulty.image([2 << 20])
    content = faulty.blobs[digest]
    go = faulty.hold(digest, 1 << 20)
    lab.start("registry")
    command = node.host.command("curl", "-sSN", "-m", "60", f"http://{PORT}/v2/team/app/blobs/{digest}")
    first, second = (subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2))
    for reader in (first, second):
        assert reader.stdout.read(900_000) == content[:900_000]
    first.kill()
    first.wait()
    go.set()
    assert second.stdout.read() == content[900_000:]
    assert second.wait() == 0
    faulty.close()
    assert whole(node, f"/v2/team/app/blobs/{digest}", content)
    assert faulty.count(digest) == 1


def test_mirrors_are_asked_first(lab, upstream, away, node):
    image = images.Image(upstream, "team/app", "v1", [100_000])
    mirror = lab.keep(registries.Faulty(away, UPSTREAM, 5002))
    [layer] = image.layers
    mirror.blobs[layer["digest"]] = image.blobs[layer["digest"]]
    lab.start("registry", mirror=f"http://{UPSTREAM}:5002")
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)
    assert mirror.count(layer["digest"]) == 1
    assert layer["digest"] not in [digest for digest, _ in sent(upstream)]


@pytest.mark.needs("containerd", "ctr")
def test_containerd_with_hosts_toml(lab, upstream, node):
    """containerd finds the proxy by a hosts.toml: by a port of its own, and by ?ns= or a path on the port for all."""
    image = images.Image(upstream, "team/app", "v1", [2 << 20, 1000])
    lab.start("registry")
    folder = lab.folder / "containerd"
    ways = {"own": f"http://{PORT}", "ns": f"http://{ALL}", "path": f"http://{ALL}/v2/upstream.lab"}
    hosts = {way: pullers.hosts_folder(folder / way, "upstream.lab", url, override_path=way == "path")
             for way, url in ways.items()}
    daemon = pullers.Containerd(lab, node.host, folder / "daemon", folder)
    for way in ways:
        daemon.ctr("content", "fetch", "--hosts-dir", hosts[way], "upstream.lab/team/app:v1", namespace=way)
        listed = daemon.ctr("content", "ls", "-q", namespace=way).split()
        assert set(image.blobs) <= set(listed) and image.digest in listed
    daemon.check_content(image)
    assert sorted(sent(upstream)) == sorted((digest, 200) for digest in image.blobs)
