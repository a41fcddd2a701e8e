"""The other DHCP server: what a home router does, which knows nothing of network boot."""

import subprocess

from . import process
from .output import Output

ADDRESS = "10.77.0.254"


class Router:
    """dnsmasq on a host of its own: addresses, a gateway, and no boot options.  close() ends it.

    `delay`: seconds that it lets a DISCOVER wait, so that every other server answers first."""

    def __init__(self, network, folder, delay=0, extra=()):
        self.host = network.host("router", f"{ADDRESS}/24", mac="02:00:0a:4d:00:fe")
        lines = [
            "port=0", "no-daemon", "interface=eth0", "bind-interfaces", "log-dhcp", "no-ping", "dhcp-authoritative",
            f"dhcp-leasefile={folder}/router.leases", "user=root", "no-resolv", "no-hosts",
            "dhcp-range=10.77.0.200,10.77.0.249,255.255.255.0,3600", f"dhcp-option=option:router,{ADDRESS}",
            "domain=home.arpa", *extra,
        ]
        if delay:
            lines.append(f"dhcp-reply-delay={delay}")
        config = folder / "router.conf"
        config.write_text("\n".join(lines) + "\n")
        self._process = self.host.popen("dnsmasq", f"--conf-file={config}", stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.log = Output(self._process.stdout, folder / "router.log")
        self.log.expect("DHCP, IP range", 10)

    def close(self):
        process.stop(self._process)
        self.log.close()
