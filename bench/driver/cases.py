"""The cases. Each takes a server, does its work once, and says how much work it was."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

from .client import PIECE_BYTES

GIB = 1024**3
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Content:
    """One random blob in memory, and a small image whose config it is not."""

    def __init__(self, size_bytes):
        piece = os.urandom(PIECE_BYTES)
        self.size_bytes = size_bytes - size_bytes % PIECE_BYTES
        self.pieces = [piece] * (self.size_bytes // PIECE_BYTES)
        digest = hashlib.sha256()
        for each in self.pieces:
            digest.update(each)
        self.digest = "sha256:" + digest.hexdigest()


def put_blob(server, content):
    client = server.client
    headers = client.authorization(server)
    client.put_blob(server.repository, content.digest, content.pieces, content.size_bytes, headers)
    client.close()


def get_blob(server, content):
    client = server.client
    headers = client.authorization(server)
    target = f"/v2/{server.repository}/blobs/{content.digest}"
    length = client.get_blob(target, headers, bytearray(PIECE_BYTES))
    if length != content.size_bytes:
        raise SystemExit(f"the blob came with {length} bytes")
    client.close()


def push_image(server):
    """A small image under the tag `v1`, for the HEAD case."""
    push_images(server, 1)


def push_images(server, count):
    """Small images with one config, under the tags `v1` and on; each is another manifest."""
    client = server.client
    headers = client.authorization(server)
    config = b"{}"
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    client.put_blob(server.repository, digest, [config], len(config), headers)
    descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": descriptor, "layers": []}
    headers = {**headers, "Content-Type": MANIFEST_TYPE}
    for n in range(1, count + 1):
        body = json.dumps({**manifest, "annotations": {"n": str(n)}}).encode()
        client.request("PUT", f"/v2/{server.repository}/manifests/v{n}", headers, body, expect=(201,))


def head_manifests(server, count, connections=8):
    client = server.client
    headers = {**client.authorization(server), "Accept": MANIFEST_TYPE}
    target = f"/v2/{server.repository}/manifests/v1"
    _spread(count, connections, client, lambda: client.request("HEAD", target, headers))


def tokens(server, count, connections=8):
    client = server.client
    service, scope = client.service(), server.scope()
    client.token(scope, service)
    _spread(count, connections, client, lambda: client.token(scope, service))


def blobs_at_once(server, content, count):
    """Half of them up, half of them down."""
    with ThreadPoolExecutor(count) as pool:
        work = [put_blob if n % 2 else get_blob for n in range(count)]
        for future in [pool.submit(each, server, content) for each in work]:
            future.result()


def _spread(count, connections, client, request):
    def share(_n):
        for _ in range(count // connections):
            request()
        client.close()

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(share, range(connections)))
