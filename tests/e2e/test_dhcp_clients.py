"""DHCP clients of three projects take, renew, rebind and release a lease, and learn that they have moved."""

import pytest

from lab import bastion
from lab.clients import Dhclient, Dhcpcd, Udhcpc, perfdhcp

SERVER = bastion.ADDRESS
BROADCAST = "255.255.255.255"
COMMANDS = {"udhcpc": "busybox", "dhclient": "dhclient", "dhcpcd": "dhcpcd"}


def in_range(address):
    return address.startswith("10.77.0.") and 100 <= int(address.rsplit(".", 1)[1]) <= 199


def check_lease(event):
    assert in_range(event["address"]), event
    assert event["mask"] in ("24", "255.255.255.0")
    assert event["router"] == SERVER
    assert event["dns"] == SERVER
    assert event["domain"] == "lab.internal"
    assert event["server"] == SERVER


def obtain(lab, client):
    """The four messages of a new lease (RFC 2131 section 3.1), and the client's own view of it."""
    client.start()
    event = client.expect("bound", "reboot")
    check_lease(event)
    lab.wire.expect("DISCOVER", mac=client.host.mac)
    offer = lab.wire.expect("OFFER", mac=client.host.mac)
    request = lab.wire.expect("REQUEST", mac=client.host.mac)
    ack = lab.wire.expect("ACK", mac=client.host.mac)
    assert offer.yiaddr == ack.yiaddr == event["address"]
    assert request.ciaddr == "0.0.0.0"
    assert event["address"] in client.host.addresses()
    return event["address"]


def renewal(lab, client, address, timeout):
    """RFC 2131 section 4.3.6: unicast, the address in ciaddr, neither server identifier nor requested address."""
    request = lab.wire.expect("REQUEST", timeout, mac=client.host.mac)
    assert (request.destination, request.source, request.ciaddr) == (SERVER, address, address)
    assert 54 not in request.options and 50 not in request.options
    ack = lab.wire.expect("ACK", 5, mac=client.host.mac)
    assert (ack.yiaddr, ack.destination) == (address, address)


def rebinding(lab, client, address, timeout):
    """RFC 2131 section 4.3.6: as a renewal, but to everyone, because the server that gave it does not answer."""
    request = lab.wire.expect("REQUEST", timeout, mac=client.host.mac, destination=BROADCAST)
    assert request.ciaddr == address
    assert 54 not in request.options and 50 not in request.options
    ack = lab.wire.expect("ACK", 5, mac=client.host.mac)
    assert ack.yiaddr == address


def released(lab, client, address):
    """RFC 2131 section 4.4.6: unicast to the server that gave the lease."""
    message = lab.wire.expect("RELEASE", 10, mac=client.host.mac)
    assert (message.ciaddr, message.destination) == (address, SERVER)
    assert message.options[54] == bytes(int(part) for part in SERVER.split("."))


@pytest.mark.needs("busybox")
def test_udhcpc(lab):
    """udhcpc decides by its own clock for leases of two minutes and more, so signals stand for the passing of time."""
    lab.start("dhcp", lease="10m")
    client = lab.client(Udhcpc, "udhcpc")
    address = obtain(lab, client)

    client.renew()
    renewal(lab, client, address, 5)
    assert client.expect("renew")["address"] == address

    client.release()
    released(lab, client, address)
    client.expect("deconfig")
    client.stop()

    client.start(patience=4)
    assert client.expect("bound")["address"] == address, "a client that comes back gets its address again"
    client.host.lose_unicast_to(SERVER)
    lab.wire.expect("ACK", mac=client.host.mac)
    client.renew()
    rebinding(lab, client, address, 15)
    assert client.expect("renew")["address"] == address


@pytest.mark.parametrize("kind", [Dhclient, Dhcpcd], ids=lambda kind: kind.kind)
def test_lifecycle(lab, kind):
    """A lease of ten seconds is renewed after five by unicast, and rebound by broadcast when that is lost."""
    lab.start("dhcp", lease="10s")
    client = lab.client(kind, kind.kind)
    address = obtain(lab, client)

    renewal(lab, client, address, 8)
    assert client.expect("renew")["address"] == address

    client.host.lose_unicast_to(SERVER)
    rebinding(lab, client, address, 15)
    assert client.expect("rebind", "renew")["address"] == address

    client.host.regain_unicast_to(SERVER)
    client.release()
    released(lab, client, address)


@pytest.mark.needs("busybox")
def test_released_address_is_free(lab):
    """In a range of one address the second client gets it when the first has given it back, and not before."""
    lab.start("dhcp", range="10.77.0.150-10.77.0.150")
    first = lab.client(Udhcpc, "first")
    assert obtain(lab, first) == "10.77.0.150"
    second = lab.client(Udhcpc, "second")
    second.start()
    lab.wire.expect("DISCOVER", mac=second.host.mac)
    lab.wire.expect("DISCOVER", mac=second.host.mac)
    assert not any(m.type == "OFFER" and m.mac == second.host.mac for m in lab.wire.messages)

    first.release()
    released(lab, first, "10.77.0.150")
    assert second.expect("bound", timeout=40)["address"] == "10.77.0.150"


@pytest.mark.needs("dhclient")
def test_moved_client_is_refused(lab):
    """A client that boots with a lease of another network hears a NAK at once and takes a new address
    (RFC 2131 section 3.2, point 3)."""
    lab.start("dhcp")
    client = lab.client(Dhclient, "moved")
    client.remember("192.168.55.7", "192.168.55.1")
    client.start()

    request = lab.wire.expect("REQUEST", mac=client.host.mac)
    assert request.ciaddr == "0.0.0.0" and request.options[50] == bytes([192, 168, 55, 7])
    assert 54 not in request.options
    refusal = lab.wire.expect("NAK", 5, mac=client.host.mac)
    assert refusal.destination == BROADCAST and refusal.yiaddr == "0.0.0.0"

    assert in_range(client.expect("bound")["address"])


@pytest.mark.needs("dhcpcd")
def test_returning_client_keeps_its_address(lab):
    """A client that restarts asks for what it had (INIT-REBOOT) and gets it with one exchange."""
    lab.start("dhcp")
    client = lab.client(Dhcpcd, "returning")
    address = obtain(lab, client)
    client.stop()
    seen = len(lab.wire.messages)
    client.start()
    request = lab.wire.expect("REQUEST", mac=client.host.mac)
    assert request.ciaddr == "0.0.0.0" and 54 not in request.options
    assert lab.wire.expect("ACK", 5, mac=client.host.mac).yiaddr == address
    assert client.expect("reboot", "bound")["address"] == address
    assert not any(m.type == "DISCOVER" for m in lab.wire.messages[seen:])


@pytest.mark.needs("busybox")
def test_reservation(lab):
    """A node of the recipe gets its own address, outside the range, and its name."""
    lab.start("dhcp", nodes=bastion.NODES[:1])
    host = lab.network.host("reserved", mac=bastion.NODES[0]["mac"])
    client = lab.client_on(Udhcpc, host, "reserved")
    client.start()
    event = client.expect("bound")
    assert event["address"] == bastion.NODES[0]["ip"]
    assert event["hostname"] == bastion.NODES[0]["name"]


@pytest.mark.needs("perfdhcp")
def test_burst(lab):
    """Two hundred machines switched on within a second all get an answer."""
    lab.start("dhcp", range="10.77.0.20-10.77.0.250")
    host = lab.network.host("burst", "10.77.0.2/24")
    counts = perfdhcp(host, SERVER, rate=200, exchanges=200)
    for name in ("discover_offer", "request_ack"):
        assert counts[name]["sent"] == counts[name]["received"], counts
    assert counts["request_ack"]["received"] == 200
