"""A stand-in for Docker Hub, under its names and as strict: a registry that wants a token for each repository, the issuer
of those tokens, and a content network that wants none."""

import hashlib
import json
import re
import secrets
import threading
import time
import urllib.parse

from .registries import Server, certificates

REGISTRY, ISSUER, CONTENT = "registry-1.docker.io", "auth.docker.io", "production.cloudflare.docker.com"
_ADDRESSES = {REGISTRY: "10.77.0.5", ISSUER: "10.77.0.6", CONTENT: "10.77.0.7"}


class _Part(Server):
    """One of its servers, on port 443 of an address of its own."""

    def __init__(self, hub, host, name, answer):
        self.answer = answer
        super().__init__(host, _ADDRESSES[name], 443, hub.tls)


class Hub:
    """`left`: manifests that it gives before it says 429; HEAD does not count.  `asked`: (host, method, path);
    `scopes`: what tokens were asked for; `trouble`: what the real one would not put up with."""

    def __init__(self, lab, host):
        self.left = self._limit = 100
        self.asked, self.scopes, self.trouble = [], set(), []
        self._blobs, self._manifests, self._tokens = {}, {}, {}
        self._secret, self._lock = secrets.token_hex(8), threading.Lock()
        for address in set(_ADDRESSES.values()) - set(host.addresses()):
            host.add_address(f"{address}/24")
        lab.host.knows(_ADDRESSES)
        self.tls = certificates(lab.folder, *_ADDRESSES)
        self._parts = [_Part(self, host, name, answer) for name, answer in
                       ((REGISTRY, self._registry), (ISSUER, self._issuer), (CONTENT, self._content))]

    def close(self):
        for part in self._parts:
            part.close()
        self._parts = []

    # What images.Image puts into a registry.
    def blob(self, repository, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self._blobs[digest] = content
        return {"digest": digest, "size": len(content)}

    def manifest(self, repository, reference, document, kind="application/vnd.oci.image.manifest.v1+json"):
        text = json.dumps({"schemaVersion": 2, "mediaType": kind, **document}).encode()
        digest = "sha256:" + hashlib.sha256(text).hexdigest()
        for each in (reference, digest):
            self._manifests[repository, each] = kind, text
        return {"mediaType": kind, "digest": digest, "size": len(text)}

    def blobs_sent(self):
        return sorted("sha256:" + re.search(r"/([0-9a-f]{64})/data", path)[1]
                      for name, method, path in self.asked if name == CONTENT and method == "GET")

    def _wrong(self, handler, status, why):
        """Something that Docker Hub or its content network would not put up with."""
        self.trouble.append(f"{handler.command} {handler.path}: {why}")
        return Server.reply(handler, status, why.encode())

    def _issuer(self, handler):
        self.asked.append((ISSUER, handler.command, handler.path))
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query)
        scope = re.fullmatch(r"repository:([a-z0-9._/-]+):pull", query.get("scope", [""])[0])
        if query.get("service") != ["registry.docker.io"] or not scope:
            return self._wrong(handler, 400, "no service or scope")
        self.scopes.add(scope[0])
        token = secrets.token_urlsafe(900)  # they are that long
        self._tokens[token] = scope[1], time.monotonic() + 300
        return Server.reply(handler, 200, json.dumps({"token": token, "access_token": token, "expires_in": 300}).encode(),
                            Content_Type="application/json")

    def _registry(self, handler):
        self.asked.append((REGISTRY, handler.command, handler.path))
        fields = {"Docker_Distribution_Api_Version": "registry/2.0", "Content_Type": "application/json"}
        found = re.fullmatch(r"/v2/([a-z0-9._/-]+)/(manifests|blobs)/([^/?]+)", handler.path)
        name, kind, reference = found.groups() if found else ("", "", "")
        scheme, _, token = handler.headers.get("Authorization", "").partition(" ")
        held, until = self._tokens.get(token, ("", 0))
        # As there, nothing has a name of one component, and nobody may read what is not there.
        known = "/" in name and any(repository == name for repository, _ in self._manifests)
        if scheme != "Bearer" or held != name or until < time.monotonic() or not known:
            scope = f',scope="repository:{name}:pull"' if name else ""
            more = ',error="insufficient_scope"' if token else ""
            body = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}).encode()
            return Server.reply(handler, 401, body, WWW_Authenticate=(
                f'Bearer realm="https://{ISSUER}/token",service="registry.docker.io"{scope}{more}'), **fields)
        if kind == "blobs":
            if reference not in self._blobs:
                return Server.reply(handler, 404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}', **fields)
            place = f"/registry-v2/docker/registry/v2/blobs/sha256/{reference[7:9]}/{reference[7:]}/data"
            return Server.reply(handler, 307, Location=f"https://{CONTENT}{place}?verify={self._sign(place)}", **fields)
        return self._answer_manifest(handler, name, reference, fields)

    def _answer_manifest(self, handler, name, reference, fields):
        media_type, text = self._manifests.get((name, reference), (None, None))
        if text is None:
            return Server.reply(handler, 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', **fields)
        if media_type not in handler.headers.get("Accept", ""):
            return self._wrong(handler, 404, f"{media_type} is not accepted")
        with self._lock:
            refused = handler.command == "GET" and self.left == 0
            self.left -= handler.command == "GET" and not refused
        fields.update(RateLimit_Limit=f"{self._limit};w=21600", RateLimit_Remaining=f"{self.left};w=21600",
                      Docker_RateLimit_Source="203.0.113.7")
        if refused:
            body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}'
            return Server.reply(handler, 429, body, Retry_After="600", **fields)
        fields.update(Content_Type=media_type, Docker_Content_Digest="sha256:" + hashlib.sha256(text).hexdigest())
        return Server.reply(handler, 200, text, **fields)

    def _sign(self, place):
        return hashlib.sha256(f"{self._secret}{place}".encode()).hexdigest()

    def _content(self, handler):
        self.asked.append((CONTENT, handler.command, handler.path))
        place, _, query = handler.path.partition("?")
        if "Authorization" in handler.headers:
            return self._wrong(handler, 400, "only one way of authentication is allowed")
        if query != f"verify={self._sign(place)}":
            return self._wrong(handler, 403, "the signature is wrong")
        content = self._blobs["sha256:" + place.split("/")[-2]]
        first = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if first and int(first[1]) < len(content):
            start = int(first[1])
            return Server.reply(handler, 206, content[start:], Content_Type="application/octet-stream",
                                Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}")
        return Server.reply(handler, 200, content, Content_Type="application/octet-stream", Accept_Ranges="bytes")
