"""Kernels and initrds that come from elsewhere: fetched once, checked, and served from the copy on the bastion."""

import hashlib
import json
import random
import re
import subprocess
import threading
import time

import pytest

from lab import bastion, netns, sources

BASE = f"http://{bastion.ADDRESS}:8080"
SOURCE = "10.77.0.5"
pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("curl")]

KERNEL = random.Random(3).randbytes(6 << 20)
INITRD = random.Random(4).randbytes(3 << 20)


def digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def away(lab):
    """The host that sources run on."""
    return lab.network.host("source", f"{SOURCE}/24")


@pytest.fixture
def web(lab, away):
    server = lab.keep(sources.Web(away, SOURCE))
    server.pages["/vmlinuz"] = sources.Page(KERNEL)
    return server


class Node:
    """A machine that asks the bastion as firmware and iPXE do."""

    def __init__(self, lab):
        self._host = lab.network.host("node", "10.77.0.9/24")

    def get(self, path, *options):
        """Status and body."""
        done = subprocess.run(self._host.command("curl", "-sS", "-m", "60", "-w", "\n%{http_code} %header{retry-after}",
                                                 *options, BASE + path),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90)
        assert done.returncode == 0, done.stderr.decode()
        body, _, end = done.stdout.rpartition(b"\n")
        status, _, self.retry_after = end.decode().partition(" ")
        return int(status), body

    def script(self):
        return self.get("/ipxe?mac=52-54-00-0a-4d-99&arch=x86_64&platform=efi")[1].decode()


@pytest.fixture
def node(lab):
    return Node(lab)


def told(server, pattern, times=1, timeout=60):
    """The line that holds the pattern for the given time, whether it came before netlab was ready or comes yet."""
    deadline = time.monotonic() + timeout
    while True:
        found = [line for line in server.log.lines() if re.search(pattern, line)]
        if len(found) >= times:
            return found[times - 1]
        assert time.monotonic() < deadline, f"no {pattern!r} within {timeout} s\n{server.logs()[-3000:]}"
        time.sleep(0.02)


def fetched(server, name, times=1):
    told(server, rf"NL-ASSET-003.*{re.escape(name)}", times)


def test_fetched_once_and_served_without_the_source(lab, web, node):
    server = lab.start("assets", web=web.base, sha256=digest(KERNEL))
    fetched(server, "web/vmlinuz")
    assert "kernel " in node.script()
    assert node.get("/assets/web/vmlinuz") == (200, KERNEL)
    # The source goes; a restart finds the copy, and nothing is asked.
    web.down()
    assert server.stop() == 0
    lab.start("assets", web=web.base, sha256=digest(KERNEL))
    assert node.get("/assets/web/vmlinuz") == (200, KERNEL)
    assert re.search(r"^kernel \S+/assets/web/vmlinuz", node.script(), re.M)
    assert len(web.requests("/vmlinuz")) == 1
    assert node.get("/assets/.netlab-fetch/x")[0] == 404


def test_a_node_waits_while_the_first_fetch_is_under_way(lab, web, node):
    """iPXE is told how far it is and asks again; firmware's own request is held, and then told when to come again."""
    page = web.pages["/vmlinuz"]
    page.pause_after = len(KERNEL) // 2
    server = lab.start("assets", web=web.base)
    told(server, r"NL-ASSET-001")
    script = node.script()
    assert script.startswith("#!ipxe\n") and "web/vmlinuz is still being fetched" in script
    assert "sleep 3" in script and "chain --replace" in script and "\nkernel " not in script
    told(server, r"NL-BOOT-044")
    web.wait(lambda: re.search(r"web/vmlinuz +fetching +50 % of 6 MiB",
                               lab.host.run(lab.binary, "--state", lab.state, "status")), "netlab status shows the half")
    status, body = node.get("/assets/web/vmlinuz")
    assert (status, node.retry_after.isdigit()) == (503, True)
    assert b"web/vmlinuz is not here yet" in body
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(node.get("/assets/web/vmlinuz", "-A", "iPXE/1.21")))
    waiting.start()
    page.go.set()
    waiting.join(60)
    assert answers == [(200, KERNEL)]
    assert "\nkernel " in node.script()


def test_wrong_checksum_is_never_served(lab, web, node):
    web.pages["/vmlinuz"] = sources.Page(KERNEL[:-1] + b"!")
    server = lab.start("assets", web=web.base, sha256=digest(KERNEL), retry="1s")
    line = told(server, r"NL-ASSET-005")
    assert digest(KERNEL) in line and digest(web.pages["/vmlinuz"].body) in line
    assert not (lab.state / "assets/web/vmlinuz").exists()
    assert not list((lab.state / "assets/.netlab-fetch").glob("*.part"))
    assert node.get("/assets/web/vmlinuz")[0] == 503
    assert "wrong checksum" in node.script()
    told(server, r"NL-BOOT-045")
    web.pages["/vmlinuz"] = sources.Page(KERNEL)
    fetched(server, "web/vmlinuz")
    assert node.get("/assets/web/vmlinuz") == (200, KERNEL)


def test_list_of_checksums(lab, web, node):
    web.pages["/SHA256SUMS"] = sources.Page(f"{digest(INITRD)}  ./initrd.gz\n{digest(INITRD)} *vmlinuz\n".encode())
    server = lab.start("assets", web=web.base, sums=f"{web.base}/SHA256SUMS", retry="1s")
    told(server, r"NL-ASSET-005")
    assert node.get("/assets/web/vmlinuz")[0] == 503
    web.pages["/SHA256SUMS"] = sources.Page(f"{digest(KERNEL)} *vmlinuz\n".encode())
    fetched(server, "web/vmlinuz")
    assert node.get("/assets/web/vmlinuz") == (200, KERNEL)


def test_changed_copy_is_not_served(lab, web, node):
    """Somebody wrote into the file: with a checksum in the recipe the next start notices."""
    server = lab.start("assets", web=web.base, sha256=digest(KERNEL))
    fetched(server, "web/vmlinuz")
    assert server.stop() == 0
    copy = lab.state / "assets/web/vmlinuz"
    copy.write_bytes(KERNEL[:1000] + b"altered" + KERNEL[1007:] + b"x")
    server = lab.start("assets", web=web.base, sha256=digest(KERNEL))
    told(server, r"NL-ASSET-007")
    fetched(server, "web/vmlinuz")
    assert node.get("/assets/web/vmlinuz") == (200, KERNEL)


def test_goes_on_after_kill(lab, web, node):
    page = web.pages["/vmlinuz"]
    page.pause_after = len(KERNEL) // 2
    server = lab.start("assets", web=web.base, sha256=digest(KERNEL))
    folder = lab.state / "assets/.netlab-fetch"
    web.wait(lambda: sum(part.stat().st_size for part in folder.glob("*.part")) == len(KERNEL) // 2, "half of it")
    server.kill()
    page.go.set()
    server = lab.start("assets", web=web.base, sha256=digest(KERNEL))
    fetched(server, "web/vmlinuz")
    assert node.get("/assets/web/vmlinuz") == (200, KERNEL)
    second = web.requests("/vmlinuz")[1]["headers"]
    assert second["range"] == f"bytes={len(KERNEL) // 2}-"
    assert second["if-range"] == page.etag
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("what", ["broken off", "another edition", "no ranges", "shorter now"])
def test_broken_transfers(lab, web, node, what):
    page = web.pages["/vmlinuz"]
    page.break_after = len(KERNEL) - 1000
    server = lab.start("assets", web=web.base, retry="2s")
    told(server, r"NL-ASSET-004")
    expected = KERNEL
    if what == "another edition":
        expected = INITRD + KERNEL
        web.pages["/vmlinuz"] = sources.Page(expected)
    elif what == "no ranges":
        page.ranges = False
    elif what == "shorter now":
        # A server that pays no heed to the condition answers 416.
        expected = INITRD
        web.pages["/vmlinuz"] = sources.Page(INITRD, etag=page.etag)
    fetched(server, "web/vmlinuz")
    assert node.get("/assets/web/vmlinuz") == (200, expected)


def test_source_is_down(lab, away, node):
    web = lab.keep(sources.Web(away, SOURCE))
    web.pages["/vmlinuz"] = sources.Page(KERNEL)
    web.down()
    server = lab.start("assets", web=web.base)
    assert "NL-HOST-001" in server.logs()  # the rest of the lab starts
    line = told(server, r"NL-ASSET-004")
    assert "connection refused" in line
    told(server, r"NL-ASSET-004", times=2)
    assert "could not be fetched" in node.script()
    status, body = node.get("/assets/web/vmlinuz")
    assert status == 503 and b"connection refused" in body
    web.up()
    fetched(server, "web/vmlinuz")
    assert node.get("/assets/web/vmlinuz") == (200, KERNEL)


def test_disk_full(lab, web, node):
    """What does not fit is said and given up; what was there stays; the fetch succeeds when there is room."""
    netns.run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(lab.state))
    try:
        web.pages["/vmlinuz"] = sources.Page(INITRD)
        server = lab.start("assets", web=web.base)
        fetched(server, "web/vmlinuz")
        assert server.stop() == 0
        (lab.state / "filler").write_bytes(bytes(7 << 20))
        web.pages["/vmlinuz"] = sources.Page(KERNEL)
        # The record says when the source was asked last; an older one makes it due.
        record = next(path for path in (lab.state / "assets/.netlab-fetch").glob("*.json"))
        kept = json.loads(record.read_text())
        record.write_text(json.dumps({**kept, "checked": 0}))
        server = lab.start("assets", web=web.base)
        line = told(server, r"NL-ASSET-006")
        assert "6 MiB are needed" in line
        assert node.get("/assets/web/vmlinuz") == (200, INITRD)
        assert not list((lab.state / "assets/.netlab-fetch").glob("*.part"))
        (lab.state / "filler").unlink()
        fetched(server, "web/vmlinuz")
        # The server looks at a file that it has open at most once a second.
        web.wait(lambda: node.get("/assets/web/vmlinuz") == (200, KERNEL), "the new kernel")
        assert server.stop() == 0
    finally:
        netns.run("umount", "-l", str(lab.state))


def test_talos_from_a_factory(lab, away, node):
    """The short form: a schematic is posted, and a node gets kernel, initramfs and the factory's command line."""
    factory = lab.keep(sources.Factory(away, SOURCE))
    cmdline = b"talos.platform=metal console=ttyS0 vga=791 slab_nomerge pti=on\n"
    for name, content in (("kernel-amd64", KERNEL), ("initramfs-amd64.xz", INITRD), ("cmdline-metal-amd64", cmdline)):
        factory.files["v1.11.3", name] = sources.Page(content)
    server = lab.start("assets", factory=factory.base)
    told(server, r"NL-ASSET-003", times=3)
    [document] = factory.schematics.values()
    assert document == {"customization": {
        "extraKernelArgs": ["vga=791"],
        "systemExtensions": {"officialExtensions": ["siderolabs/tailscale", "siderolabs/spin"]}}}
    factory.wait(lambda: "\nkernel " in node.script(), "the boot script")
    script = node.script()
    kernel = re.search(r"^kernel http://[^/]+(/assets/talos/v1\.11\.3/\S+/kernel-amd64) (.*) \|\| goto failed$", script, re.M)
    assert kernel.group(2).startswith("talos.platform=metal console=ttyS0 vga=791 slab_nomerge pti=on "
                                      f"talos.config=http://{bastion.ADDRESS}:8080/config?mac=${{mac}}")
    initrd = re.search(r"^initrd --name \S+ http://[^/]+(/assets/\S+) ", script, re.M)
    assert node.get(kernel.group(1)) == (200, KERNEL)
    assert node.get(initrd.group(1)) == (200, INITRD)
    assert node.get("/config?mac=52-54-00-0a-4d-99")[0] == 200
    # The factory goes away; so does netlab. Nothing is missing.
    factory.down()
    assert server.stop() == 0
    server = lab.start("assets", factory=factory.base)
    assert node.get(kernel.group(1)) == (200, KERNEL)
    node_host = lab.network.host("virtual", mac=bastion.GUEST_MAC)
    walked = node_host.run(lab.binary, "probe", "boot", "--interface", "eth0", timeout=120)
    assert "kernel" in walked


@pytest.mark.needs("docker-registry")
def test_artifact_in_a_registry(lab, away, node):
    """A file by its title and one out of a tar, for the right processor, from Debian's docker-registry."""
    import io
    import tarfile
    registry = lab.keep(sources.Registry(away, lab.folder, SOURCE))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (("usr/install/README", b"x"), ("usr/install/amd64/initramfs.xz", INITRD)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    layers = [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **registry.blob("lab/talos", packed.getvalue())},
        {"mediaType": "application/octet-stream", **registry.blob("lab/talos", KERNEL),
         "annotations": {"org.opencontainers.image.title": "vmlinuz"}},
    ]
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", **registry.blob("lab/talos", b"{}")}
    amd64 = registry.manifest("lab/talos", "amd64", {"config": config, "layers": layers})
    arm64 = registry.manifest("lab/talos", "arm64", {"config": config, "layers": layers[:1]})
    registry.manifest("lab/talos", "v1", {"manifests": [
        {**arm64, "platform": {"os": "linux", "architecture": "arm64"}},
        {**amd64, "platform": {"os": "linux", "architecture": "amd64"}}]}, "application/vnd.oci.image.index.v1+json")
    server = lab.start("assets", registry=f"{registry.endpoint}/lab/talos:v1")
    fetched(server, "oci/", times=2)
    registry.down()
    assert node.get("/assets/oci/vmlinuz") == (200, KERNEL)
    assert node.get("/assets/oci/initramfs.xz") == (200, INITRD)
    assert server.stop() == 0
    server = lab.start("assets", registry=f"{registry.endpoint}/lab/talos:v1")
    assert node.get("/assets/oci/vmlinuz") == (200, KERNEL)
    assert re.search(r"^initrd --name \S+ \S+/assets/oci/initramfs\.xz", node.script(), re.M)
