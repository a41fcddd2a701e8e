"""The evening of the move: what dnsmasq, matchbox, Pi-hole and a registry:2 did is done by examples/home.lua, from what they
kept, with the outside unreachable."""

import pathlib
import shutil
import subprocess

import pytest

from lab import clients, images, sources
from lab.dnsmasq import Dnsmasq
from lab.netlab import Netlab
from lab.pihole import make_folder
from lab.registry_node import Node

HOUSE = "10.17.13.140"
RECIPE = pathlib.Path(__file__).parents[2] / "examples/home.lua"
pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("busybox", "curl", "dig", "dnsmasq", "docker-registry", "skopeo")]


def matchbox_folder(folder):
    for path, text in {
            "groups/default.json": '{"id": "default", "profile": "talos"}',
            "profiles/talos.json": '{"id": "talos", "boot": {"kernel": "/assets/talos/vmlinuz", "args": ["talos.platform=metal"]}}',
            "assets/talos/vmlinuz": "kernel"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_evening_of_the_move(lab):
    house = lab.network.host("house", f"{HOUSE}/24")

    # Before: dnsmasq gives an address, a registry:2 has cached an image, matchbox and Pi-hole have their folders.
    peer = lab.keep(Dnsmasq(house, lab.folder, {"address": HOUSE, "range": "10.17.13.150-10.17.13.160"}))
    machine = lab.client(clients.Udhcpc, "machine", hostname="printer")
    machine.start()
    address = machine.expect("bound")["address"]
    machine.stop()
    peer.stop()
    away = lab.network.host("old", "10.17.13.200/24")
    registry = lab.keep(sources.Registry(away, lab.folder, "10.17.13.200"))
    image = images.Image(registry, "library/debian", "12", [200_000, 300_000])
    registry.close()
    old = lab.folder / "old"
    shutil.copytree(lab.folder / "registry/data", old / "registries/docker.io")
    matchbox = matchbox_folder(old / "matchbox")
    pihole = make_folder(old / "pihole", """
        INSERT INTO domainlist VALUES (1, 1, 'ads.example.org', 1);
        INSERT INTO domainlist_by_group VALUES (1, 0);
    """, "10.17.13.210 nas.home.internal\n")
    kept = contents(old)

    # A typing error is told before anything is bound.
    options = {"dnsmasq-leases": lab.folder / "dnsmasq.leases", "matchbox": matchbox, "pihole": pihole, "registries": old / "registry"}
    words = [f"--{name}={value}" for name, value in options.items()]
    check = subprocess.run(house.command(str(lab.binary), "check", str(RECIPE), f"--state={lab.state}", *words),
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    assert check.returncode == 0 and "docker.io: " in check.stdout and "nothing is imported" in check.stdout, check.stdout
    options["registries"] = old / "registries"

    server = lab.keep(Netlab(house, lab.folder, lab.binary, RECIPE, {"state": lab.state, **options}))

    # The machine asks as a new one would, and is the one it was.
    again = lab.client_on(clients.Udhcpc, machine.host, "again", hostname="printer")
    again.start()
    lease = again.expect("bound")
    assert (lease["address"], lease["dns"], lease["domain"]) == (address, HOUSE, "home.internal")

    def answer(name):
        return machine.host.run("dig", "+short", "+tries=2", f"@{HOUSE}", name).strip()
    assert answer("printer.home.internal") == address
    assert answer("cm3-1.home.internal") == "10.17.13.21"
    assert answer("nas.home.internal") == "10.17.13.210"
    assert answer("ads.example.org") == "0.0.0.0"

    def get(path):
        return machine.host.run("curl", "-sSf", "-m", "20", f"http://{HOUSE}:8080{path}")
    assert get("/boot.ipxe").startswith("#!ipxe\nchain ipxe?")
    assert "kernel /assets/talos/vmlinuz talos.platform=metal" in get("/ipxe?mac=52-54-00-00-00-01")
    assert get("/assets/talos/vmlinuz") == "kernel"

    node = Node(lab, address="10.17.13.9")
    images.check_folder(node.pull(f"{HOUSE}:5050/library/debian:12"), image)

    # And back: what the containers kept is as it was.
    assert server.stop() == 0
    assert contents(old) == kept
