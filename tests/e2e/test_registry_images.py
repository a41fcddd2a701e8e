"""Images of several hundred MB through the registry cache by the programs that nodes pull with, from a docker-registry
behind TLS and tokens: cold, warm and with the upstream stopped; and sixteen at once over a slow line.

CI pulls 300 MiB by three of them, one after the other; NETLAB_ALL_PULLERS=1: each of five of them thrice;
NETLAB_IMAGE_SCALE=3: 900 MiB."""

import os
import time

import pytest

from lab import images, netns, pullers, registries, sources
from lab.registry_node import ALL, PORT, UPSTREAM, sent

SCALE = int(os.environ.get("NETLAB_IMAGE_SCALE", "1"))
pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("skopeo", "docker-registry", "openssl")]


class Store:
    """A docker-registry's folder with one image for two platforms, and what is in it."""

    def __init__(self, folder):
        self.data = folder / "registry/data"
        with netns.Network() as network:
            registry = sources.Registry(network.host("store", f"{UPSTREAM}/24"), folder, UPSTREAM)
            mebibytes = {"amd64": (96, 64, 32, 8), "arm64": (64, 32, 4)}
            self.images = {name: images.Image(registry, "team/app", name, [SCALE * size << 20 for size in sizes], seed=name,
                                              architecture=name) for name, sizes in mebibytes.items()}
            self.index = images.index(registry, "team/app", "v1", self.images)
            registry.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def secure(lab, away, store):
    """docker-registry over that folder, behind a CA of the lab and tokens."""
    tls = registries.certificates(lab.folder, UPSTREAM)
    lab.keep(registries.Issuer(away, lab.folder, UPSTREAM, 5001, tls))
    registry = lab.keep(registries.Secure(away, lab.folder, store.data, UPSTREAM, 5443, tls, f"https://{UPSTREAM}:5001/token"))
    lab.start("registry", upstream=f"https://{UPSTREAM}:5443", ca=tls["ca"], max_size="8GiB")
    return registry


def by_skopeo(lab, node, folder, store):
    pullers.skopeo(node.host, folder, f"{PORT}/team/app:v1", *store.images.values())


def by_podman(lab, node, folder, store):
    pullers.podman(node.host, folder, f"{ALL}/upstream.lab/team/app:v1", store.images["amd64"])


def by_buildah(lab, node, folder, store):
    pullers.buildah(node.host, folder, f"{PORT}/team/app:v1", store.images["amd64"])


def by_cri(lab, node, folder, store):
    hosts = pullers.hosts_folder(folder / "hosts", "upstream.lab", f"http://{ALL}")
    daemon = pullers.Containerd(lab, node.host, folder / "daemon", hosts, cri=True)
    assert daemon.cri_pull("upstream.lab/team/app:v1") == store.images["amd64"].config["digest"]
    daemon.check_content(store.images["amd64"])
    daemon.check_unpacked(store.images["amd64"])
    daemon.stop()


def by_ctr(lab, node, folder, store):
    hosts = pullers.hosts_folder(folder / "hosts", "upstream.lab", f"http://{PORT}")
    daemon = pullers.Containerd(lab, node.host, folder / "daemon", hosts)
    daemon.ctr("images", "pull", "--snapshotter", "native", "--hosts-dir", hosts, "upstream.lab/team/app:v1")
    daemon.check_content(store.images["amd64"])
    daemon.check_unpacked(store.images["amd64"])
    daemon.stop()


PULLERS = {"skopeo": by_skopeo, "podman": by_podman, "cri": by_cri, "ctr": by_ctr, "buildah": by_buildah}
# Who pulls it first, who when it is there, and who when the upstream has gone.
TURNS = [("skopeo", "podman", "cri")]
if os.environ.get("NETLAB_ALL_PULLERS"):
    TURNS += [(name,) * 3 for name in PULLERS]


@pytest.mark.needs("podman", "buildah", "containerd", "ctr")
@pytest.mark.parametrize("turns", TURNS, ids="-".join)
def test_large_image(lab, node, store, secure, turns):
    """Cold, warm, and with the upstream stopped: what arrives is what was pushed, and the upstream sends it once."""
    wanted = store.images if turns[0] == "skopeo" else {"amd64": store.images["amd64"]}
    blobs = sorted((digest, 200) for image in wanted.values() for digest in image.blobs)
    for turn, puller in zip(("cold", "warm", "stopped"), turns):
        if turn == "stopped":
            secure.close()
        begun = time.monotonic()
        PULLERS[puller](lab, node, lab.folder / turn, store)
        print(f"{puller}, {turn}: {time.monotonic() - begun:.1f} s")
        assert sorted(sent(secure)) == blobs


def test_sixteen_at_once_over_a_slow_line(lab, upstream, away, node):
    """The upstream's line decides how long it takes, for one client and for sixteen: each blob passes it once.

    The clients are curl, which fetch all parts at a time: sixteen skopeo would measure this machine's processors."""
    image = images.Image(upstream, "team/app", "v1", [16 << 20, 12 << 20, 8 << 20])
    # 40 Mbit/s: 36 MiB take 7.5 s.  What waits in front of the line is at most a quarter of a second.
    away.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "40mbit", "burst", "64kb", "latency", "250ms")

    def pull(clients, cache):
        netlab = lab.start("registry", cache=cache)
        before, begun = len(sent(upstream)), time.monotonic()
        pulls = [node.start_fetch(image) for _ in range(clients)]
        outputs = [(process.communicate(timeout=300)[0], process.returncode) for process, _ in pulls]
        seconds = time.monotonic() - begun
        for (out, code), (_, folder) in zip(outputs, pulls):
            assert code == 0, out
            images.check_folder(folder, image)
        assert sorted(sent(upstream)[before:]) == sorted((digest, 200) for digest in image.blobs)
        assert netlab.stop() == 0
        return seconds

    alone = pull(1, "alone")
    together = pull(16, "together")
    print(f"one client {alone:.2f} s, sixteen {together:.2f} s: {together / alone:.3f} times as long")
    assert alone > 36 * 8 * 1.048 / 40, "the line was not slow"
    assert together <= 1.1 * alone
