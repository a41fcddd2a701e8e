"""Sources of files on a host of the lab: a web server, an Image Factory and a registry, each as strict as the real one.

The web server and the factory are ours, because a test says when they stall, break off, lie or are gone; the registry is
Debian's docker-registry, filled over its own HTTP interface."""

import hashlib
import http.server
import json
import re
import subprocess
import threading
import time
import urllib.request

from . import netns, process


class Page:
    """What is at one path.  `pause_after`: bytes of a response after which it waits for `go`; `break_after`: bytes
    after which the connection ends, once; `etag` None: the server names no edition."""

    def __init__(self, body, etag="auto", status=200):
        self.body = body
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"' if etag == "auto" else etag
        self.status = status
        self.ranges = True
        self.pause_after = self.break_after = None
        self.go = threading.Event()


class Web:
    """An HTTP/1.1 server with ranges and conditions (RFC 9110).  Everything asked of it is in `asked`."""

    def __init__(self, host, address, port=80):
        self.pages = {}
        self.asked = []
        self.base = f"http://{address}" + (f":{port}" if port != 80 else "")
        self._endpoint = (address, port)
        self._host = host
        self._server = None
        self.up()

    def up(self):
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                web.get(self)

            def do_POST(self):
                web.post(self)

            def log_message(self, *_):
                pass

        with netns.inside(self._host.name):
            self._server = http.server.ThreadingHTTPServer(self._endpoint, Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def down(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self):
        for page in self.pages.values():
            page.go.set()
        self.down()

    def requests(self, path):
        return [request for request in self.asked if request["path"] == path]

    def wait(self, condition, what, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s; asked were {self.asked}"
            time.sleep(0.01)

    def answer(self, handler, status, body, headers):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def post(self, handler):
        self.answer(handler, 405, b"", {})

    def get(self, handler):
        asked = {"path": handler.path, "headers": {name.lower(): value for name, value in handler.headers.items()}}
        self.asked.append(asked)
        page = self.pages.get(handler.path)
        if not page:
            return self.answer(handler, 404, b"there is no such file\n", {})
        if page.status != 200:
            return self.answer(handler, page.status, page.body, {})
        headers = {"ETag": page.etag} if page.etag else {}
        fields = asked["headers"]
        if page.etag and fields.get("if-none-match") == page.etag:
            handler.send_response(304)
            handler.send_header("ETag", page.etag)
            handler.end_headers()
            return None
        body, status = page.body, 200
        match = re.fullmatch(r"bytes=(\d+)-", fields.get("range", ""))
        if match and page.ranges and fields.get("if-range", page.etag) == page.etag:
            first = int(match.group(1))
            if first >= len(body):
                return self.answer(handler, 416, b"", {"Content-Range": f"bytes */{len(body)}"})
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
            body, status = body[first:], 206
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            self._send(handler, page, body)
        except OSError:
            handler.close_connection = True
        return None

    @staticmethod
    def _send(handler, page, body):
        if page.break_after is not None:
            count, page.break_after = page.break_after, None
            handler.wfile.write(body[:count])
            handler.close_connection = True
            return
        if page.pause_after is not None:
            count, page.pause_after = page.pause_after, None
            handler.wfile.write(body[:count])
            handler.wfile.flush()
            page.go.wait(120)
            body = body[count:]
        handler.wfile.write(body)


class Factory(Web):
    """An Image Factory: takes schematics as the real one does, and serves what was put into `files` for known ids.

    An unknown field is refused, an id is the SHA-256 of the document, and no image is served for an id that nobody
    posted (siderolabs/image-factory, its README's HTTP interface)."""

    def __init__(self, host, address, port=80):
        self.files = {}  # by (version, file name)
        self.schematics = {}
        super().__init__(host, address, port)

    def post(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.asked.append({"path": handler.path, "body": body.decode(), "headers": dict(handler.headers)})
        if handler.path != "/schematics":
            return self.answer(handler, 404, b"", {})
        try:
            document = json.loads(body)
            self._check(document)
        except (ValueError, KeyError) as error:
            return self.answer(handler, 400, f"yaml: {error}\n".encode(), {})
        name = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        self.schematics[name] = document
        for (version, file), page in self.files.items():
            self.pages[f"/image/{name}/{version}/{file}"] = page
        return self.answer(handler, 201, json.dumps({"id": name}).encode(), {"Content-Type": "application/json"})

    @staticmethod
    def _check(document):
        def only(value, *known):
            for key in value:
                if key not in known:
                    raise ValueError(f"field {key} not found")
        only(document, "overlay", "customization", "owner")
        custom = document["customization"]
        only(custom, "extraKernelArgs", "meta", "systemExtensions", "secureboot", "bootloader", "embeddedMachineConfiguration")
        only(custom.get("systemExtensions", {}), "officialExtensions")
        only(document.get("overlay", {}), "image", "name", "options")


class Registry:
    """Debian's docker-registry on a host of the lab."""

    def __init__(self, host, folder, address, port=5000):
        self._host, self.endpoint = host, f"{address}:{port}"
        self._folder = folder / "registry"
        self._folder.mkdir(exist_ok=True)
        self._config = self._folder / "config.yml"
        self._config.write_text(
            f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {self._folder}/data}}}}\n"
            f"http: {{addr: {self.endpoint}, secret: lab}}\n")
        self._process = None
        self.up()

    def up(self):
        with open(self._folder / "output.log", "ab") as log:
            self._process = self._host.popen("docker-registry", "serve", self._config, stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while self._request("GET", "/v2/")[0] != 200:
            assert self._process.poll() is None and time.monotonic() < deadline, (self._folder / "output.log").read_text()
            time.sleep(0.05)

    def log(self):
        """What it has written so far, its access log included."""
        return (self._folder / "output.log").read_text(errors="replace")

    def down(self):
        process.stop(self._process, timeout=10)

    def close(self):
        if self._process.poll() is None:
            process.kill_group(self._process)
            self._process.wait(10)

    def _request(self, method, path, body=None, headers=None):
        url = path if path.startswith("http") else f"http://{self.endpoint}{path}"
        request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
        with netns.inside(self._host.name):
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as response:
                    return response.status, response.headers, response.read()
            except urllib.error.HTTPError as error:
                return error.code, error.headers, error.read()
            except OSError:
                return 0, {}, b""

    def blob(self, repository, content):
        """Uploads it (distribution-spec, "Pushing blobs"), and returns its descriptor."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        status, headers, _ = self._request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        assert status == 202, status
        place = headers["Location"]
        status, _, text = self._request("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", content,
                                        {"Content-Type": "application/octet-stream"})
        assert status == 201, (status, text)
        return {"digest": digest, "size": len(content)}

    def manifest(self, repository, reference, document, kind="application/vnd.oci.image.manifest.v1+json"):
        text = json.dumps({"schemaVersion": 2, "mediaType": kind, **document}).encode()
        status, _, answer = self._request("PUT", f"/v2/{repository}/manifests/{reference}", text, {"Content-Type": kind})
        assert status == 201, (status, answer)
        return {"mediaType": kind, "digest": "sha256:" + hashlib.sha256(text).hexdigest(), "size": len(text)}
