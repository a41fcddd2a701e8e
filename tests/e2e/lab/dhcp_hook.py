#!/usr/bin/python3
"""The script that udhcpc, dhclient and dhcpcd call: it sets the address where the client leaves that to its
script, and reports what happened as one line of JSON in the named pipe NETLAB_E2E_EVENTS."""

import json
import os
import re
import subprocess
import sys

env = os.environ
interface = env.get("interface", "eth0")


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def prefix(mask):
    return sum(bin(int(byte)).count("1") for byte in mask.split(".")) if mask and "." in mask else (mask or "24")


def set_address(address, mask):
    """Makes this the interface's only address, without a moment of none when it already is."""
    shown = subprocess.run(["ip", "-4", "-o", "addr", "show", "dev", interface], check=False, stdout=subprocess.PIPE, text=True)
    wanted = f"{address}/{prefix(mask)}"
    for present in re.findall(r"inet (\S+)", shown.stdout):
        if present != wanted:
            ip("addr", "del", present, "dev", interface)
    if address and f"inet {wanted} " not in shown.stdout:
        ip("addr", "add", wanted, "broadcast", "+", "dev", interface)


if len(sys.argv) > 1:  # udhcpc passes the event as its argument
    event = {"client": "udhcpc", "event": sys.argv[1].lower(), "address": env.get("ip"), "mask": env.get("mask"),
             "router": env.get("router"), "dns": env.get("dns"), "domain": env.get("domain"),
             "hostname": env.get("hostname"), "server": env.get("serverid"), "lease": env.get("lease")}
    if event["event"] in ("bound", "renew"):
        set_address(event["address"], event["mask"])
    elif event["event"] == "deconfig":
        set_address(None, None)
else:
    is_dhcpcd = "if_configured" in env or "protocol" in env
    event = {"client": "dhcpcd" if is_dhcpcd else "dhclient", "event": env.get("reason", "?").lower()}
    for key, variable in [("address", "ip_address"), ("mask", "subnet_mask"), ("router", "routers"),
                          ("dns", "domain_name_servers"), ("domain", "domain_name"), ("hostname", "host_name"),
                          ("server", "dhcp_server_identifier"), ("lease", "dhcp_lease_time")]:
        event[key] = env.get("new_" + variable)
    if not is_dhcpcd:
        if event["event"] in ("bound", "renew", "rebind", "reboot"):
            set_address(event["address"], event["mask"])
        elif event["event"] in ("preinit", "expire", "fail", "release", "stop"):
            set_address(None, None)

if event["event"] != "preinit":
    pipe = os.open(env["NETLAB_E2E_EVENTS"], os.O_WRONLY | os.O_NONBLOCK)
    os.write(pipe, json.dumps(event).encode() + b"\n")
    os.close(pipe)
