"""The peer: dnsmasq for DHCP and TFTP and a plain HTTP server, set up to do what the netlab recipes do.

The same tests and boots run against it, which tells a fault of the laboratory from one of netlab, and gives
the figure that netlab is compared with."""

import shutil
import subprocess

from . import process
from .output import Output

_IPXE = "/usr/lib/ipxe/snponly.efi"


class Dnsmasq:
    """dnsmasq and an HTTP server in a host's namespace.  stop() ends both."""

    name = "dnsmasq"

    def __init__(self, host, folder, scenario):
        """`scenario`: a dict with `address`, `range`, `lease` seconds, `nodes`, `files` (name to path, served by
        TFTP and HTTP) and `boot`, one of None, "kernel", "uki", "proxy": the last gives no addresses."""
        self._folder = folder
        root = folder / "peer-root"
        root.mkdir(exist_ok=True)
        for name, path in scenario.get("files", {}).items():
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copyfile(path, target)
        address = scenario["address"]
        base = f"http://{address}:8080"
        first, last = scenario["range"].split("-")
        seconds = scenario.get("lease", 3600)
        lines = [
            "port=0", "no-daemon", "interface=eth0", "bind-interfaces", "log-dhcp", "no-ping", "dhcp-authoritative",
            f"dhcp-leasefile={folder}/dnsmasq.leases", "user=root", "no-resolv", "no-hosts",
            "enable-tftp", f"tftp-root={root}",
        ]
        if scenario.get("boot") == "proxy":
            lines.append(f"dhcp-range={address},proxy,255.255.255.0")
        else:
            lines += [f"dhcp-range={first},{last},255.255.255.0,{max(seconds, 120)}", "domain=lab.internal",
                      f"dhcp-option=option:router,{address}", f"dhcp-option=option:dns-server,{address}"]
        if seconds < 120:  # the least dnsmasq grants; the moments that matter to a client can still be early
            lines += [f"dhcp-option-force=58,{seconds // 2}", f"dhcp-option-force=59,{seconds * 7 // 8}"]
        for node in scenario.get("nodes", []):
            lines.append(f"dhcp-host={node['mac']},{node['ip']},{node['name']}")
        lines += self._boot(scenario.get("boot"), base, root)
        config = folder / "dnsmasq.conf"
        config.write_text("\n".join(lines) + "\n")
        self._http = host.popen("/usr/bin/python3", "-u", "-m", "http.server", "--protocol", "HTTP/1.1", "-d", root, "8080",
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.http_log = Output(self._http.stdout, folder / "peer-http.log")
        self.process = host.popen("dnsmasq", f"--conf-file={config}", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.log = Output(self.process.stdout, folder / "dnsmasq.log")
        self.log.expect(r"TFTP root is|DHCP, (IP range|proxy)", 10)
        self.http_log.expect("Serving HTTP", 10)

    @staticmethod
    def _boot(kind, base, root):
        if kind in ("kernel", "proxy"):
            shutil.copyfile(_IPXE, root / "snponly.efi")
            (root / "boot.ipxe").write_text(
                f"#!ipxe\nkernel {base}/vmlinuz initrd=initrd.gz console=ttyS0 panic=1 "
                f"talos.config={base}/config?mac=${{mac:hexhyp}}\ninitrd {base}/initrd.gz\nboot\n")
            lines = ["dhcp-userclass=set:ipxe,iPXE", f"dhcp-boot=tag:ipxe,{base}/boot.ipxe"]
            if kind == "kernel":
                return lines + ["dhcp-boot=tag:!ipxe,snponly.efi"]
            return lines + ["pxe-service=tag:!ipxe,x86-64_EFI,guest,snponly.efi", "pxe-service=ARM64_EFI,guest,linux.efi"]
        if kind == "uki":
            return ["dhcp-match=set:http,option:client-arch,19", "dhcp-match=set:http,option:client-arch,16",
                    "dhcp-boot=tag:!http,linux.efi", f"dhcp-boot=tag:http,{base}/linux.efi",
                    "dhcp-option-force=tag:http,60,HTTPClient"]
        return []

    def stop(self):
        process.stop(self.process)
        process.stop(self._http)
        self.log.close()
        self.http_log.close()
        return 0

    def kill(self):
        """Ends it as a power cut would."""
        process.kill_group(self.process)
        self.process.wait(10)
        process.stop(self._http)

    def logs(self):
        return self.log.text() + "\n" + self.http_log.text()

