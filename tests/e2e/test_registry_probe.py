"""netlab probe registry: a pull that says what came and why it stops, from netlab's cache and from other registries."""

import re

import pytest

from lab import images, registries
from lab.registry_node import ALL, PORT, UPSTREAM

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("docker-registry", "openssl")]


def probe(lab, host, *words, code=0):
    done = host.popen(lab.binary, "probe", "registry", *words, stdout=-1, stderr=-2, text=True)
    out, _ = done.communicate(timeout=60)
    assert done.returncode == code, out
    return out


def stages(out):
    return re.findall(r"^ *\+[\d.]+s +(\S+(?: \d+)?)  ", out, re.M)


def test_pulls_as_a_node(lab, upstream, node):
    """By the port of one registry and as a mirror of several; each platform; what is refused and what is not there."""
    built = {name: images.Image(upstream, "team/app", name, [300_000, 1000], seed=name, architecture=name)
             for name in ("amd64", "arm64")}
    images.index(upstream, "team/app", "v1", built)
    lab.start("registry")
    out = probe(lab, node.host, f"{PORT}/team/app:v1", "--plain")
    assert stages(out) == ["manifest", "platform", "config", "layer 1", "layer 2", "pulled"]
    assert built["amd64"].config["digest"][:19] in out
    out = probe(lab, node.host, "upstream.lab/team/app:v1", "--through", f"http://{ALL}", "--platform", "linux/arm64")
    assert built["arm64"].config["digest"][:19] in out and "in 3 blobs, all as their digests say" in out
    assert stages(probe(lab, node.host, f"{PORT}/team/app:v1", "--plain", "--no-layers")) == [
        "manifest", "platform", "config", "pulled"]

    out = probe(lab, node.host, f"{PORT}/team/app:v9", "--plain", code=1)
    assert "STOPPED" in out and "at manifest: 404 MANIFEST_UNKNOWN" in out and "look at the name and the tag" in out
    out = probe(lab, node.host, f"{PORT}/team/app:v1", "--plain", "--platform", "linux/s390x", code=1)
    assert "there is none for linux/s390x" in out and "linux/amd64, linux/arm64" in out
    out = probe(lab, node.host, "elsewhere.lab/team/app:v1", "--through", f"http://{ALL}", code=1)
    assert "at manifest: 404 NAME_UNKNOWN" in out and "is no registry of this proxy" in out
    assert "malformed name" in probe(lab, node.host, "UPPER/x", code=2)
    upstream.close()
    out = probe(lab, node.host, f"{PORT}/team/other:v1", "--plain", code=1)
    assert re.search(r"at manifest: 50[234] ", out) and "netlab registry stat" in out
    out = probe(lab, node.host, f"{UPSTREAM}:5000/team/app:v1", "--plain", code=1)
    assert "at manifest: " in out and "see whether the port is open there" in out


def test_gets_a_token_and_finds_what_is_wrong(lab, upstream, away, node):
    """Straight from a registry with TLS and tokens; and from one that sends other bytes than its digests say."""
    images.Image(upstream, "team/app", "v1", [300_000])
    tls = registries.certificates(lab.folder, UPSTREAM)
    lab.keep(registries.Issuer(away, lab.folder, UPSTREAM, 5001, tls))
    lab.keep(registries.Secure(away, lab.folder, lab.folder / "registry/data", UPSTREAM, 5443, tls,
                               f"https://{UPSTREAM}:5001/token"))
    out = probe(lab, node.host, f"{UPSTREAM}:5443/team/app:v1", "--ca", tls["ca"])
    assert stages(out) == ["token", "manifest", "config", "layer 1", "pulled"]
    assert "at manifest: " in probe(lab, node.host, f"{UPSTREAM}:5443/team/app:v1", code=1)  # nobody vouches for it

    liar = lab.keep(registries.Faulty(away, UPSTREAM, 5002))
    [layer] = liar.image([300_000])
    liar.once(layer, lambda handler, content: liar.reply(handler, 200, content[:-1] + b"!"))
    out = probe(lab, node.host, f"{UPSTREAM}:5002/team/app:v1", "--plain", code=1)
    assert "at layer 1: what came is " in out and layer in out
