"""Options and fixtures of the end-to-end tests.  Run them with `./lab test e2e`, or directly as root:

    /usr/bin/python3 -m pytest tests/e2e [--server=dnsmasq] [--netlab=build/asan/bin/netlab]
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lab import bastion, boots, netns, registries, registry_node, sources  # noqa: E402  the path above comes first


def pytest_addoption(parser):
    parser.addoption("--server", choices=["netlab", "dnsmasq"], default="netlab",
                     help="the server under test; dnsmasq tells a fault of the tests from one of netlab")
    parser.addoption("--netlab", default=str(bastion.REPOSITORY / "build/release/bin/netlab"), help="the netlab command")
    parser.addoption("--out", default=str(bastion.REPOSITORY / "build/e2e"), help="folder for logs and captures")


def pytest_configure(config):
    config.addinivalue_line("markers", "netlab_only: the peer has no such feature")
    config.addinivalue_line("markers", "needs(*commands): programs that the test runs")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--server") != "netlab":
        skip = pytest.mark.skip(reason="the peer has no such feature")
        for item in items:
            if item.get_closest_marker("netlab_only"):
                item.add_marker(skip)
    # They keep all cores busy: what looks at times comes before them.
    items.sort(key=lambda item: boot_of(item) is not None)


@pytest.fixture(scope="session", autouse=True)
def machine():
    """What every test needs of the machine.  All of it is installed by ./lab, so its absence is a failure."""
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests make network namespaces: run them as root", returncode=3)
    netns.sweep()


def look_for_programs(item):
    for marker in item.iter_markers("needs"):
        missing = [command for command in marker.args if not shutil.which(command)]
        assert not missing, f"not installed: {' '.join(missing)}"


@pytest.fixture
def lab(request):
    look_for_programs(request.node)
    name = re.sub(r"[^\w.-]+", "-", request.node.nodeid.split("::", 1)[-1]).strip("-")
    binary = pathlib.Path(request.config.getoption("--netlab"))
    server = request.config.getoption("--server")
    if server == "netlab":
        assert binary.exists(), f"{binary} is not there: ./lab build"
    laboratory = bastion.Lab(pathlib.Path(request.config.getoption("--out")) / name, server, binary)
    request.node.laboratory = laboratory
    yield laboratory
    laboratory.close()


@pytest.fixture
def away(lab):
    """The host that an upstream registry runs on."""
    return lab.network.host("upstream", f"{registry_node.UPSTREAM}/24")


@pytest.fixture
def upstream(lab, away):
    return lab.keep(sources.Registry(away, lab.folder, registry_node.UPSTREAM))


@pytest.fixture
def faulty(lab, away):
    return lab.keep(registries.Faulty(away, registry_node.UPSTREAM))


@pytest.fixture
def node(lab):
    return registry_node.Node(lab)


@pytest.fixture(scope="session")
def guest_files():
    return bastion.fixtures("amd64", "arm64")


def boot_of(item):
    """The boot that a test takes; None when it takes none."""
    return getattr(item.module, "BOOTS", {}).get(getattr(item, "originalname", item.name))


@pytest.fixture(scope="session")
def running_boots(request):
    """Every boot that a chosen test takes, on its way: id of the Boot to its future."""
    out, binary = (pathlib.Path(request.config.getoption(name)).resolve() for name in ("--out", "--netlab"))
    server = request.config.getoption("--server")
    if server == "netlab":
        assert binary.exists(), f"{binary} is not there: ./lab build"
    wanted = [item for item in request.session.items if boot_of(item) and not item.get_closest_marker("skip")]
    bastion.fixtures("amd64", "arm64")
    if any("loaders" in source for item in wanted for source in boot_of(item).assets.values()):
        bastion.loaders("amd64", "arm64")
    with concurrent.futures.ThreadPoolExecutor(boots.at_once()) as pool:
        futures = {id(boot_of(item)): pool.submit(boot_of(item).run, out / f"{item.module.__name__}-{item.name}", server, binary)
                   for item in wanted}
        yield futures
        for future in futures.values():
            future.cancel()


@pytest.fixture
def boot(request, running_boots):
    """The test's own boot, over: its result and what was seen."""
    look_for_programs(request.node)
    mine = boot_of(request.node)
    try:
        done = running_boots[id(mine)].result()
        if done.result:
            print(f"{mine.machine} by {mine.lab.server}: {done.result['seconds']:.1f} s from power-on to power-off")
        return done
    finally:
        request.node.laboratory = mine.lab


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    laboratory = getattr(item, "laboratory", None)
    if report.failed and laboratory:
        report.sections.append((f"evidence, kept in {laboratory.folder}", laboratory.evidence()))
