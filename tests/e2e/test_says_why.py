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
