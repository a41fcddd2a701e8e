"""curl against the HTTP server, for what firmware, iPXE and package tools rely on."""

import hashlib
import random
import re
import subprocess
import time

import pytest

from lab import bastion

BASE = f"http://{bastion.ADDRESS}:8080"
pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("curl")]


class Answer:
    """Status, headers (lower-case names) and body of one response."""

    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}


@pytest.fixture
def content(lab, request):
    """A folder over HTTP, served by as many workers as the test asks for; returns the bytes of its file."""
    root = lab.folder / "served"
    root.mkdir()
    body = random.Random(9).randbytes(300_000)
    (root / "file.bin").write_bytes(body)
    (root / "empty").write_bytes(b"")
    (root / "with space").write_bytes(b"spaced")
    (lab.folder / "secret").write_bytes(b"outside")
    lab.asset(root / "file.bin", "vmlinuz")
    lab.asset(root / "file.bin", "initrd.gz")
    lab.start("files", root=root, workers=getattr(request, "param", 1))
    return body


@pytest.fixture
def machine_on_lan(lab):
    return lab.network.host("client", "10.77.0.9/24")


@pytest.fixture
def get(machine_on_lan):
    def request(path, *options):
        done = subprocess.run(machine_on_lan.command("curl", "-sS", "-m", "20", "-i", "--path-as-is", *options, BASE + path),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        return Answer(done.stdout)
    return request


def test_get_and_head(content, get):
    """UEFI HTTP boot sizes its buffer by HEAD: the length must be there, right, and without a body."""
    answer = get("/files/file.bin")
    assert answer.status == 200
    assert answer.body == content
    assert answer.headers["content-length"] == str(len(content))
    head = get("/files/file.bin", "--head")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(content))
    assert get("/files/empty").headers["content-length"] == "0"
    assert get("/files/with%20space").body == b"spaced"


@pytest.mark.parametrize("asked, first, last", [("0-99", 0, 99), ("299900-", 299900, 299999), ("-100", 299900, 299999),
                                                ("299990-400000", 299990, 299999), ("5-5", 5, 5)])
def test_range(content, get, asked, first, last):
    answer = get("/files/file.bin", "-r", asked)
    assert answer.status == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(content)}"
    assert answer.headers["content-length"] == str(last - first + 1)
    assert answer.body == content[first:last + 1]


def test_range_outside(content, get):
    answer = get("/files/file.bin", "-H", "Range: bytes=300000-")
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(content)}"


def test_conditional(lab, content, get):
    """A file that has not changed is not sent again; a changed one is."""
    tag = get("/files/file.bin").headers["etag"]
    unchanged = get("/files/file.bin", "-H", f"If-None-Match: {tag}")
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert get("/files/file.bin", "-H", 'If-None-Match: "other"').status == 200
    (lab.folder / "served/file.bin").write_bytes(b"changed")
    # netlab looks at a file it has open at most once a second.
    deadline = time.monotonic() + 2
    changed = get("/files/file.bin", "-H", f"If-None-Match: {tag}")
    while changed.status == 304 and time.monotonic() < deadline:
        changed = get("/files/file.bin", "-H", f"If-None-Match: {tag}")
    assert (changed.status, changed.body) == (200, b"changed")


@pytest.mark.parametrize("path", ["//files/file.bin", "/files//file.bin", "///files///file.bin"])
def test_repeated_slashes(content, get, path):
    """Firmware joins addresses carelessly, and does not follow a redirect that would tidy them."""
    answer = get(path)
    assert answer.status == 200
    assert answer.body == content


@pytest.mark.parametrize("path", ["/files/../secret", "/files/%2e%2e/secret", "/files/..%2fsecret", "/files/%2e%2e%2fsecret",
                                  "/files/..%5csecret", "/assets/../../secret", "/files/%00", "/files/missing", "/nothing"])
def test_nothing_outside(content, get, path):
    answer = get(path)
    assert 400 <= answer.status < 500
    assert b"outside" not in answer.body


def test_keep_alive(content, machine_on_lan):
    """Two requests share a connection; an old client that asks for it to be closed gets that."""
    out = machine_on_lan.run("curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{num_connects} ", f"{BASE}/files/file.bin",
                             "-o", "/dev/null", f"{BASE}/files/empty")
    assert out.split() == ["1", "0"]
    out = machine_on_lan.run("curl", "-sS", "-m", "20", "-v", "-0", "-o", "/dev/null", f"{BASE}/files/file.bin")
    assert re.search(r"[Cc]losing connection", out)


def test_unsupported_method(content, get):
    assert get("/files/file.bin", "-X", "DELETE").status in (405, 501)
    assert get("/files/file.bin", "-d", "x=1").status in (405, 501)


@pytest.mark.parametrize("content, workers", [(1, 1), (3, 3)], indirect=["content"], ids=["one worker", "three"])
def test_many_at_once(lab, content, workers, machine_on_lan):
    """Sixteen downloads side by side arrive whole, from however many workers share the port."""
    listening = lab.host.run("ss", "-Hltn", "sport = :8080")
    assert len(listening.splitlines()) == workers
    command = ["curl", "-sS", "-m", "40", "--parallel", "--parallel-immediate", "--parallel-max", "16"]
    targets = [lab.folder / f"received-{number}" for number in range(16)]
    for target in targets:
        command += ["-o", str(target), f"{BASE}/files/file.bin"]
    machine_on_lan.run(*command, timeout=60)
    expected = hashlib.sha256(content).digest()
    assert all(hashlib.sha256(target.read_bytes()).digest() == expected for target in targets)


def test_boot_paths(content, get):
    """The boot service beside the folder: matchbox's entry script, a profile's script, an asset, a configuration."""
    entry = get("/boot.ipxe")
    assert entry.status == 200 and entry.body.startswith(b"#!ipxe\n") and b"chain " in entry.body
    script = get("/ipxe?mac=52-54-00-0a-4d-99&arch=x86_64").body.decode()
    assert script.startswith("#!ipxe\n")
    assert re.search(r"^kernel \S*vmlinuz\b.*console=ttyS0", script, re.M)
    assert re.search(r"^initrd .*initrd\.gz\b", script, re.M)
    assert get("/assets/vmlinuz").body == content
    config = get("/config?mac=52-54-00-0a-4d-99")
    assert config.body == (bastion.RECIPES / "machines/worker.yaml").read_bytes()
