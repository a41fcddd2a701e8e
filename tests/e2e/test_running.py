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
    assert re.search(r"changing\.lua runs anew after [0-9.]+ m?s, with \d+ objects", lab.command("reload"))
    assert ask(client) == "two"
    assert running.process.poll() is None, "the process is another one"
    machine.renew()
    assert machine.expect("renew", "bound")["address"] == address, "the lease is lost"

    # With a mistake in it, what runs goes on.
    write("three", 'lissten = "x",')
    told = lab.command("reload", code=2)
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
    assert "no running netlab answers" in lab.command("reload", code=3)
    assert "no running netlab answers" in lab.command("top", code=3)


def test_top_into_a_pipe(lab, running):
    client = lab.network.host("client", "10.77.0.9/24")
    load = subprocess.Popen(client.command("sh", "-c", "while :; do curl -s http://10.77.0.1:8080/ > /dev/null; done"),
                            start_new_session=True)
    try:
        text = lab.command("top", "--interval", "500ms", "--frames", "2")
    finally:
        os.killpg(load.pid, signal.SIGKILL)
        load.wait()
    rates = [float(r) for r in re.findall(r"^ *http +requests +([0-9.]+) ", text, re.M)]
    assert len(rates) == 2 and all(rate > 0 for rate in rates), text
    assert "changing.lua, up " in text and "\x1b" not in text
    assert "--interval takes" in lab.command("top", "--interval", "1ms", code=2)
    assert "--frames: Value 0 not in range" in lab.command("top", "--frames", "0", code=2)


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


def test_console(lab, running):
    def typed(text, code=0):
        return lab.command("console", typed=text, code=code)

    assert typed("1 + 1\n'a' .. 'b', nil\n") == '2\n"ab"\nnil\n'
    # What a line leaves is there for the next, and for the next console; the recipe's own globals stay strict.
    assert typed("x = { 1, two = 2 }\n") == ""
    assert typed("x\n") == "{ 1, two = 2 }\n"
    assert typed("{ { {} }, ['a b'] = true, f = print }\n") == '{ { {} }, ["a b"] = true, f = function }\n'
    assert typed("x.me = x\nx\n").count("two = 2") == 5
    assert "nothing" in typed("return nothing_of_that_name\n", code=1)
    # A statement of several lines, printing, and waiting.
    assert typed("for i = 1, 3 do\nprint(i, 'x')\nend\n") == "1\tx\n2\tx\n3\tx\n"
    assert typed("netlab.sleep('50ms')\nprint('awake')\n").endswith("awake\n")
    # Handles by name, and by kind.
    assert "http.server" in typed("http_8080\n")
    assert "dhcp.server" in typed("objects['dhcp.server']['dhcp-eth0']\n")
    # Mistakes are answers, and nobody else notices.
    assert "wrong" in typed("error('wrong')\n", code=1)
    assert "'<eof>'" not in typed("for i = 1\n", code=1)
    assert "the last statement does not end" in typed("for i = 1, 2 do\n", code=1)
    assert "NL-LUA-003" in typed("while true do end\n", code=1)
    assert lab.command("console", "--eval", "6 * 7") == "42\n"
    assert ask(lab.network.host("client", "10.77.0.9/24")) == "one"


def test_console_line_is_interrupted(lab, running):
    process = subprocess.Popen([str(lab.binary), "--no-colour", "--state", str(lab.state), "console", "--eval",
                                "print('begun') netlab.sleep('1h')"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 1 and "cancelled" in out
