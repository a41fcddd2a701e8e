"""Two network namespaces and one veth pair: the server's machine and the client's.

No switch in between: its work would be counted to whoever sends."""

import os

from lab import netns

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"


class Cable:
    """Owns both namespaces; close() ends what runs in them and removes them."""

    _count = 0

    def __init__(self):
        Cable._count += 1
        stem = f"{netns.PREFIX}{os.getpid()}-bench{Cable._count}"
        self.server = netns.Namespace(f"{stem}-server")
        self.client = netns.Namespace(f"{stem}-client")
        self.server.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.client.name)
        for host, address in ((self.server, SERVER), (self.client, CLIENT)):
            host.ip("addr", "add", f"{address}/8", "dev", "eth0")
            host.ip("link", "set", "eth0", "up")

    def close(self):
        for host in (self.client, self.server):
            netns.delete(host.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
