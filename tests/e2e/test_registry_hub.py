"""Docker Hub through the registry cache, by its own names: short names, tokens, limits and content that lies elsewhere; and
Docker as a client that pulls through it and pushes to the lab's own registry."""

import json
import time

import pytest

from lab import images, pullers
from lab.hub import Hub
from lab.registry_node import ALL, PORT

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("skopeo", "curl", "openssl")]


@pytest.fixture
def hub(lab, away):
    return lab.keep(Hub(lab, away))


def configured(lab):
    """Docker's configuration, when netlab has written it."""
    path, deadline = lab.state / "daemon.json", time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path


def test_short_names_and_limits(lab, hub, node):
    """What skopeo calls docker.io/library/debian, with a mirror in its registries.conf: every content once, by a token for
    that repository alone, which the content network never sees; and 429 is no reason to forget anything."""
    debian = images.Image(hub, "library/debian", "12", [2 << 20, 1000])
    team = images.Image(hub, "team/app", "v1", [3 << 20], seed="team")
    late = images.Image(hub, "team/late", "v1", [1000], seed="late")
    hub.left = 2
    lab.start("docker_hub", ca=hub.tls["ca"])
    mirrors = lab.folder / "registries.conf"
    mirrors.write_text(f'unqualified-search-registries = ["docker.io"]\n[[registry]]\nlocation = "docker.io"\n'
                       f'[[registry.mirror]]\nlocation = "{PORT}"\ninsecure = true\n')

    def pull(name, image):
        images.check_folder(node.pull(name, "--registries-conf", mirrors), image)

    pull("docker.io/library/debian:12", debian)
    pull("debian:12", debian)
    pull("docker.io/team/app:v1", team)
    pull(f"{PORT}/debian:12", debian)  # a client that does not know of library/
    pull(f"{ALL}/docker.io/debian:12", debian)
    assert hub.blobs_sent() == sorted([*debian.blobs, *team.blobs])
    assert not hub.trouble
    assert hub.scopes == {"repository:library/debian:pull", "repository:team/app:pull"}
    # Its limit is reached: what is here goes on, the rest is told to wait, and the hub is left alone.
    assert node.curl("/v2/team/late/manifests/v1").status == 429
    asked = len(hub.asked)
    refused = node.curl(f"/v2/team/late/manifests/{late.digest}")
    assert (refused.status, refused.json()["errors"][0]["code"]) == (429, "TOOMANYREQUESTS")
    assert 1 <= int(refused.headers["retry-after"]) <= 600 and len(hub.asked) == asked
    pull("docker.io/library/debian:12", debian)
    stat = json.loads(lab.command("registry", "stat", "--json"))
    [docker] = stat["upstreams"][:1]
    assert (docker["upstream"], docker["quota"], docker["quota_left"]) == ("docker.io", 100, 0)
    hub.close()
    pull("docker.io/team/app:v1", team)


def test_what_is_not_there(lab, hub, node):
    """What does not exist and what must not be read look alike on Docker Hub; its demand for a token reaches no node."""
    images.Image(hub, "library/debian", "12", [1000])
    lab.start("docker_hub", ca=hub.tls["ca"])
    got = node.curl("/v2/library/debain/manifests/12")
    assert (got.status, got.json()["errors"][0]["code"]) == (403, "DENIED")
    assert "www-authenticate" not in got.headers
    got = node.curl("/v2/library/debian/manifests/13")
    assert (got.status, got.json()["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.needs("dockerd", "nsenter", "unshare")
def test_docker(lab, hub, node):
    """Docker pulls by its mirror and by address, also when Docker Hub is gone, and pushes to the lab's own registry."""
    debian = images.Image(hub, "library/debian", "12", [4 << 20, 1000])
    team = images.Image(hub, "team/app", "v1", [2 << 20], seed="team")
    lab.start("docker_hub", ca=hub.tls["ca"])
    docker = pullers.Docker(lab, node.host, lab.folder / "docker", configured(lab))
    for turn in ("cold", "warm", "gone"):
        if turn == "gone":
            hub.close()
        docker.pull("debian:12", debian)
        docker.pull(f"{PORT}/team/app:v1", team)
        assert hub.blobs_sent() == sorted([*debian.blobs, *team.blobs])
        assert not hub.trouble
        if turn != "gone":
            docker.remove("debian:12", f"{PORT}/team/app:v1")
    # A push to the cache is refused, in words that say where to.
    docker.run("tag", "debian:12", f"{PORT}/team/mine:v1")
    assert "this is a cache of docker.io: push there" in docker.run("push", f"{PORT}/team/mine:v1", fails=True)
    # To the lab's own registry it is taken; what comes back is what went there.
    mine = f"{ALL}/lab/team/mine:v1"
    docker.run("tag", "debian:12", mine)
    docker.run("push", mine)
    docker.remove(mine, f"{PORT}/team/mine:v1", "debian:12")
    docker.run("pull", mine)
    assert docker.run("image", "inspect", "--format", "{{.Id}}", mine).strip() == debian.config["digest"]
    folder = node.pull(mine)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["config"]["digest"] == debian.config["digest"]
    assert (folder / debian.config["digest"][7:]).read_bytes() == debian.blobs[debian.config["digest"]]
