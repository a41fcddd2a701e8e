"""Programs that pull images, each with a storage of its own a pull, so that nothing is taken from an earlier one.

Every function returns when the image is there, and has compared what the program keeps with what was pushed."""

import hashlib
import os
import pathlib
import subprocess
import tempfile
import time

import pytest

from . import images, process


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_files(folder, image):
    """What was unpacked somewhere below the folder is what was packed into the layers."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            if name in image.files:
                found.setdefault(name, set()).add(_digest(os.path.join(root, name)))
    assert found == {name: {digest} for name, digest in image.files.items()}, f"unpacked: {sorted(found)}"


def skopeo(host, folder, name, *platforms, timeout=120):
    """Every platform of it, into a folder of blobs."""
    host.run("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--all", f"docker://{name}", f"dir:{folder}",
             timeout=timeout)
    for each in platforms:
        images.check_folder(folder, each)


def _stored(program, host, folder, name, image, timeout):
    with tempfile.TemporaryDirectory(prefix="netlab-e2e-") as short:  # podman takes at most 50 characters
        storage = [program, "--root", folder / "root", "--runroot", short, "--storage-driver", "vfs"]
        host.run(*storage, "pull", "--tls-verify=false", name, timeout=timeout)
        # Its name for the image is the digest of the config, which names the digest of each layer's content.
        listed = host.run(*storage, "images", "--no-trunc", "--quiet").split()
    assert [each.removeprefix("sha256:") for each in listed] == [image.config["digest"].removeprefix("sha256:")]
    _check_files(folder / "root", image)


def podman(host, folder, name, image, timeout=120):
    _stored("podman", host, folder, name, image, timeout)


def buildah(host, folder, name, image, timeout=120):
    _stored("buildah", host, folder, name, image, timeout)


_CONFIG = """version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [{disabled}"io.containerd.internal.v1.opt"]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{folder}/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{hosts}"
"""


class Containerd:
    """One containerd with folders and a socket of its own.  `hosts`: the folder with its hosts.toml files."""

    def __init__(self, lab, host, folder, hosts, cri=False):
        self._host, self._folder = host, folder
        folder.mkdir(parents=True)
        disabled = "" if cri else '"io.containerd.grpc.v1.cri", '
        (folder / "config.toml").write_text(_CONFIG.format(folder=folder, hosts=hosts, disabled=disabled))
        self._log = folder / "containerd.log"
        with open(self._log, "wb") as log:
            self._process = lab.keep(host.popen("containerd", "-c", folder / "config.toml", stdout=log, stderr=log,
                                                stdin=subprocess.DEVNULL))
        self._wait(lambda: "containerd successfully booted" in self._log.read_text(errors="replace"), "containerd")
        self.socket = folder / "containerd.sock"

    def _wait(self, condition, what):
        deadline = time.monotonic() + 30
        while not condition():
            assert self._process.poll() is None and time.monotonic() < deadline, f"{what}: {self._log.read_text()[-3000:]}"
            time.sleep(0.05)

    def ctr(self, *words, namespace="default", timeout=120):
        return self._host.run("ctr", "--address", self.socket, "--namespace", namespace, *words, timeout=timeout)

    def check_content(self, image):
        """Its content store has each blob of the image, with the bytes that its name says."""
        store = self._folder / "root/io.containerd.content.v1.content/blobs/sha256"
        for digest in (image.digest, *image.blobs):
            hexes = digest.removeprefix("sha256:")
            assert _digest(store / hexes) == hexes, digest

    def check_unpacked(self, image):
        _check_files(self._folder / "root/io.containerd.snapshotter.v1.native", image)

    def cri_pull(self, name, timeout=120):
        """What the kubelet does: PullImage of the CRI (runtime.v1.ImageService), whose messages are small enough to be
        written here: field 1 of the request is an ImageSpec, whose field 1 is the image; field 1 of the answer is its
        reference."""
        import grpc

        def field(content):
            assert len(content) < 128
            return b"\x0a" + bytes([len(content)]) + content
        with grpc.insecure_channel(f"unix://{self.socket}") as channel:
            pull = channel.unary_unary("/runtime.v1.ImageService/PullImage")
            answer = pull(field(field(name.encode())), timeout=timeout, wait_for_ready=True)
        assert answer[:1] == b"\x0a" and answer[1] == len(answer) - 2, answer
        return answer[2:].decode()

    def stop(self):
        self._process.terminate()
        self._process.wait(20)


def hosts_folder(folder, registry, url, override_path=False):
    """containerd's folder of hosts.toml files with one registry in it."""
    place = pathlib.Path(folder) / registry
    place.mkdir(parents=True)
    (place / "hosts.toml").write_text(
        f'server = "https://{registry}"\n\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'
        f"  override_path = {str(override_path).lower()}\n")
    return folder


class Docker:
    """One dockerd with folders and a socket of its own, in the host's network and a mount namespace that ends with it; no
    rule of a firewall and no bridge.  `config`: its daemon.json."""

    def __init__(self, lab, host, folder, config):
        self._host, self._folder = host, folder
        folder.mkdir(parents=True)
        self._short = tempfile.TemporaryDirectory(prefix="netlab-e2e-")  # a socket's path has at most 107 characters
        self._socket = f"unix://{self._short.name}/docker.sock"
        self._log = folder / "dockerd.log"
        # Not by `ip netns exec`: it mounts another /sys, in which there are no control groups.
        command = ["nsenter", f"--net=/run/netns/{host.name}", "unshare", "--mount", "/usr/sbin/dockerd",
                   "--config-file", config, "--data-root", folder / "root", "--exec-root", f"{self._short.name}/exec",
                   "--pidfile", folder / "pid", "--host", self._socket, "--storage-driver=vfs", "--bridge=none",
                   "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                             start_new_session=True)
        lab.keep(self)
        deadline = time.monotonic() + 60
        while "API listen on" not in (said := self._log.read_text(errors="replace")):
            if self._process.poll() is not None and "cgroup" in said:
                pytest.skip("machine: its control groups are not dockerd's to use")
            assert self._process.poll() is None and time.monotonic() < deadline, said[-3000:]
            time.sleep(0.05)

    def run(self, *words, fails=False, timeout=120):
        """The docker command: what it prints."""
        done = subprocess.run(self._host.command("/usr/bin/docker", "--host", self._socket, *words), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout)
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def pull(self, name, image):
        """Pulls it anew, and compares what it keeps with the image."""
        self.run("pull", "--quiet", name)
        config, digests = self.run("image", "inspect", "--format", "{{.Id}} {{.RepoDigests}}", name).split(" ", 1)
        assert config == image.config["digest"]
        assert f"@{image.digest}" in digests
        _check_files(self._folder / "root/vfs", image)

    def remove(self, *names):
        self.run("image", "rm", *names)

    def close(self):
        process.stop(self._process, timeout=30)
        self._short.cleanup()
