"""A matchbox folder, asked by curl as matchbox is asked, and booted from by machines that know nothing of it."""

import hashlib
import json
import re
import subprocess

import pytest

from lab import bastion
from lab.boots import Boot

BASE = f"http://{bastion.ADDRESS}:8080"
MAC = bastion.GUEST_MAC
pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("curl")]


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def make_folder(lab):
    """A folder for one machine by its MAC address, and a default for the others."""
    root = lab.folder / "matchbox"
    write(root, "groups/default.json", {"id": "default", "profile": "discover"})
    write(root, "groups/node1.json", {"id": "node1", "name": "node1", "profile": "worker", "selector": {"mac": MAC.upper()},
                                      "metadata": {"hostname": "node1", "etcd": {"peers": ["10.77.0.2", "10.77.0.3"]}}})
    write(root, "profiles/discover.json", {"id": "discover", "boot": {"kernel": "/assets/vmlinuz", "args": ["discover"]}})
    write(root, "profiles/worker.json", {
        "id": "worker", "generic_id": "machine.yaml", "cloud_id": "user-data", "ignition_id": "worker.ign",
        "boot": {"kernel": "/assets/vmlinuz", "initrd": ["/assets/initrd.gz"],
                 "args": ["initrd=initrd.gz", "console=ttyS0", "panic=1",
                          f"talos.config={BASE}/generic?mac=${{mac:hexhyp}}"]}})
    write(root, "generic/machine.yaml", "# {{.mac}}\nhostname: {{.hostname}}\npeers:\n{{- range .etcd.peers}}\n  - {{.}}\n{{- end}}\n")
    write(root, "cloud/user-data", "#cloud-config\nhostname: {{.hostname}}\n")
    write(root, "ignition/worker.ign", '{"ignition":{"version":"3.4.0"}}')
    write(root, "assets/initrd.gz", "initrd " * 1000)
    write(root, "assets/vmlinuz", "kernel " * 1000)
    return root


@pytest.fixture
def folder(lab):
    return make_folder(lab)


def folder_with_guest(lab):
    root = make_folder(lab)
    for name in ("vmlinuz", "initrd.gz"):
        bastion.place(bastion.fixtures("amd64") / "amd64" / name, root / "assets" / name)
    return {"folder": root}


BOOTS = {"test_firmware": Boot("amd64", "matchbox", prepare=folder_with_guest)}


@pytest.fixture
def curl(lab):
    host = lab.network.host("client", "10.77.0.9/24")

    def request(path, *options):
        done = subprocess.run(host.command("curl", "-sS", "-m", "20", "-w", "\n%{http_code} %{content_type}", *options, BASE + path),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, text=True)
        assert done.returncode == 0, done.stderr
        body, _, last = done.stdout.rpartition("\n")
        status, _, kind = last.partition(" ")
        return int(status), body, kind
    return request


def test_curl(lab, folder, curl):
    """What matchbox's documentation says of each address."""
    server = lab.start("matchbox", folder=folder)
    text = "text/plain; charset=utf-8"
    assert curl("/") == (200, "matchbox\n", text)
    status, body, _ = curl("/boot.ipxe")
    assert status == 200 and body.startswith("#!ipxe\nchain ipxe?uuid=${uuid}&mac=${mac:hexhyp}&")
    assert curl("/ipxe") == (200, "#!ipxe\nkernel /assets/vmlinuz discover\nboot\n", text)
    status, body, _ = curl("/ipxe?mac=52-54-00-0a-4d-77&uuid=x")
    assert body == ("#!ipxe\nkernel /assets/vmlinuz initrd=initrd.gz console=ttyS0 panic=1 "
                    f"talos.config={BASE}/generic?mac=${{mac:hexhyp}}\ninitrd /assets/initrd.gz\nboot\n")
    status, body, _ = curl("/grub?mac=52-54-00-0a-4d-77")
    assert status == 200 and 'initrdefi  "/assets/initrd.gz"\n' in body
    assert curl(f"/generic?mac={MAC}") == (200, f"# {MAC}\nhostname: node1\npeers:\n  - 10.77.0.2\n  - 10.77.0.3\n", text)
    assert curl(f"/cloud?mac={MAC}") == (200, "#cloud-config\nhostname: node1\n", text)
    assert curl(f"/ignition?mac={MAC}") == (200, '{"ignition":{"version":"3.4.0"}}', "application/json")
    assert curl(f"/metadata?mac={MAC}&a=b") == (
        200, f"HOSTNAME=node1\nMAC={MAC}\nREQUEST_QUERY_A=b\nREQUEST_QUERY_MAC={MAC}\nREQUEST_RAW_QUERY=mac={MAC}&a=b\n", "plain/text")
    assert curl("/assets/vmlinuz", "-r", "7-12")[:2] == (206, "kernel")
    assert curl("/generic")[0] == 404  # the default group's profile has none
    assert curl("/nowhere")[0] == 404
    status, body, _ = curl("/assets/")
    assert status == 200 and '<a href="/assets/vmlinuz">vmlinuz</a>' in body
    server.log.expect("NL-BOOT-043", 5)


def test_broken_files(lab, folder, curl):
    """A group that is cut off is named, and everybody else boots; a template's error has its line in the log."""
    server = lab.start("matchbox", folder=folder)
    write(folder, "groups/cut.json", '{"profile": "worker", "selector": {"mac": "52:54')
    write(folder, "generic/machine.yaml", "hostname: {{.hostname}}\n\nrole: {{.role}}\n")
    assert curl("/ipxe?mac=52-54-00-0a-4d-77")[0] == 200
    status, body, _ = curl(f"/generic?mac={MAC}")
    assert status == 404 and "role" not in body
    server.log.expect(r"groups/cut\.json: ", 5)
    server.log.expect(r"generic/machine\.yaml:3: no value for \.role", 5)
    # Repaired while it runs.
    write(folder, "generic/machine.yaml", "hostname: {{.hostname}}\n")
    assert curl(f"/generic?mac={MAC}")[:2] == (200, "hostname: node1\n")


@pytest.mark.parametrize("arch", ["x64", "bios", "x64-http"])
def test_probe_boot(lab, folder, arch, request):
    """The virtual machine walks from DHCP to its configuration, whatever firmware it pretends to have."""
    lab.start("matchbox", folder=folder)
    host = lab.network.host("virtual", None, mac=MAC)
    done = host.run(request.config.getoption("--netlab"), "probe", "boot", "--arch", arch, "--interface", "eth0", timeout=60)
    print(done)
    assert re.search(r"kernel .*/assets/vmlinuz, 6\.8 KiB", done)
    assert re.search(r"initrd .*/assets/initrd\.gz", done)
    assert re.search(r"config .*/generic\?mac=", done)
    assert "the machine has kernel, initrd and config" in done


@pytest.mark.needs("qemu-system-x86_64")
def test_firmware(boot):
    """OVMF and Debian's iPXE boot what the folder says, down to the rendered configuration."""
    body = f"# {MAC}\nhostname: node1\npeers:\n  - 10.77.0.2\n  - 10.77.0.3\n".encode()
    assert boot.result["config_sha256"] == hashlib.sha256(body).hexdigest()
    assert "mac=52-54-00-0a-4d-77" in boot.result["config_url"]
