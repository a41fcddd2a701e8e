"""The registry cache's folder: its size, full disks, damage, and ends in the middle of everything."""

import contextlib
import hashlib
import http.client
import os
import random
import re
import shutil
import socket
import subprocess
import time

import pytest

from lab import images, netns
from lab.process import frozen
from lab.registry_node import PORT, blob_files, sent, whole

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("skopeo", "docker-registry", "curl")]


def test_stays_within_its_size(lab, faulty, node):
    """What was used longest ago goes, an image at a time; no answer is ever empty."""
    layers = {tag: faulty.image([1 << 20], tag=tag, seed=tag)[0] for tag in ("a", "b", "c", "d")}
    lab.start("registry", max_size="3500KiB")

    def pull(tag):
        assert node.curl(f"/v2/team/app/manifests/{tag}").status == 200
        assert whole(node, f"/v2/team/app/blobs/{layers[tag]}", faulty.blobs[layers[tag]])

    for tag in ("a", "b", "c", "a", "d"):
        pull(tag)
    held = {path.name.split("-")[0] for path in blob_files(lab)}
    assert {tag for tag, digest in layers.items() if digest[7:] in held} == {"a", "c", "d"}
    assert sum(path.stat().st_size for path in blob_files(lab)) <= 3500 << 10
    assert faulty.count(layers["a"]) == 1
    pull("b")
    assert faulty.count(layers["b"]) == 2


def test_stays_within_its_size_while_many_pull(lab, faulty, node):
    """Eight images of 1 MiB at the same moment in a cache of 3.5 MiB: every one arrives whole, and the cache never holds
    more than its size, parts included."""
    layers = {tag: faulty.image([1 << 20], tag=tag, seed=tag)[0] for tag in "abcdefgh"}
    netlab = lab.start("registry", max_size="3500KiB")
    cache = lab.state / "registry"
    for _ in range(3):
        pulls = {tag: node.start_pull(f"{PORT}/team/app:{tag}") for tag in layers}
        largest = 0
        while any(process.poll() is None for process, _ in pulls.values()):
            with frozen(netlab.process):  # while it moves, no look at its folder is of one moment
                held = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
            largest = max(largest, held)
        for tag, (process, folder) in pulls.items():
            assert process.wait() == 0, process.stdout.read()
            assert (folder / layers[tag][7:]).read_bytes() == faulty.blobs[layers[tag]]
        # Its own small files (tags, the lock) are not counted by it.
        assert 0 < largest <= (3500 << 10) + 50_000


def test_parts_expire(lab, faulty, node):
    """What was begun and never gone on with is removed after a day."""
    [old, new] = faulty.image([1 << 20, 1 << 20])
    netlab = lab.start("registry")
    held = [faulty.hold(digest, 500_000) for digest in (old, new)]
    readers = [subprocess.Popen(node.host.command("curl", "-sSN", "-m", "60", f"http://{PORT}/v2/team/app/blobs/{digest}"),
                                stdout=subprocess.PIPE) for digest in (old, new)]
    for reader in readers:
        assert len(reader.stdout.read(400_000)) == 400_000
    netlab.kill()
    for reader, go in zip(readers, held):
        reader.kill()
        reader.wait()
        go.set()
    parts = {path.name: path for path in (lab.state / "registry/parts").iterdir()}
    assert set(parts) == {f"sha256-{digest[7:]}" for digest in (old, new)}
    yesterday = time.time() - 25 * 3600
    os.utime(parts[f"sha256-{old[7:]}"], (yesterday, yesterday))
    lab.start("registry")
    assert [path.name for path in (lab.state / "registry/parts").iterdir()] == [f"sha256-{new[7:]}"]


def test_full_disk(lab, faulty, node):
    """No room for a blob: it is passed on without being kept, whole and right, and nothing else breaks."""
    big, small = faulty.image([12 << 20, 100_000])
    disk = lab.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        netlab = lab.start("registry", cache=disk)
        assert whole(node, f"/v2/team/app/blobs/{small}", faulty.blobs[small])
        for _ in range(2):
            assert whole(node, f"/v2/team/app/blobs/{big}", faulty.blobs[big])
        netlab.log.expect("NL-REG-010", 10)
        got = node.curl(f"/v2/team/app/blobs/{big}", "-H", "Range: bytes=5000000-5000999")
        assert (got.status, got.body) == (206, faulty.blobs[big][5000000:5001000])
        assert netlab.stop() == 0
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_full_disk_in_the_middle(lab, faulty, node):
    """Something else fills the disk while a blob is written: who reads it gets the rest, without a gap."""
    [digest] = faulty.image([3 << 20])
    content, path = faulty.blobs[digest], f"http://{PORT}/v2/team/app/blobs/{digest}"
    disk = lab.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=True)
    try:
        netlab = lab.start("registry", cache=disk)
        go = faulty.hold(digest, 1 << 20)
        readers = [node.host.popen("curl", "-sSN", "-m", "60", path, stdout=subprocess.PIPE) for _ in range(3)]
        begun = [reader.stdout.read(700_000) for reader in readers]
        with contextlib.suppress(OSError), (disk / "other").open("wb", buffering=0) as other:
            while other.write(bytes(4096)):
                pass
        go.set()
        for reader, first in zip(readers, begun):
            assert first + reader.stdout.read() == content
            assert reader.wait(60) == 0
        assert faulty.count(digest) == 1
        netlab.log.expect("NL-REG-010.*the rest is passed on", 10)
        assert not any((disk / "parts").iterdir())
        (disk / "other").unlink()
        assert whole(node, f"/v2/team/app/blobs/{digest}", content)
        assert faulty.count(digest) == 2
        assert netlab.stop() == 0
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_outgrows_the_cache(lab, faulty, node):
    """The upstream does not say how long a blob is, and it is longer than the cache is large: skopeo gets it whole, and so
    do others who read it at the same time."""
    layers = faulty.image([300_000, 12 << 20])
    big = layers[1]
    faulty.unmeasured()
    netlab = lab.start("registry", max_size="3MiB")
    folder = node.pull(f"{PORT}/team/app:v1")
    for digest in layers:
        assert (folder / digest[7:]).read_bytes() == faulty.blobs[digest]
    netlab.log.expect("NL-REG-010", 10)
    assert not any((lab.state / "registry/parts").iterdir())
    assert sum(path.stat().st_size for path in blob_files(lab)) <= 3 << 20
    pulls = [node.start_pull(f"{PORT}/team/app:v1") for _ in range(4)]
    for process, folder in pulls:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, out
        assert (folder / big[7:]).read_bytes() == faulty.blobs[big]
    got = node.curl(f"/v2/team/app/blobs/{big}", "-H", "Range: bytes=5000000-5000999")
    assert (got.status, got.body) == (200, faulty.blobs[big])
    # A connection that breaks off is gone on with, where the upstream can.
    faulty.faults.clear()
    faulty.unmeasured(big, cut=6_000_000)
    assert whole(node, f"/v2/team/app/blobs/{big}", faulty.blobs[big])
    assert faulty.asked[-1][2] == "bytes=6000000-"
    # What turns out to be wrong is not served to its end.
    faulty.faults.clear()
    faulty.unmeasured(big, spoil=True)
    done = node.host.popen("curl", "-sSN", "-m", "60", f"http://{PORT}/v2/team/app/blobs/{big}", stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    out, why = done.communicate(timeout=70)
    assert done.returncode in (18, 56), why
    assert faulty.blobs[big].startswith(out) and 0 < len(out) < len(faulty.blobs[big])
    netlab.log.expect("NL-REG-007", 10)


def test_outgrows_the_cache_for_a_slow_client(lab, faulty, node):
    """The upstream waits for a client that does not read, and netlab holds little of what is under way."""
    [digest] = faulty.image([96 << 20])
    content = faulty.blobs[digest]
    sent = faulty.unmeasured(digest)
    netlab = lab.start("registry", max_size="1MiB")
    with netns.inside(node.host.name):
        client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)  # the kernel is not to hold it all
    client.settimeout(60)
    client.connect((PORT.split(":")[0], 5050))
    client.sendall(f"GET /v2/team/app/blobs/{digest} HTTP/1.1\r\nHost: {PORT}\r\n\r\n".encode())
    answer = http.client.HTTPResponse(client)
    answer.begin()
    first = answer.read(2 << 20)
    netlab.log.expect("NL-REG-010", 10)
    # An upstream that nobody holds back has sent everything in much less than three seconds.
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and sent[0] < len(content):
        time.sleep(0.05)
    assert sent[0] < 64 << 20  # with all that kernels hold: netlab cannot have more
    # Others are served meanwhile.
    assert node.curl("/v2/").status == 200
    assert first + answer.read() == content
    client.close()


def test_parts_of_blobs_while_the_upstream_breaks_off(lab, faulty, node):
    """A Range of what is not here yet, from an upstream that breaks off at any byte: the part that was asked for."""
    chance = random.Random(5)
    layers = faulty.image([700_000] * 8)
    lab.start("registry")
    for digest in layers:
        content = faulty.blobs[digest]
        for _ in range(2):
            faulty.cut_after(digest, chance.randrange(len(content) // 2))
        first = chance.randrange(len(content))
        last = chance.randrange(first, len(content))
        got = node.curl(f"/v2/team/app/blobs/{digest}", "-H", f"Range: bytes={first}-{last}")
        assert (got.status, got.body) == (206, content[first:last + 1])
        assert whole(node, f"/v2/team/app/blobs/{digest}", content)


def test_damaged_cache_is_repaired(lab, faulty, node):
    [one, two] = faulty.image([300_000, 400_000])
    netlab = lab.start("registry")
    for digest in (one, two):
        assert whole(node, f"/v2/team/app/blobs/{digest}", faulty.blobs[digest])
    assert node.curl("/v2/team/app/manifests/v1").status == 200
    assert netlab.stop() == 0
    cache = lab.state / "registry"
    torn = next(path for path in blob_files(lab) if path.name.startswith(one[7:]))
    torn.write_bytes(torn.read_bytes()[:1000])
    (torn.parent / "rubbish").write_bytes(b"x")
    for path in (cache / "manifests").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    for path in (cache / "tags").iterdir():
        path.write_text('{"v1": {')
    netlab = lab.start("registry")
    assert any("NL-REG-002" in line for line in netlab.log.lines())
    for digest in (one, two):
        assert whole(node, f"/v2/team/app/blobs/{digest}", faulty.blobs[digest])
    got = node.curl("/v2/team/app/manifests/v1")
    assert (got.status, got.body) == (200, faulty.manifests["v1"])
    assert (faulty.count(one), faulty.count(two)) == (2, 1)


def test_killed_in_the_middle_of_a_fill(lab, faulty, node):
    """Whenever it is killed: what is served afterwards is right, and what was fetched is not fetched again."""
    [digest] = faulty.image([24 << 20])
    content = faulty.blobs[digest]
    path = f"/v2/team/app/blobs/{digest}"
    resumed = 0
    for count in (3 << 20, 5 << 20, 17 << 20):
        go = faulty.hold(digest, count)
        netlab = lab.start("registry")
        reader = subprocess.Popen(node.host.command("curl", "-sSN", "-m", "60", f"http://{PORT}{path}"), stdout=subprocess.PIPE)
        assert reader.stdout.read(2 << 20) == content[:2 << 20]
        netlab.kill()
        reader.kill()
        reader.wait()
        go.set()
        assert not blob_files(lab)
        netlab = lab.start("registry")
        before = len(faulty.asked)
        assert whole(node, path, content)
        resumed += any(wanted for _, _, wanted in faulty.asked[before:])
        assert netlab.stop() == 0
        [file] = blob_files(lab)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest[7:]
        file.unlink()
        assert not any((lab.state / "registry/parts").iterdir())
    assert resumed == 3


KILLS = int(os.environ.get("NETLAB_KILLS", "8"))


def test_killed_at_random_points(lab, faulty, node):
    """kill -9 while several blobs are fetched (NETLAB_KILLS times): nothing but whole blobs and parts is left, whatever
    is served is right, and parts are gone on with.  A seed makes a failure repeatable."""
    chance = random.Random(20)
    layers = faulty.image([2 << 20, 3 << 20, 400_000, 30_000])
    cache = lab.state / "registry"

    def slowly(handler, path):
        """About 20 MB/s, so that a kill finds something under way."""
        content = faulty.blobs.get(path.rpartition("/")[2])
        if content is None or handler.command != "GET":
            return None
        first = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(first[1]) if first else 0
        if start >= len(content):
            return None
        handler.send_response(206 if first else 200)
        if first:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        with contextlib.suppress(OSError):
            for at in range(start, len(content), 65536):
                handler.wfile.write(content[at:at + 65536])
                time.sleep(0.003)
        return True
    faulty.faults.append(slowly)
    for _ in range(KILLS):
        netlab = lab.start("registry")
        pulls = [subprocess.Popen(node.host.command("curl", "-sS", "-m", "60", "-w", "%{http_code}", "-o", lab.folder / f"out-{n}",
                                                    f"http://{PORT}/v2/team/app/blobs/{digest}"),
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                 for n, digest in enumerate(layers)]
        pulls.append(node.start_pull(f"{PORT}/team/app:v1")[0])
        time.sleep(chance.uniform(0, 0.25))
        netlab.kill()
        for number, pull in enumerate(pulls):
            out, _ = pull.communicate(timeout=60)
            if pull.returncode == 0 and number < len(layers):
                assert out == b"200" and (lab.folder / f"out-{number}").read_bytes() == faulty.blobs[layers[number]]
        for path in blob_files(lab):
            digest, _, size = path.name.partition("-")
            assert path.stat().st_size == int(size) and hashlib.sha256(path.read_bytes()).hexdigest() == digest
        # Now and then all is lost, so that there is something to fetch again.
        if len(blob_files(lab)) >= len(layers):
            shutil.rmtree(cache)
    lab.start("registry")
    for digest in layers:
        assert whole(node, f"/v2/team/app/blobs/{digest}", faulty.blobs[digest])
    assert not any((cache / "parts").iterdir())
    if KILLS >= 8:
        assert any(wanted for _, _, wanted in faulty.asked), "no part was ever gone on with"


def test_imports_an_older_cache(lab, upstream, node):
    """The storage folder of a registry:2 is a warm cache; what is damaged in it is fetched."""
    image = images.Image(upstream, "team/app", "v1", [200_000, 300_000])
    good, bad = (each["digest"] for each in image.layers)
    data = lab.folder / "registry/data"
    older = lab.folder / "older"
    shutil.copytree(data, older)
    path = older / f"docker/registry/v2/blobs/sha256/{bad[7:9]}/{bad[7:]}/data"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    lab.start("registry", **{"import": older})
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)
    assert [digest for digest, _ in sent(upstream)] == [bad]
    upstream.down()
    images.check_folder(node.pull(f"{PORT}/team/app:v1"), image)
