"""A running instance: its recipe read anew, and the screen that shows it at work."""

import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from lab.clients import Udhcpc

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("curl", "dig", "busybox")]


@pytest.fixture
def recipe(lab):
    """A recipe that the test may change, and the netlab that runs it."""
    path = lab.folder / "changing.lua"

    def write(answer, extra=""):
        path.write_text(f"""
local netlab = require "netlab"
local opt = netlab.args {{ {{ name = "state", type = "path" }} }}
netlab.state(opt.state)
local lan = netlab.network {{ interface = "eth0", address = "10.77.0.1/24", domain = "lab.internal" }}
netlab.dhcp.server {{ network = lan, range = "10.77.0.100-10.77.0.109", lease = "1h" }}
netlab.http.server {{
  listen = lan:at(8080),
  serve = {{ netlab.http.route("/", function() return "{answer}" end) }},
  {extra}
}}
""")

    write("one")
    return path, write


@pytest.fixture
def running(lab, recipe):
    return lab.start(recipe[0].with_suffix(""))


def netlab(lab, *words, code=0):
    done = subprocess.run([str(lab.binary), "--no-colour", "--state", str(lab.state), *words], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == code, f"netlab {' '.join(words)}: {done.returncode}\n{done.stdout}"
    return done.stdout


def ask(client):
    return client.run("curl", "-sS", "--max-time", "10", "http://10.77.0.1:8080/")


def test_reload(lab, recipe, running):
    path, write = recipe
    client = lab.network.host("client", "10.77.0.9/24")
    machine = lab.client(Udhcpc, "machine")
    machine.start()
    address = machine.expect("bound")["address"]
    assert ask(client) == "one"

    write("two")
    assert re.search(r"changing\.lua runs anew after [0-9.]+ m?s, with \d+ objects", netlab(lab, "reload"))
    assert ask(client) == "two"
    assert running.process.poll() is None, "the process is another one"
    machine.renew()
    assert machine.expect("renew", "bound")["address"] == address, "the lease is lost"

    # With a mistake in it, what runs goes on.
    write("three", 'lissten = "x",')
    told = netlab(lab, "reload", code=2)
    assert 'changing.lua:10: http.server: unknown option "lissten" (did you mean "listen"?)' in told
    assert "not reloaded: what ran goes on" in told
    assert ask(client) == "two"
    assert [e["id"] for e in running.events() if e.get("id") in ("NL-HOST-007", "NL-HOST-008")] == \
        ["NL-HOST-007", "NL-HOST-008"]

    write("four")
    running.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while True:
        try:
            if ask(client) == "four":
                break
        except RuntimeError:
            pass  # between the two runs nobody listens
        assert time.monotonic() < deadline
    assert running.stop() == 0


def test_reload_without_an_instance(lab):
    assert "no running netlab answers" in netlab(lab, "reload", code=3)
    assert "no running netlab answers" in netlab(lab, "top", code=3)


def test_top_into_a_pipe(lab, running):
    client = lab.network.host("client", "10.77.0.9/24")
    load = subprocess.Popen(client.command("sh", "-c", "while :; do curl -s http://10.77.0.1:8080/ > /dev/null; done"),
                            start_new_session=True)
    try:
        text = netlab(lab, "top", "--interval", "500ms", "--frames", "2")
    finally:
        os.killpg(load.pid, signal.SIGKILL)
        load.wait()
    rates = [float(r) for r in re.findall(r"^ *http +requests +([0-9.]+) ", text, re.M)]
    assert len(rates) == 2 and all(rate > 0 for rate in rates), text
    assert "changing.lua, up " in text and "\x1b" not in text
    assert "--interval takes" in netlab(lab, "top", "--interval", "1ms", code=2)
    assert "--frames takes" in netlab(lab, "top", "--frames", "0", code=2)


def test_top_on_a_terminal(lab, running):
    """It draws a screen, leaves at `q`, and gives the terminal back as it was."""
    ours, theirs = pty.openpty()
    before = subprocess.run(["stty", "-g"], stdin=theirs, stdout=subprocess.PIPE, check=True).stdout
    process = subprocess.Popen([str(lab.binary), "--state", str(lab.state), "top"], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=dict(os.environ, TERM="xterm"))
    seen = b""
    deadline = time.monotonic() + 20
    pressed = False
    while process.poll() is None:
        assert time.monotonic() < deadline, seen
        if select.select([ours], [], [], 0.1)[0]:
            seen += os.read(ours, 65536)
        if b"work" in seen and not pressed:
            os.write(ours, b"q")
            pressed = True
    while select.select([ours], [], [], 0)[0]:
        seen += os.read(ours, 65536)
    assert process.returncode == 0
    assert b"\x1b[?1049h" in seen and b"http" in seen and seen.rstrip().endswith(b"\x1b[?1049l")
    after = subprocess.run(["stty", "-g"], stdin=theirs, stdout=subprocess.PIPE, check=True).stdout
    assert after == before
    os.close(ours)
    os.close(theirs)
