"""A registry cache: an image pulled cold and warm by four clients at once, its manifest and its blobs over and over.

The upstream is Debian's docker-registry in the clients' namespace, so that its processor time is nobody's; its own log
says what it sent.  nginx serves the same blobs from a folder: what a warm blob costs without a registry around it.  The
reflector answers as many requests with 1 KiB each, and sends a file of the size of the largest layer.

What is asked of a warm cache is asked of all servers in short turns, while all of them run: each turn is a round, and
its ratios are of the same seconds."""

import contextlib
import re
import shutil
import subprocess
import time

from kit import probe, servers
from kit.cable import CLIENT, SERVER
from kit.rows import Row, at_most, at_most_of_floor, at_most_of_peer
from kit.turns import Turns, run
from lab import images, sources

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


_PORTS = {"netlab": 5050, "docker-registry": 5051, "nginx": 8080, "floor": 8081}


def _docker_registry(upstream):
    """docker-registry in proxy mode."""
    def make(folder):
        config = folder / "config.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '{SERVER}:{_PORTS['docker-registry']}', secret: bench}}\nproxy: {{remoteurl: 'http://{upstream}'}}\n")
        return [[servers.program("docker-registry", package="docker-registry"), "serve", str(config)]], {}
    return servers.Kind("docker-registry", make)


class Bench:
    def __init__(self, cable, setting, upstream, image):
        self._cable, self._setting, self._upstream, self._image = cable, setting, upstream, image
        self.cold = Row("cold, four clients at once", "s", "lower")
        self.cold_cpu = Row("cold, processor", "s/GB", "lower")
        self.ratio = Row("cold, sent by the upstream", "images", "lower", [at_most(1.0)])
        self.warm = Row("warm, four clients at once", "s", "lower")
        self.tag = Row("manifest by tag", "1/s", "higher", paired=True)
        # 7 us on a machine whose reflector takes 3.3 (as for the rows of HTTP).
        goals = [at_most(7), at_most_of_floor(2.12)]
        self.tag_cpu = Row("manifest by tag, processor", "us/request", "lower", goals, paired=True)
        self.digest = Row("manifest by digest", "1/s", "higher", paired=True)
        self.digest_cpu = Row("manifest by digest, processor", "us/request", "lower", goals, paired=True)
        self.asked = Row("upstream asked for warm manifests", "requests", "lower", [at_most(0)])
        self.blobs = Row("warm blobs", "MB/s", "higher", paired=True)
        # Nearly all of it is the kernel's: equal means within a quarter.
        self.blobs_cpu = Row("warm blobs, processor", "s/GB", "lower", [at_most(0.07), at_most_of_peer(1.25)], paired=True)
        self.memory = Row("memory after the load", "MiB", "lower", [at_most_of_peer(1.0)])
        self.rows = [self.cold, self.cold_cpu, self.ratio, self.warm, self.tag, self.tag_cpu, self.digest,
                     self.digest_cpu, self.asked, self.blobs, self.blobs_cpu, self.memory]

    def _pull(self, port, folder):
        skopeo = servers.program("skopeo", package="skopeo")
        shutil.rmtree(folder, ignore_errors=True)
        begun = time.monotonic()
        pulls = [subprocess.Popen(self._cable.client.command(
            skopeo, "--insecure-policy", "copy", "--src-tls-verify=false", f"docker://{SERVER}:{port}/team/app:v1",
            f"dir:{folder}-{number}"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for number in range(4)]
        texts = [(pull.communicate(timeout=300)[0], pull.returncode) for pull in pulls]
        seconds = time.monotonic() - begun
        for number, (text, code) in enumerate(texts):
            if code:
                raise RuntimeError(f"skopeo ended with {code}: {text.strip()[-300:]}")
            images.check_folder(folder.with_name(f"{folder.name}-{number}"), self._image)
            shutil.rmtree(folder.with_name(f"{folder.name}-{number}"))
        return seconds

    def _sent(self):
        """Bytes of blobs in the upstream's access log, and how many requests it has answered."""
        lines = re.findall(r'"(?:GET|HEAD) (/v2/\S*) HTTP/1.1" \d+ (\d+)', self._upstream.log())
        return sum(int(size) for path, size in lines if "/blobs/" in path), len(lines)

    def _manifest(self, kind, server, url, rate, cpu):
        before = server.usage.cpu_seconds()
        text = run(self._cable.client, servers.program("wrk", package="wrk"), "-t1", "-c32", "-d1s", "-H",
                   f"Accept: {_MANIFEST}", url, seconds=20)
        spent = server.usage.cpu_seconds() - before
        if bad := re.search(r"Non-2xx or 3xx responses: \d+", text):
            raise RuntimeError(f"wrk: {bad[0]}")
        requests = int(re.search(r"(\d+) requests in", text)[1])
        rate.add(kind.name, float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]))
        cpu.add(kind.name, 1e6 * spent / requests)

    def _blobs(self, kind, server, files):
        """`files`: pairs of a URL and its size."""
        times = 1 if self._setting.quick else 3
        curl = servers.program("curl", package="curl")
        urls = " ".join(f"-o /dev/null {url}" for url, _ in files) + " "
        before, begun = server.usage.cpu_seconds(), time.monotonic()
        one = f"{curl} -sS -w '%{{http_code}} %{{size_download}}\\n' {urls * times}"
        text = run(self._cable.client, "/bin/sh", "-c", f"for i in 1 2 3 4; do {one} & done; wait", seconds=120)
        seconds = time.monotonic() - begun
        answers = [line.split() for line in text.splitlines()]
        total = sum(int(size) for _, size in answers)
        whole = sum(size for _, size in files) * times * 4
        if {code for code, _ in answers} != {"200"} or total != whole:
            raise RuntimeError(f"not every blob came whole: {answers[:3]}")
        self.blobs.add(kind.name, total / seconds / 1e6)
        self.blobs_cpu.add(kind.name, (server.usage.cpu_seconds() - before) / (total / 1e9))

    def registry(self, kind, folder):
        """Cold and warm pulls, one server after the other: they are of minutes and of all processors."""
        port = _PORTS[kind.name]
        server = kind.start(self._cable, folder / kind.name, [probe.Http("/v2/", port)])
        try:
            sent, cpu = self._sent()[0], server.usage.cpu_seconds()
            self.cold.add(kind.name, self._pull(port, folder / "pull"))
            self.cold_cpu.add(kind.name, (server.usage.cpu_seconds() - cpu) / (4 * self._image.size / 1e9))
            self.ratio.add(kind.name, round((self._sent()[0] - sent) / self._image.size, 2))
            self.warm.add(kind.name, self._pull(port, folder / "pull"))
        finally:
            server.stop()

    def warm_up(self, port):
        base = f"http://{SERVER}:{port}/v2/team/app"
        urls = [f"{base}/manifests/v1", *(f"{base}/blobs/{each['digest']}" for each in self._image.layers)]
        run(self._cable.client, servers.program("curl", package="curl"), "-sSf", "-H", f"Accept: {_MANIFEST}",
            *(word for url in urls for word in ("-o", "/dev/null", url)), seconds=120)

    def small_and_large(self, kind, server, port):
        base, layers = f"http://{SERVER}:{port}", self._image.layers
        if kind.name == "floor":
            for rate, cpu in ((self.tag, self.tag_cpu), (self.digest, self.digest_cpu)):
                self._manifest(kind, server, f"{base}/1k", rate, cpu)
            return self._blobs(kind, server, [(f"{base}/64m", layers[0]["size"])] * 3)
        if kind.name == "nginx":
            return self._blobs(kind, server, [(f"{base}/{each['digest']}", each["size"]) for each in layers])
        asked = self._sent()[1]
        base += "/v2/team/app"
        self._manifest(kind, server, f"{base}/manifests/v1", self.tag, self.tag_cpu)
        self._manifest(kind, server, f"{base}/manifests/{self._image.digest}", self.digest, self.digest_cpu)
        self.asked.add(kind.name, self._sent()[1] - asked)
        return self._blobs(kind, server, [(f"{base}/blobs/{each['digest']}", each["size"]) for each in layers])


def measure(cable, setting):
    folder = setting.folder / "registry"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        (folder / "upstream").mkdir()
        upstream = sources.Registry(cable.client, folder / "upstream", CLIENT)
        stack.callback(upstream.close)
        sizes = [8 << 20, 1 << 20] if setting.quick else [64 << 20, 48 << 20, 40 << 20, 32 << 20, 12 << 20, 4 << 20]
        image = images.Image(upstream, "team/app", "v1", sizes)
        root = folder / "files"
        root.mkdir()
        (root / "probe").write_bytes(b"probe")
        for layer in image.layers:
            (root / layer["digest"]).write_bytes(image.blobs[layer["digest"]])
        largest = root / image.layers[0]["digest"]
        reflector = servers.floor(setting.tools, "http", address=SERVER, port=_PORTS["floor"], file=largest)
        kinds = [_docker_registry(f"{CLIENT}:5000"), servers.nginx(root), reflector]
        if setting.netlab:
            kinds.insert(0, servers.netlab(setting.netlab, "registry", upstream=f"http://{CLIENT}:5000"))
        bench = Bench(cable, setting, upstream, image)
        turns = Turns(kinds, setting.rounds, bench.rows)
        registries = [kind.name for kind in kinds if kind.name not in ("nginx", "floor")]
        turns.each(lambda kind: bench.registry(kind, folder), only=registries)
        running = {}

        def start(kind):
            server = kind.start(cable, folder / kind.name, [probe.Http("/v2/", _PORTS[kind.name])])
            running[kind.name] = server, _PORTS[kind.name]
            stack.callback(server.stop)
            if kind.name in registries:
                bench.warm_up(_PORTS[kind.name])
        turns.each(start, rounds=1)
        turns.each(lambda kind: bench.small_and_large(kind, *running[kind.name]), rounds=1 if setting.quick else 3 * setting.rounds)
        for name in registries:
            if name not in turns.failed:
                bench.memory.add(name, running[name][0].usage.memory()["rss"])
        stack.close()
        shutil.rmtree(folder / "upstream", ignore_errors=True)
    return [("registry", turns)]
