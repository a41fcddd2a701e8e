"""A machine that pulls by skopeo and asks by curl; what an upstream of Debian's docker-registry has sent, and what a cache
holds."""

import json
import re
import subprocess

from . import bastion

PORT = f"{bastion.ADDRESS}:5050"  # of the first registry
ALL = f"{bastion.ADDRESS}:5000"  # of all of them
UPSTREAM = "10.77.0.5"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Node:
    """A machine that pulls."""

    def __init__(self, lab, name="node", address="10.77.0.9"):
        self.host = lab.network.host(name, f"{address}/24")
        self._folder = lab.folder / name
        self._folder.mkdir()
        self._pulls = 0

    def start_pull(self, image, *options):
        self._pulls += 1
        folder = self._folder / f"pull-{self._pulls}"
        process = self.host.popen("skopeo", "--insecure-policy", *options, "copy", "--src-tls-verify=false",
                                  f"docker://{image}", f"dir:{folder}", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        return process, folder

    def start_fetch(self, image):
        """curl fetches a manifest and its blobs, all at a time, into a folder such as skopeo makes."""
        self._pulls += 1
        folder = self._folder / f"pull-{self._pulls}"
        base = f"http://{PORT}/v2/{image.repository}"
        files = {folder / "manifest.json": f"{base}/manifests/{image.tag}"}
        files.update({folder / digest.split(":")[1]: f"{base}/blobs/{digest}" for digest in image.blobs})
        process = self.host.popen("curl", "-sSf", "-m", "300", "--create-dirs", "--parallel", "--parallel-immediate",
                                  *(word for path, url in files.items() for word in ("-o", path, url)),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return process, folder

    def pull(self, image, *options, timeout=120):
        """The folder with what skopeo fetched, each part of which it has compared with its digest."""
        process, folder = self.start_pull(image, *options)
        out, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, out
        return folder

    def pull_fails(self, image, *options, timeout=120):
        process, _ = self.start_pull(image, *options)
        out, _ = process.communicate(timeout=timeout)
        assert process.returncode != 0, out
        return out

    def curl(self, path, *options, base=PORT, timeout=60):
        done = subprocess.run(self.host.command("curl", "-sS", "-i", "-m", str(timeout), *options, f"http://{base}{path}"),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout + 10)
        assert done.returncode == 0, done.stderr.decode()
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 1"):
            head, _, body = body.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return Answer(int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body)


def sent(upstream):
    """Every answer of the upstream with a blob in it: digest and status."""
    return [(match["digest"], int(match["status"]))
            for match in re.finditer(r'"GET /v2/\S+/blobs/(?P<digest>sha256:\w+) HTTP/[\d.]+" (?P<status>\d+)', upstream.log())]


def whole(node, path, content):
    got = node.curl(path)
    return got.status == 200 and got.body == content


def blob_files(lab, cache="registry"):
    return [path for path in (lab.state / cache / "blobs").rglob("*") if path.is_file()]
