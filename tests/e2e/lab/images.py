"""Container images for the tests of the registry cache, pushed to a sources.Registry: layers of random bytes."""

import functools
import gzip
import hashlib
import io
import json
import random
import tarfile

_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def _data(seed, size):
    source, most = random.Random(seed), 128 << 20  # it makes less than 256 MiB at a time
    return b"".join(source.randbytes(min(most, size - at)) for at in range(0, size, most))


def layer(seed, size):
    """A gzipped tar with one file of random bytes, and the digest of the tar itself, which a config names."""
    content = _data(seed, size)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        entry = tarfile.TarInfo(f"data-{seed}")
        entry.size = size
        tar.addfile(entry, io.BytesIO(content))
    text = plain.getvalue()
    return gzip.compress(text, compresslevel=0, mtime=0), "sha256:" + hashlib.sha256(text).hexdigest()


class Image:
    """One image as it was pushed: its manifest's descriptor, and every blob of it by digest."""

    def __init__(self, registry, repository, tag, sizes, seed=1, architecture="amd64"):
        self.repository, self.tag, self.blobs, self._packed = repository, tag, {}, []
        layers, diffs = [], []
        for number, size in enumerate(sizes):
            name = f"{seed}-{number}"
            content, diff = layer(name, size)
            layers.append({"mediaType": _LAYER, **self._push(registry, content)})
            diffs.append(diff)
            self._packed.append((name, size))
        config = {"architecture": architecture, "os": "linux", "config": {"Cmd": ["/data"]},
                  "rootfs": {"type": "layers", "diff_ids": diffs}}
        self.config = {"mediaType": _CONFIG, **self._push(registry, json.dumps(config).encode())}
        self.layers = layers
        self.manifest = registry.manifest(repository, tag, {"config": self.config, "layers": layers})
        self.digest = self.manifest["digest"]

    def _push(self, registry, content):
        descriptor = registry.blob(self.repository, content)
        self.blobs[descriptor["digest"]] = content
        return descriptor

    @functools.cached_property
    def files(self):
        """The digest of every file in its layers, by name."""
        return {f"data-{name}": hashlib.sha256(_data(name, size)).hexdigest() for name, size in self._packed}

    @property
    def size(self):
        return sum(len(content) for content in self.blobs.values())


def index(registry, repository, tag, images):
    """An image for several architectures."""
    return registry.manifest(repository, tag, {"manifests": [
        {**image.manifest, "platform": {"os": "linux", "architecture": architecture}}
        for architecture, image in images.items()]}, INDEX)


def check_folder(folder, image):
    """What skopeo left in a dir: folder is the image, byte for byte."""
    for digest, content in image.blobs.items():
        path = folder / digest.split(":")[1]
        assert path.read_bytes() == content, f"{digest} came back with other content"
    return True
