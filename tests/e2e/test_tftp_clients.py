"""TFTP clients of four projects fetch files whole, whatever options they ask for, and nothing that they must not."""

import hashlib
import random
import subprocess

import pytest

from lab import bastion

SERVER = bastion.ADDRESS
NOT_FOUND, REFUSED = 68, 69  # curl's exit codes for TFTP errors 1 and 2

SIZES = {
    "empty": 0,
    "one": 1,
    "whole-blocks": 512 * 300,  # the transfer ends with an empty block
    "odd": 1_234_567,
}


@pytest.fixture
def served(lab):
    """A folder of files with its hashes, and a secret beside it."""
    root = lab.folder / "served"
    root.mkdir()
    source = random.Random(7)
    for name, size in SIZES.items():
        (root / name).write_bytes(source.randbytes(size))
    (root / "sub").mkdir()
    (root / "sub/inner").write_bytes(b"inside a folder")
    (lab.folder / "secret").write_bytes(b"outside")
    lab.asset(root / "odd", "vmlinuz")
    lab.asset(root / "one", "initrd.gz")
    lab.start("files", files={path.relative_to(root): path for path in root.rglob("*") if path.is_file()}, root=root)
    return root


@pytest.fixture
def machine_on_lan(lab):
    return lab.network.host("client", "10.77.0.9/24")


def curl(options=(), url=None):
    return lambda name, target, port: ["curl", "-sS", *options, "-o", target, f"tftp://{SERVER}:{port}/{name}"]


CLIENTS = {
    "curl": curl(),
    "curl-blksize-1468": curl(["--tftp-blksize", "1468"]),
    "curl-without-options": curl(["--tftp-no-options"]),
    "tftp-hpa": lambda name, target, port: ["tftp", "-m", "binary", SERVER, str(port), "-c", "get", name, target],
    "atftp-windowsize-16": lambda name, target, port: [
        "atftp", "--option", "blksize 1428", "--option", "windowsize 16", "--get", "-r", name, "-l", target, SERVER, str(port)],
    "busybox-blksize-1428": lambda name, target, port: [
        "busybox", "tftp", "-b", "1428", "-g", "-r", name, "-l", target, SERVER, str(port)],
}


def fetch(host, client, name, target, port=69, timeout=60):
    """The bytes that the client wrote."""
    target.unlink(missing_ok=True)
    done = subprocess.run(host.command(*map(str, CLIENTS[client](name, target, port))), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout)
    assert done.returncode == 0, f"{client}: {done.stdout}"
    return target.read_bytes() if target.exists() else b""


@pytest.mark.needs("curl", "tftp", "atftp", "busybox")
@pytest.mark.parametrize("client", CLIENTS)
def test_files_arrive_whole(lab, served, machine_on_lan, client):
    for name in [*SIZES, "sub/inner"]:
        if name == "empty" and client in ("curl", "curl-blksize-1468"):
            continue  # curl calls a tsize of 0 illegal, and asks for tsize whenever it asks for anything
        body = fetch(machine_on_lan, client, name, lab.folder / "received")
        expected = (served / name).read_bytes()
        assert len(body) == len(expected), name
        assert hashlib.sha256(body).digest() == hashlib.sha256(expected).digest(), name


@pytest.mark.needs("tftp")
def test_block_numbers_wrap(lab, served, machine_on_lan):
    """More than 65,535 blocks: the number goes on at 0, as every client of large files expects."""
    big = served / "big"
    size = 512 * 66_000 + 100
    with open(big, "wb") as file:
        for number in range(size // 100_000 + 1):
            file.write(number.to_bytes(4, "big") * 25_000)
        file.truncate(size)
    if lab.server == "dnsmasq":
        bastion.place(big, lab.folder / "peer-root/big")
    body = fetch(machine_on_lan, "tftp-hpa", "big", lab.folder / "received")
    assert hashlib.sha256(body).digest() == hashlib.sha256(big.read_bytes()).digest()


@pytest.mark.needs("curl")
@pytest.mark.parametrize("name, codes", [
    ("missing", [NOT_FOUND]),
    ("sub/missing", [NOT_FOUND]),
    ("../secret", [NOT_FOUND, REFUSED]),
    ("sub/../../secret", [NOT_FOUND, REFUSED]),
    ("/../secret", [NOT_FOUND, REFUSED]),
    ("..%5Csecret", [NOT_FOUND, REFUSED]),
    pytest.param("sub", [NOT_FOUND, REFUSED], marks=pytest.mark.netlab_only),
])
def test_refusals(lab, served, machine_on_lan, name, codes):
    """What is not there, and what lies outside the folder, ends at once with an error packet."""
    target = lab.folder / "received"
    done = subprocess.run(machine_on_lan.command("curl", "-sS", "-m", "20", "--path-as-is", "-o", target,
                                                 f"tftp://{SERVER}/{name}"), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=30)
    assert done.returncode in codes, f"curl ended with {done.returncode}: {done.stdout}"
    assert not target.exists() or b"outside" not in target.read_bytes()


@pytest.mark.needs("curl")
def test_upload_is_refused(lab, served, machine_on_lan):
    """The server is there to be read from."""
    done = subprocess.run(machine_on_lan.command("curl", "-sS", "-m", "20", "-T", served / "one", f"tftp://{SERVER}/uploaded"),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    assert done.returncode != 0
    assert not (served / "uploaded").exists()


@pytest.mark.netlab_only
@pytest.mark.needs("curl", "tftp", "atftp", "busybox")
@pytest.mark.parametrize("client", CLIENTS)
def test_generated_file(lab, served, machine_on_lan, client):
    """A file that is made when asked for is the same over TFTP as over HTTP, whoever asks."""
    by_http = machine_on_lan.run("curl", "-sSf", f"http://{SERVER}:8080/boot.ipxe")
    assert by_http.startswith("#!ipxe\n")
    assert fetch(machine_on_lan, client, "boot.ipxe", lab.folder / "received", port=6969).decode() == by_http


@pytest.mark.netlab_only
@pytest.mark.needs("atftp")
def test_asset_over_tftp(lab, served, machine_on_lan):
    """The boot service's assets are under the same path as over HTTP."""
    body = fetch(machine_on_lan, "atftp-windowsize-16", "assets/vmlinuz", lab.folder / "received", port=6969)
    assert body == (served / "odd").read_bytes()
