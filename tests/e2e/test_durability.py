"""A lease that was acknowledged outlives the server that gave it, however that ended."""

import pytest

from lab import bastion
from lab.clients import Udhcpc

RANGE = "10.77.0.150-10.77.0.150"


def offers(lab, client):
    return [m for m in lab.wire.messages if m.type == "OFFER" and m.mac == client.host.mac]


@pytest.mark.needs("busybox")
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_lease_survives(lab, end):
    """The only address is taken; after the end of the server nobody but its holder gets it.

    The holder's cable is out meanwhile, so that no probe of the address can save a forgetful server."""
    server = lab.start("dhcp", range=RANGE)
    holder = lab.client(Udhcpc, "holder")
    holder.start()
    lab.wire.expect("ACK", mac=holder.host.mac)
    getattr(server, end)()  # at the moment the acknowledgement is on the wire
    assert holder.expect("bound")["address"] == "10.77.0.150"
    holder.stop()
    holder.host.ip("link", "set", "eth0", "down")

    lab.start("dhcp", range=RANGE)
    other = lab.client(Udhcpc, "other")
    other.start()
    for _ in range(3):
        lab.wire.expect("DISCOVER", mac=other.host.mac)
    assert not offers(lab, other)
    other.stop()

    holder.host.ip("link", "set", "eth0", "up")
    holder.start()
    assert holder.expect("bound")["address"] == "10.77.0.150"


@pytest.mark.needs("busybox")
def test_many_ends(lab):
    """Five times in a row the server dies right after an acknowledgement; every address stays its holder's."""
    span = "10.77.0.150-10.77.0.154"
    holders = {}
    for number in range(5):
        server = lab.start("dhcp", range=span)
        client = lab.client(Udhcpc, f"client-{number}")
        client.start()
        lab.wire.expect("ACK", mac=client.host.mac)
        server.kill()
        holders[client] = client.expect("bound")["address"]
        client.stop()
        client.host.ip("link", "set", "eth0", "down")
    assert sorted(holders.values()) == [f"10.77.0.{last}" for last in range(150, 155)]

    lab.start("dhcp", range=span)
    for client, address in holders.items():
        client.host.ip("link", "set", "eth0", "up")
        client.start()
        assert client.expect("bound")["address"] == address
