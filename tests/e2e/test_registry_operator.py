"""The registry cache for its operator: commands, images that are fetched ahead or pushed, and what is shown."""

import json
import subprocess

import pytest

from lab import bastion, images
from lab.registry_node import ALL, MANIFEST, PORT, UPSTREAM, blob_files, sent, whole

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("skopeo", "docker-registry", "curl")]


@pytest.mark.needs("buildah")
def test_hosted_registry_takes_pushes(lab, upstream, node):
    """skopeo and buildah push to the recipe's own registry, which keeps what they pushed over a restart."""
    image = images.Image(upstream, "team/app", "v1", [3 << 20, 1000])
    netlab = lab.start("registry", max_size="1MiB")  # what is hosted stays, whatever the limit says
    folder = node.pull(f"{UPSTREAM}:5000/team/app:v1")
    push = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", f"dir:{folder}", f"docker://{ALL}/lab/team/app:v1"]
    node.host.run(*push, timeout=120)
    images.check_folder(node.pull(f"{ALL}/lab/team/app:v1"), image)
    assert netlab.stop() == 0
    netlab = lab.start("registry", max_size="1MiB")
    images.check_folder(node.pull(f"{ALL}/lab/team/app:v1"), image)
    assert node.curl("/v2/lab/team/app/tags/list", base=ALL).json()["tags"] == ["v1"]
    assert node.curl("/v2/_catalog", base=ALL).json()["repositories"] == ["lab/team/app"]
    storage = ["buildah", "--root", lab.folder / "buildah", "--runroot", lab.folder / "buildah-run", "--storage-driver", "vfs"]
    node.host.run(*storage, "pull", "--tls-verify=false", f"{ALL}/lab/team/app:v1", timeout=120)
    node.host.run(*storage, "push", "--tls-verify=false", f"{ALL}/lab/team/app:v1", f"docker://{ALL}/lab/team/copy:v2",
                  timeout=120)
    assert node.curl("/v2/lab/team/copy/manifests/v2", base=ALL).status == 200
    # What was not pushed cannot be listed, and a wrong digest is refused.
    refused = node.curl("/v2/lab/team/bad/manifests/v1", "-X", "PUT", "-H", f"Content-Type: {MANIFEST}", "--data",
                        json.dumps({"schemaVersion": 2, "layers": [], "config": {"digest": "sha256:" + "0" * 64, "size": 2}}),
                        base=ALL)
    assert (refused.status, refused.json()["errors"][0]["code"]) == (404, "MANIFEST_BLOB_UNKNOWN")
    begun = node.curl("/v2/lab/team/bad/blobs/uploads/", "-X", "POST", base=ALL)
    assert begun.status == 202
    wrong = node.curl(f"{begun.headers['location']}?digest=sha256:{'0' * 64}", "-X", "PUT", "--data-binary", "x", base=ALL)
    assert (wrong.status, wrong.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    gone = node.curl("/v2/lab/team/copy/manifests/v2", "-X", "DELETE", base=ALL)
    assert gone.status == 202
    assert node.curl("/v2/lab/team/copy/manifests/v2", base=ALL).status == 404


def operate(lab, *words, fails=False):
    done = subprocess.run([lab.binary, "--state", lab.state, "registry", *map(str, words)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_operator(lab, upstream, node):
    """ls, stat, prefetch, pin, gc and verify of a running proxy; a prefetched image needs no upstream."""
    amd64 = images.Image(upstream, "team/app", "amd64", [200_000], seed="amd64")
    arm64 = images.Image(upstream, "team/app", "arm64", [200_000], seed="arm64", architecture="arm64")
    images.index(upstream, "team/app", "v1", {"amd64": amd64, "arm64": arm64})
    netlab = lab.start("registry", max_size="1MiB")
    (lab.folder / "list").write_text("# of the lab\nupstream.lab/team/app:v1\n")
    out = operate(lab, "prefetch", "--platform", "linux/arm64", "--file", lab.folder / "list")
    assert "1 of 1" in out, out
    fetched = {digest for digest, _ in sent(upstream)}
    assert fetched == set(arm64.blobs)
    upstream.down()
    images.check_folder(node.pull(f"{PORT}/team/app:v1", "--override-arch", "arm64"), arm64)
    assert "0 of 1" in operate(lab, "prefetch", "upstream.lab/team/nothing:v1", fails=True)
    assert "no registry of this proxy" in operate(lab, "prefetch", "elsewhere.lab/a:v1", fails=True)
    assert "\"arm64\" is no platform" in operate(lab, "prefetch", "--platform", "arm64", "upstream.lab/team/app:v1", fails=True)
    again = operate(lab, "prefetch", "--platform", "linux/arm64", "upstream.lab/team/app:v1")
    assert "upstream.lab/team/app:v1: all of it was here" in again, again
    assert "all as their digests say" in operate(lab, "verify")
    assert operate(lab, "pin", "upstream.lab/team/app:v1").strip() == "upstream.lab/team/app:v1: pinned"
    [row] = json.loads(operate(lab, "ls", "--json"))
    assert (row["image"], row["pinned"]) == ("upstream.lab/team/app:v1", True)
    assert "pinned" in operate(lab, "ls")
    upstream.up()
    for number in range(4):
        other = images.Image(upstream, f"team/other{number}", "v1", [300_000], seed=number)
        images.check_folder(node.pull(f"{PORT}/team/other{number}:v1"), other)
    images.Image(upstream, "team/large", "v1", [700_000, 700_000], seed="large")
    assert "too small" in operate(lab, "prefetch", "upstream.lab/team/large:v1", fails=True)
    upstream.down()
    images.check_folder(node.pull(f"{PORT}/team/app:v1", "--override-arch", "arm64"), arm64)
    stat = json.loads(operate(lab, "stat", "--json"))
    assert stat["hits"] > 0 and stat["saved_bytes"] > 0 and stat["upstreams"][-1]["upstream"] == "upstream.lab"
    operate(lab, "gc")
    victim = next(path for path in blob_files(lab) if path.stat().st_size > 100_000)
    content = bytearray(victim.read_bytes())
    content[5000] ^= 1
    victim.write_bytes(content)
    assert "was damaged and is gone" in operate(lab, "verify")
    assert not victim.exists()
    operate(lab, "unpin", "upstream.lab/team/app:v1")
    assert "is not pinned" in operate(lab, "unpin", "upstream.lab/team/app:v1", fails=True)
    netlab.log.expect("NL-REG-015", 15)


def test_prefetches_what_a_talos_release_pulls(lab, upstream, node):
    """The images of a release and of its Kubernetes, or of another Kubernetes, for one platform: then no registry is needed."""
    wanted = {"siderolabs/installer": "v1.11.5", "siderolabs/kubelet": "v1.34.1", "kube-apiserver": "v1.34.1",
              "kube-controller-manager": "v1.34.1", "kube-scheduler": "v1.34.1", "kube-proxy": "v1.34.1",
              "etcd-development/etcd": "v3.6.5", "coredns/coredns": "v1.12.4", "pause": "3.10", "siderolabs/flannel": "v0.27.4"}
    made = {}
    for repository, tag in wanted.items():
        made[repository] = {name: images.Image(upstream, repository, f"{tag}-{name}", [2000], seed=f"{repository}-{name}",
                                               architecture=name) for name in ("amd64", "arm64")}
        images.index(upstream, repository, tag, made[repository])
    lab.start("registry", stands_for="ghcr.io gcr.io registry.k8s.io")
    out = operate(lab, "prefetch", "--talos", "v1.11.5", "--platform", "linux/arm64")
    assert "prefetch: 10 of 10" in out, out
    assert {digest for digest, _ in sent(upstream)} == {digest for each in made.values() for digest in each["arm64"].blobs}
    out = operate(lab, "prefetch", "--talos", "1.11.5", "--kubernetes", "1.33.6", "--platform", "linux/arm64", fails=True)
    assert "prefetch: 5 of 10" in out and "registry.k8s.io/kube-proxy:v1.33.6: " in out, out
    upstream.down()
    images.check_folder(node.pull(f"{ALL}/ghcr.io/siderolabs/installer:v1.11.5", "--override-arch", "arm64"),
                        made["siderolabs/installer"]["arm64"])
    images.check_folder(node.pull(f"{ALL}/gcr.io/etcd-development/etcd:v3.6.5", "--override-arch", "arm64"),
                        made["etcd-development/etcd"]["arm64"])
    out = operate(lab, "prefetch", "--talos", "v1.11.99", fails=True)
    assert "up to v1.11.6" in out and "talosctl image default | netlab registry prefetch --file -" in out
    assert "goes with --talos" in operate(lab, "prefetch", "--kubernetes", "v1.34.1", fails=True)
    assert "is no registry of this proxy" in operate(lab, "prefetch", "--talos", "v1.14.0-rc.1", fails=True)


def test_prefetched_at_the_start(lab, upstream, node):
    """What a list and a manifest name is here when it is needed, for the platforms that are wanted."""
    made = {name: images.Image(upstream, "team/app", name, [200_000], seed=name, architecture=name) for name in ("amd64", "arm64")}
    images.index(upstream, "team/app", "v1", made)
    pod = lab.folder / "pod.yaml"
    pod.write_text("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - name: app\n      image: upstream.lab/team/app:v1\n")
    netlab = lab.start("registry", prefetch=pod)
    netlab.log.expect("prefetch ended well: 1 of 1", 30)
    assert {digest for digest, _ in sent(upstream)} == set(made["arm64"].blobs)
    upstream.down()
    images.check_folder(node.pull(f"{PORT}/team/app:v1", "--override-arch", "arm64"), made["arm64"])
    # A file without images, and a registry that the proxy does not have, are mistakes of the recipe.
    for text, message in (("apiVersion: v1\n", "names no image"), ("elsewhere.lab/a:v1\n", "of no registry of this proxy")):
        (lab.folder / "wrong").write_text(text)
        done = subprocess.run(lab.host.command(lab.binary, "run", bastion.RECIPES / "registry.lua", "--state", lab.folder / "other",
                                               "--prefetch", lab.folder / "wrong"), capture_output=True, text=True, timeout=30)
        assert done.returncode != 0 and message in done.stdout + done.stderr, done.stdout + done.stderr


def test_what_is_left_of_the_quota_is_shown(lab, faulty, node):
    """As Docker Hub tells it with its manifests; and who pulled what, as a step of a boot."""
    [layer] = faulty.image([200_000])
    manifest = faulty.manifests["v1"]
    faulty.faults.append(lambda h, path: faulty.reply(
        h, 200, manifest, Content_Type=MANIFEST, RateLimit_Limit="100;w=21600", RateLimit_Remaining="97;w=21600") or True
        if path.endswith("/manifests/v1") else None)
    netlab = lab.start("registry")
    assert node.curl("/v2/team/app/manifests/v1").body == manifest
    for _ in range(3):
        assert whole(node, f"/v2/team/app/blobs/{layer}", faulty.blobs[layer])
    stat = json.loads(operate(lab, "stat", "--json"))
    [upstream] = [each for each in stat["upstreams"] if each["upstream"] == "upstream.lab"]
    assert (upstream["quota"], upstream["quota_left"], upstream["quota_window"]) == (100, 97, "6h")
    assert (stat["requests"], stat["hits"], stat["hit_ratio"]) == (4, 2, "50 %")
    size = len(faulty.blobs[layer])
    assert (stat["sent_bytes"], stat["saved_bytes"]) == (3 * size + len(manifest), 2 * size)
    shown = json.loads(lab.host.run(lab.binary, "--state", lab.state, "status", "--json"))
    assert "quota_left" in json.dumps(shown["services"])
    netlab.log.expect(r"NL-REG-015.*pulled upstream\.lab/team/app:v1", 15)
    netlab.log.expect("10.77.0.9 image: upstream.lab/team/app:v1", 15)
