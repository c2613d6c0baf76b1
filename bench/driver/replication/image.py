"""Images of random layers, and how they are pushed."""

import hashlib
import json
import os
import time

from ..cases import MANIFEST_TYPE

PACED_BYTES = 64 * 1024


class Blob:
    def __init__(self, content, media_type):
        self.content = content
        self.digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.media_type = media_type

    def descriptor(self):
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


class Image:
    """A config and layers. Layers are no archives: no registry looks inside."""

    def __init__(self, layers):
        self.layers = layers
        diff_ids = [layer.digest for layer in layers]
        config = {"architecture": "amd64", "os": "linux", "author": os.urandom(8).hex()}
        config["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
        self.config = Blob(
            json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"
        )
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": self.config.descriptor(),
                "layers": [layer.descriptor() for layer in layers],
            }
        ).encode()
        self.digest = "sha256:" + hashlib.sha256(self.manifest).hexdigest()

    @classmethod
    def random(cls, layers, layer_bytes):
        return cls([_layer(layer_bytes) for _ in range(layers)])

    def with_new_layer(self):
        return Image([*self.layers[:-1], _layer(len(self.layers[-1].content))])

    def blobs(self):
        return [self.config, *self.layers]


def _layer(size_bytes):
    return Blob(os.urandom(size_bytes), "application/vnd.oci.image.layer.v1.tar")


def push(client, repository, tag, image, headers, known=(), mib_per_second=None):
    """Blobs that are not `known`, one after the other, then the manifest; as fast as it goes, or
    at the pace of a client's line."""
    for blob in image.blobs():
        if blob not in known:
            pieces = _paced(blob.content, mib_per_second) if mib_per_second else [blob.content]
            client.put_blob(repository, blob.digest, pieces, len(blob.content), headers)
    put_manifest(client, repository, tag, image, headers)


def _paced(content, mib_per_second):
    start = time.monotonic()
    for at in range(0, len(content), PACED_BYTES):
        due = start + at / (mib_per_second * 1024 * 1024)
        time.sleep(max(0, due - time.monotonic()))
        yield content[at:at + PACED_BYTES]


def put_manifest(client, repository, tag, image, headers):
    headers = {**headers, "Content-Type": MANIFEST_TYPE}
    client.request(
        "PUT", f"/v2/{repository}/manifests/{tag}", headers, image.manifest, expect=(201,)
    )
