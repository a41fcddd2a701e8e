"""Runs the benchmarks of the rooms named (all without a name) in network namespaces of their own: netlab, its peers
and a bare reflector in turn.  Prints a table for each, and leaves every figure in build/bench/<room>.json.  Needs root.

Exit code: 0, 1 when no goal of a row holds or a server failed, 2 for wrong options.  A short run (--quick) measures
nothing that could be relied on: it fails only when netlab did not work, and tells what did not work of its peers."""

import argparse
import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import platform
import signal
import sys
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(HERE), str(REPOSITORY / "tests/e2e")]

from kit import usage  # noqa: E402  the path above comes first
from kit.cable import Cable  # noqa: E402
from kit.rows import print_table  # noqa: E402
from lab import netns  # noqa: E402

ROOMS = ("dhcp", "dns", "tftp", "http", "registry", "startup", "herd")


@dataclasses.dataclass
class Setting:
    netlab: pathlib.Path | None  # None: only the peers
    tools: pathlib.Path          # folder of netlab-floor and the load clients
    folder: pathlib.Path         # logs, leases and figures
    data: pathlib.Path           # the files that TFTP and HTTP serve
    rounds: int
    quick: bool


def make_data(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in (("1k", 1 << 10), ("4m", 4 << 20), ("64m", 64 << 20)):
        path = folder / name
        if not path.exists() or path.stat().st_size != size:
            path.write_bytes(os.urandom(size))
        path.read_bytes()  # into the page cache: no row is about the disk that it lies on


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=", ".join(ROOMS))
    parser.add_argument("--rounds", type=int, default=3, help="turns of each server (default: 3)")
    parser.add_argument("--quick", "--smoke", action="store_true", help="each row once, as short as it goes")
    parser.add_argument("--peers", action="store_true", help="without netlab")
    parser.add_argument("--netlab", type=pathlib.Path, default=REPOSITORY / "build/release/bin/netlab")
    parser.add_argument("--tools", type=pathlib.Path, default=REPOSITORY / "build/release/bin",
                        help="folder of netlab-floor and the load clients")
    parser.add_argument("--out", type=pathlib.Path, default=REPOSITORY / "build/bench", help="folder for logs and figures")
    options = parser.parse_args()
    for room in options.rooms:
        if room not in ROOMS:
            parser.error(f"no room {room}: {', '.join(ROOMS)}")
    if os.geteuid() != 0:
        parser.error("network namespaces need root")
    if not (options.tools / "netlab-floor").exists():
        parser.error(f"{options.tools}/netlab-floor is not built")

    begun = time.monotonic()
    setting = Setting(None if options.peers else options.netlab.resolve(), options.tools.resolve(), options.out.resolve(),
                      options.out.resolve() / "data", 1 if options.quick else max(options.rounds, 1), options.quick)
    make_data(setting.data)
    netns.sweep()
    usage.sweep()
    # Asked to end, it still takes its namespaces and servers down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    missed, failed, skipped = [], [], []
    with contextlib.ExitStack() as stack:
        stack.callback(usage.sweep)
        cable = stack.enter_context(Cable())
        for room in options.rooms or ROOMS:
            machine = {"kernel": platform.release(), "processors": os.cpu_count(), "arch": platform.machine(),
                       "load": os.getloadavg()[0]}
            results = {"machine": machine, "rounds": setting.rounds, "quick": setting.quick, "tables": {}}
            for title, turns in importlib.import_module(f"rooms.{room}").measure(cable, setting):
                print_table(title, turns.servers(), turns.rows, sys.stdout)
                results["tables"][title] = [row.as_json() for row in turns.rows]
                missed += [f"{title}: {row.name}" for row in turns.rows if row.missed()]
                failed += [f"{title}: {name}" for name, fault in turns.failed.items() if fault]
                skipped += [f"{title}: {name}" for name, fault in turns.failed.items() if not fault]
            (setting.folder / f"{room}.json").write_text(json.dumps(results, indent=1) + "\n")
    for what, names in (("goals missed", missed if not setting.quick else []), ("failed", failed), ("skipped", skipped)):
        for name in names:
            print(f"{what}: {name}")
    print(f"took {time.monotonic() - begun:.0f} s; every figure is in {os.path.relpath(setting.folder)}")
    # A run without netlab is no proof of anything about it.
    without = any(name.endswith(": netlab") for name in skipped)
    if setting.quick:
        return 1 if without or any(name.endswith(": netlab") for name in failed) else 0
    return 1 if failed or without or missed else 0


if __name__ == "__main__":
    sys.exit(main())
