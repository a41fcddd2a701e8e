"""Registries that are more than a folder of images: one behind TLS and tokens, and one that has faults."""

import base64
import hashlib
import http.server
import json
import pathlib
import re
import ssl
import subprocess
import threading
import time
import urllib.parse

from . import netns, process


def certificates(folder, *names):
    """A CA, and a certificate of its for names or addresses: {"ca", "cert", "key"}."""
    folder = pathlib.Path(folder) / "tls"
    folder.mkdir(exist_ok=True)

    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    paths = {name: folder / f"{name}.pem" for name in ("ca", "ca_key", "cert", "key", "request", "extension")}
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab CA", "-keyout", paths["ca_key"],
            "-out", paths["ca"])
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=registry", "-keyout", paths["key"], "-out",
            paths["request"])
    names = [f"{'IP' if name[-1].isdigit() else 'DNS'}:{name}" for name in names]
    paths["extension"].write_text(f"subjectAltName={','.join(names)}\n")
    openssl("x509", "-req", "-in", paths["request"], "-CA", paths["ca"], "-CAkey", paths["ca_key"], "-CAcreateserial",
            "-days", "2", "-extfile", paths["extension"], "-out", paths["cert"])
    return paths


class Server:
    """An HTTP/1.1 server in a host's namespace; every request goes to self.answer(handler)."""

    def __init__(self, host, address, port, tls=None):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def do_GET(self):
                outer.answer(self)

            def do_HEAD(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            request_queue_size = 128

        with netns.inside(host.name):
            self._server = Listener((address, port), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls["cert"], tls["key"])
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @staticmethod
    def reply(handler, status, body=b"", **fields):
        handler.send_response(status)
        for name, value in fields.items():
            handler.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in fields:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)


class Issuer(Server):
    """Gives tokens that docker-registry takes (distribution's token specification), to who knows the password when one
    is set.  `asked`: the scopes."""

    def __init__(self, host, folder, address, port, tls, password=None):
        self.asked, self.refused, self._password, self._tls = [], 0, password, tls
        der = subprocess.run(["openssl", "x509", "-in", tls["cert"], "-outform", "DER"], check=True, stdout=subprocess.PIPE)
        self._header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der.stdout).decode()]}
        self._folder = pathlib.Path(folder)
        super().__init__(host, address, port, tls)

    def answer(self, handler):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query)
        if self._password:
            expected = "Basic " + base64.b64encode(self._password.encode()).decode()
            if handler.headers.get("Authorization") != expected:
                self.refused += 1
                return self.reply(handler, 401, b"{}")
        [scope] = query["scope"]
        self.asked.append(scope)
        kind, name, actions = scope.split(":")
        now = int(time.time())
        claims = {"iss": "lab", "sub": "", "aud": query["service"][0], "exp": now + 300, "nbf": now - 60, "iat": now,
                  "jti": str(len(self.asked)), "access": [{"type": kind, "name": name, "actions": actions.split(",")}]}
        signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (self._header, claims))
        done = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self._tls["key"]], input=signed, check=True,
                              stdout=subprocess.PIPE)
        token = (signed + b"." + base64.urlsafe_b64encode(done.stdout).rstrip(b"=")).decode()
        return self.reply(handler, 200, json.dumps({"token": token, "expires_in": 300}).encode())


class Secure:
    """docker-registry over the folder of a sources.Registry, behind TLS and an Issuer's tokens."""

    def __init__(self, host, folder, data, address, port, tls, realm):
        self._log = pathlib.Path(folder) / "secure.log"
        config = pathlib.Path(folder) / "secure.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {data}}}}}\n"
            f"http: {{addr: '{address}:{port}', secret: lab, tls: {{certificate: {tls['cert']}, key: {tls['key']}}}}}\n"
            f"auth: {{token: {{realm: '{realm}', service: lab-registry, issuer: lab, rootcertbundle: {tls['ca']}}}}}\n")
        with open(self._log, "ab") as log:
            self._process = host.popen("docker-registry", "serve", config, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while "listening on" not in self.log():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self):
        return self._log.read_text(errors="replace")

    def close(self):
        if self._process.poll() is None:
            process.kill_group(self._process)
            self._process.wait(10)


class Faulty(Server):
    """A registry of ours with one image, whose answers a test spoils: `faults` is a list of functions of (handler,
    path); the first that returns something else than None has answered.  `asked`: (method, path, range)."""

    def __init__(self, host, address, port=5000):
        self.blobs, self.manifests, self.faults, self.asked = {}, {}, [], []
        super().__init__(host, address, port)

    def image(self, sizes, tag="v1", seed=1):
        """Random layers under a manifest; the digests of the layers."""
        from .images import layer
        descriptors = []
        for number, size in enumerate(sizes):
            content, _ = layer(f"{seed}-{number}", size)
            descriptors.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **self.put(content)})
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", **self.put(b'{"architecture":"amd64","os":"linux"}')}
        text = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                           "layers": descriptors}).encode()
        self.manifests[tag] = self.manifests["sha256:" + hashlib.sha256(text).hexdigest()] = text
        return [each["digest"] for each in descriptors]

    def put(self, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return {"digest": digest, "size": len(content)}

    def count(self, digest, method="GET"):
        return len([1 for how, path, _ in self.asked if how == method and path.endswith(digest)])

    def answer(self, handler):
        path = handler.path
        wanted = handler.headers.get("Range", "")
        self.asked.append((handler.command, path, wanted))
        for fault in list(self.faults):
            if fault(handler, path) is not None:
                return None
        found = re.fullmatch(r"/v2/team/app/(manifests|blobs)/(.+)", path)
        store = (self.manifests if found[1] == "manifests" else self.blobs) if found else {}
        content = store.get(found[2]) if found else None
        if content is None:
            return self.reply(handler, 404, b'{"errors":[]}')
        fields = {"Docker_Content_Digest": "sha256:" + hashlib.sha256(content).hexdigest()}
        if found[1] == "manifests":
            fields["Content_Type"] = "application/vnd.oci.image.manifest.v1+json"
        first = re.fullmatch(r"bytes=(\d+)-", wanted)
        if first and int(first[1]) < len(content):
            start = int(first[1])
            return self.reply(handler, 206, content[start:], Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}",
                              **fields)
        return self.reply(handler, 200, content, **fields)

    def once(self, digest, what):
        """The next GET of a blob is answered by `what`(handler, content)."""
        def fault(handler, path):
            if handler.command != "GET" or not path.endswith(digest):
                return None
            self.faults.remove(fault)
            what(handler, self.blobs.get(digest))
            return True
        self.faults.append(fault)

    def cut_after(self, digest, count):
        """The connection ends after so many bytes of the blob, once."""
        def what(handler, content):
            first = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
            start = int(first[1]) if first else 0
            handler.send_response(206 if first else 200)
            if first:
                handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            handler.send_header("Content-Length", str(len(content) - start))
            handler.end_headers()
            handler.wfile.write(content[start:start + count])
            handler.close_connection = True
        self.once(digest, what)

    def hold(self, digest, count):
        """The blob stops after so many bytes until the returned event is set, once."""
        go = threading.Event()

        def what(handler, content):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content[:count])
            handler.wfile.flush()
            go.wait(60)
            handler.wfile.write(content[count:])
        self.once(digest, what)
        return go

    def unmeasured(self, digest=None, cut=None, spoil=False):
        """From now on no blob's answer, or not that blob's, says how long it is: it comes in chunks, and a Range is left out
        of account. Once it breaks off after `cut` bytes, and ranges are understood then. `spoil`: its last byte is wrong.
        A list with one element: how many bytes have left."""
        left, sent = [cut], [0]

        def fault(handler, path):
            content = self.blobs.get(path.rpartition("/")[2])
            if handler.command != "GET" or content is None or (digest and not path.endswith(digest)):
                return None
            if cut and left[0] is None:
                return None
            content = content[:-1] + bytes([content[-1] ^ 1]) if spoil else content
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            end, left[0] = left[0] or len(content), None
            try:
                for at in range(0, end, 50_000):
                    piece = content[at:min(at + 50_000, end)]
                    handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    sent[0] += len(piece)
                if end == len(content):
                    handler.wfile.write(b"0\r\n\r\n")
                else:
                    handler.close_connection = True
            except OSError:
                handler.close_connection = True
            return True
        self.faults.append(fault)
        return sent
