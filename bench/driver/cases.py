"""The work of the cases. Each function takes a server and does its work once."""

import hashlib
import json
import multiprocessing
import os
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from .client import PIECE_BYTES

MIB = 1024**2
GIB = 1024**3
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
EMPTY_CONFIG = b"{}"
EMPTY_DIGEST = "sha256:" + hashlib.sha256(EMPTY_CONFIG).hexdigest()
CONNECTIONS = 8


class Content:
    """One random blob in memory."""

    def __init__(self, size_bytes):
        self.piece = os.urandom(min(PIECE_BYTES, size_bytes))
        self.count = size_bytes // len(self.piece)
        self.size_bytes = self.count * len(self.piece)
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        self.digest = "sha256:" + digest.hexdigest()

    def pieces(self):
        for _ in range(self.count):
            yield self.piece


def put_blob(server, content):
    client = server.client
    headers = client.authorization(server)
    client.put_blob(server.repository, content.digest, content.pieces(), content.size_bytes, headers)
    client.close()


def put_blob_in_chunks(server, content, chunk_bytes=16 * MIB):
    """As containerd's and older clients' uploads: PATCH after PATCH, then an empty PUT."""
    client = server.client
    headers = client.authorization(server)
    location = client.begin_upload(server.repository, headers)
    pieces = chunk_bytes // len(content.piece)
    for first in range(0, content.count, pieces):
        count = min(pieces, content.count - first)
        size = count * len(content.piece)
        begin = first * len(content.piece)
        more = {**headers, "Content-Range": f"{begin}-{begin + size - 1}"}
        answer = client.send("PATCH", location, [content.piece] * count, size, more, expect=202)
        location = client.target_of(answer)
    client.send("PUT", client.with_digest(location, content.digest), [], 0, headers, expect=201)
    client.close()


def get_blob(server, content):
    client = server.client
    headers = client.authorization(server)
    target = f"/v2/{server.repository}/blobs/{content.digest}"
    length = client.get_blob(target, headers, bytearray(PIECE_BYTES))
    if length != content.size_bytes:
        raise SystemExit(f"the blob came with {length} bytes")
    client.close()


def push_images(server, count):
    """Small images with one config, under the tags `v1` and on; each is another manifest."""
    client = server.client
    headers = client.authorization(server)
    config = EMPTY_CONFIG
    client.put_blob(server.repository, EMPTY_DIGEST, [config], len(config), headers)
    for n in range(1, count + 1):
        put_manifest(server, f"v{n}", [], {"n": str(n)})


def put_manifest(server, tag, layers, annotations):
    """A manifest with the empty config, over blobs that are there."""
    headers = {**server.client.authorization(server), "Content-Type": MANIFEST_TYPE}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": EMPTY_DIGEST}
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar"}
    body = json.dumps({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {**config, "size": len(EMPTY_CONFIG)},
        "layers": [{**layer, "digest": each.digest, "size": each.size_bytes} for each in layers],
        "annotations": annotations,
    }).encode()
    target = f"/v2/{server.repository}/manifests/{tag}"
    server.client.request("PUT", target, headers, body, expect=(201,))


def repeat(server, method, target, count):
    """The same small request on kept connections, as fast as they are answered."""
    headers = {**server.client.authorization(server), "Accept": MANIFEST_TYPE}
    if method == "GET":
        return _load(server, target, headers, count)
    # h2load waits for the body that a HEAD has not.
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
    request = "\r\n".join([*lines, "", ""]).encode()
    work = (_repeat_on_one_connection, (server, request, count // CONNECTIONS))
    _in_processes(server, [work] * CONNECTIONS)


def _repeat_on_one_connection(server, request, count):
    with server.client.connect() as tls:
        for _ in range(count):
            tls.sendall(request)
            answer = tls.recv(64 * 1024)
            if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"\r\n\r\n"):
                raise SystemExit(f"{server.name} answered {answer[:300]!r}")


def tokens(server, count):
    client = server.client
    query = urlencode({"service": client.service(), "scope": server.scope()})
    client.close()
    _load(server, f"/service/token?{query}", {"Authorization": client.account}, count)


def _load(server, target, headers, count):
    command = ["h2load", "--h1", f"-n{count}", f"-c{CONNECTIONS}", "-t1"]
    for name, value in headers.items():
        command += ["-H", f"{name.lower()}: {value}"]
    command.append(f"https://127.0.0.1:{server.client.port}{target}")
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    if f"status codes: {count} 2xx" not in told:
        raise SystemExit(f"{server.name} did not answer all: {told}")


def latencies(server, method, target, per_second, seconds):
    """Milliseconds each of one request after another, begun at a fixed rate on one connection."""
    client = server.client
    # It was idle for long.
    client.close()
    headers = {**client.authorization(server), "Accept": MANIFEST_TYPE}
    client.request(method, target, headers)
    taken = []
    begin = time.perf_counter()
    for n in range(per_second * seconds):
        due = begin + n / per_second
        time.sleep(max(0, due - time.perf_counter()))
        client.request(method, target, headers)
        # Counted from when it was due: a server that falls behind does not hide it.
        taken.append((time.perf_counter() - due) * 1000)
    client.close()
    return taken


def blobs_at_once(server, content, count):
    """Half of them up, half of them down."""
    with ThreadPoolExecutor(count) as pool:
        work = [put_blob if n % 2 else get_blob for n in range(count)]
        for future in [pool.submit(each, server, content) for each in work]:
            future.result()


class Image:
    """An image of random layers, of one client in a repository of its own."""

    def __init__(self, n, layers, layer_bytes):
        self.suffix = f"-client-{n}"
        self.layers = [Content(layer_bytes) for _ in range(layers)]


def push_at_once(server, images):
    """Each image by a client of its own, one layer after the other; seconds."""
    return _at_once(_push, server, images)


def pull_at_once(server, images):
    return _at_once(_pull, server, images)


def _push(server, image):
    client, repository = server.client, server.repository
    headers = client.authorization(server)
    client.put_blob(repository, EMPTY_DIGEST, [EMPTY_CONFIG], len(EMPTY_CONFIG), headers)
    for layer in image.layers:
        client.put_blob(repository, layer.digest, layer.pieces(), layer.size_bytes, headers)
    put_manifest(server, "v1", image.layers, {})


def _pull(server, image):
    client, repository = server.client, server.repository
    headers = {**client.authorization(server), "Accept": MANIFEST_TYPE}
    client.request("GET", f"/v2/{repository}/manifests/v1", headers)
    buffer = bytearray(PIECE_BYTES)
    for layer in image.layers:
        client.get_blob(f"/v2/{repository}/blobs/{layer.digest}", headers, buffer)


def _at_once(work, server, images):
    start = time.monotonic()
    _in_processes(server, [(work, (server.apart(i.suffix), i)) for i in images])
    return time.monotonic() - start


def _in_processes(server, calls):
    """All at once; in processes, so that Python's lock does not make the clients one."""
    fork = multiprocessing.get_context("fork")
    clients = [fork.Process(target=work, args=arguments) for work, arguments in calls]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
        if client.exitcode != 0:
            raise SystemExit(f"{server.name}: a client failed")


def handshakes(server, count, version, is_resumed):
    """TLS handshakes, each with one request: without it no ticket would have come."""
    context = ssl.create_default_context(cafile=server.client.certificate)
    context.minimum_version = context.maximum_version = version
    session = None
    resumed = 0
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", server.client.port)) as plain:
            # Else the request waits for the other side's delayed acknowledgement.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as tls:
                resumed += bool(tls.session_reused)
                tls.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                while tls.recv(4096):
                    pass
                if is_resumed:
                    session = tls.session
    if is_resumed and resumed < count - 1:
        raise SystemExit(f"{server.name}: {resumed} of {count} handshakes were resumed")


class Idle:
    """Connections that have made one request and stay."""

    def __init__(self, server, count):
        request = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
        self.connections = []
        for _ in range(count):
            tls = server.client.connect()
            tls.sendall(request)
            tls.recv(4096)
            self.connections.append(tls)

    def close(self):
        for connection in self.connections:
            connection.close()


def slow_downloads(server, content, count, seconds):
    """Blobs read at 64 KiB a second each; none comes to its end."""
    headers = server.client.authorization(server)
    target = f"/v2/{server.repository}/blobs/{content.digest}"
    until = time.monotonic() + seconds

    def download():
        with server.client.connect() as tls:
            lines = [f"GET {target} HTTP/1.1", "Host: x"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            tls.sendall("\r\n".join([*lines, "", ""]).encode())
            while time.monotonic() < until:
                for _ in range(4):
                    tls.recv(16 * 1024)
                time.sleep(1)

    threads = [threading.Thread(target=download) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
