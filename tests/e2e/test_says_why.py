"""A refusal on the wire leaves a line in the log that says which machine was refused and why."""

import re

import pytest

from lab import bastion
from lab.clients import Dhclient, Udhcpc

pytestmark = pytest.mark.netlab_only


def told(server, room, *words, timeout=15):
    """The log's next line with a message of that room that holds every word."""
    pattern = rf'^(?=.*"NL-{room}-\d+")' + "".join(f"(?=.*{re.escape(word)})" for word in words)
    return server.log.expect(pattern, timeout)


@pytest.mark.needs("busybox")
def test_range_is_full(lab):
    """The machine that gets no address is named, and so is the range that has none left."""
    server = lab.start("dhcp", range="10.77.0.150-10.77.0.150")
    first = lab.client(Udhcpc, "first")
    first.start()
    first.expect("bound")
    second = lab.client(Udhcpc, "second")
    second.start()
    told(server, "DHCP", second.host.mac, "10.77.0.150")


@pytest.mark.needs("dhclient")
def test_moved_client(lab):
    """A NAK is told with the address that the client asked for."""
    server = lab.start("dhcp")
    client = lab.client(Dhclient, "moved")
    client.remember("192.168.55.7", "192.168.55.1")
    client.start()
    told(server, "DHCP", client.host.mac, "192.168.55.7")


@pytest.mark.needs("busybox")
def test_no_profile_for_the_architecture(lab):
    """Firmware that no profile has files for gets a lease and no boot file, and the log says that it does not fit."""
    server = lab.start("kernel")
    client = lab.client(Udhcpc, "old-firmware", architecture=6)
    client.start()
    client.expect("bound")
    ack = lab.wire.expect("ACK", mac=client.host.mac)
    assert 67 not in ack.options
    told(server, "(DHCP|BOOT)", '"level":"warn"', client.host.mac)
    steps = lab.story(client.host.mac)
    assert [step["stage"] for step in steps] == ["discover", "refused", "offer", "ack"]
    assert steps[1]["id"].startswith("NL-BOOT-"), "the boot service's own reason, not DHCP's general one"


@pytest.mark.needs("curl")
def test_address_that_comes_late(lab):
    """Servers whose address is not there yet say so, are counted as waiting, and answer once it is there."""
    root = lab.folder / "served"
    root.mkdir()
    (root / "file").write_text("there")
    server = lab.start("late", root=root)
    ready = next(event for event in server.events() if event.get("id") == "NL-HOST-001")
    assert ready["waiting"] == "2", ready
    waiting = [event["service"] for event in server.events() if event.get("id") == "NL-HOST-006"]
    assert sorted(waiting) == ["files-http", "files-tftp"]
    lab.host.run("ip", "address", "add", "10.77.0.2/24", "dev", "eth0")
    for name in ("files-http", "files-tftp"):
        server.log.expect(rf"{name}: listens on 10\.77\.0\.2", 15)
    for url in ("http://10.77.0.2:8080/file", "tftp://10.77.0.2/file"):
        assert lab.host.run("curl", "-sS", "--max-time", "10", url) == "there"


@pytest.mark.needs("busybox")
def test_address_in_use(lab):
    """A machine that uses an address of the range without a lease is found before anybody is offered the address: by
    its answer to the probe, or because it announces itself after that."""
    lab.network.host("squatter", "10.77.0.100/24")
    late = lab.network.host("late")
    server = lab.start("dhcp", range="10.77.0.100-10.77.0.109")
    told(server, "DHCP", "10.77.0.100", "without a lease")
    late.add_address("10.77.0.101/24")
    late.run("busybox", "arping", "-U", "-c", "1", "-I", "eth0", "10.77.0.101")
    told(server, "DHCP", "10.77.0.101", late.mac, "without a lease")
    client = lab.client(Udhcpc, "client")
    client.start()
    assert client.expect("bound")["address"] == "10.77.0.102"
