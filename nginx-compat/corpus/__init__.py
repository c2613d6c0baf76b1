"""The requests that both servers get. A case is a name and, for a protocol or for both, a function from a
server to its answers; what a case makes in the registry is the server's own, for both stand in front of
the same one."""

import base64
import dataclasses
import hashlib
import json
import os

from wire import HOST, digest_of

USER, PASSWORD = os.environ["PARITY_USER"], os.environ["PARITY_PASSWORD"]
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
CREDENTIALS = f"Authorization: {LOGIN}\r\n".encode()
HEAD = b"Host: " + HOST + b"\r\n" + CREDENTIALS
REPOSITORY = "/v2/library/parity"
UPLOADS = f"{REPOSITORY}/blobs/uploads/"
TYPE = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = f"Accept: {TYPE}\r\n"
NO_BODY = "Content-Length: 0\r\n"


LAYER = b"a layer of bytes" * 64
LAYER_DIGEST = digest_of(LAYER)
# More than sockets hold, so that a client that does not read is felt.
BIG = hashlib.sha256(b"big").digest() * (1 << 18)
BIG_DIGEST = digest_of(BIG)
CONFIG = b"{}"
# A byte more than a manifest may have here and in distribution.
TOO_LARGE = (4 << 20) + 1
NOWHERE = "sha256:" + "0" * 64


def manifest(name):
    """One of its own for each name; all are of the same image."""
    return json.dumps({
        "schemaVersion": 2, "mediaType": TYPE, "annotations": {"name": name},
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": digest_of(CONFIG), "size": len(CONFIG)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": LAYER_DIGEST, "size": len(LAYER)}],
    }).encode()


MANIFEST = manifest("parity")
DIGEST = digest_of(MANIFEST)

HTTP1, HTTP2 = "HTTP/1", "HTTP/2"
CASES = {}


@dataclasses.dataclass(frozen=True)
class Request:
    """A well-formed request, which can be made over both protocols. `more`: further header lines."""

    method: str
    path: str
    more: str = ""
    body: bytes | None = None

    def __bytes__(self):
        return request(self.method, self.path, self.more, self.body)

    def fields(self):
        """As HTTP/2 has it."""
        lines = [line.split(": ", 1) for line in self.more.split("\r\n") if line]
        length = [] if self.body is None else [("content-length", str(len(self.body)))]
        return (pseudo(self.method, self.path) + [("authorization", LOGIN)]
                + [(name.lower(), value) for name, value in lines] + length)


def request(method, path, more="", body=None, version="HTTP/1.1", head=HEAD):
    """A request of HTTP/1 as bytes, be it as odd as it may."""
    line = f"{method} {path} {version}\r\n".encode()
    length = b"" if body is None else f"Content-Length: {len(body)}\r\n".encode()
    return line + head + more.encode("latin-1") + length + b"\r\n" + (body or b"")


def pseudo(method, path):
    """The fields that make up a request line in HTTP/2."""
    return [(":method", method), (":scheme", "https"), (":authority", HOST.decode()), (":path", path)]


def case(name, *arguments, **more):
    """A request that both protocols can make: what it takes to make a `Request`."""
    asked = Request(*arguments, **more)
    add(name, [HTTP1, HTTP2], lambda server: server.ask(asked))


def raw(name, sent, answers=1):
    """Bytes over HTTP/1, and how many answers they want."""
    add(name, [HTTP1], lambda server: server.exchange(sent, answers))


def flow(function):
    """Several requests, over both protocols."""
    return add(_name(function), [HTTP1, HTTP2], function)


def over_http1(function):
    return add(_name(function), [HTTP1], function)


def over_http2(function):
    return add(_name(function), [HTTP2], function)


def _name(function):
    return function.__name__.replace("_", " ").replace("h2 ", "HTTP/2, ")


def add(name, protocols, play):
    assert name not in CASES, name
    CASES[name] = {protocol: play for protocol in protocols}
    return play


def begin(server):
    """Begins an upload; the answer that says where it goes on."""
    return server.ask(Request("POST", UPLOADS, NO_BODY))


def put(path, content):
    """Ends the upload that goes on at `path`, with all of the content."""
    return Request("PUT", with_digest(path, digest_of(content)), body=content)


def with_digest(path, digest):
    return path + ("&" if "?" in path else "?") + f"digest={digest}"


def push(reference, content):
    """Puts a manifest."""
    return Request("PUT", f"{REPOSITORY}/manifests/{reference}", f"Content-Type: {TYPE}\r\n", content)


def prepare(server):
    """The image that the cases read."""
    for content in (LAYER, CONFIG, BIG):
        (begun,) = begin(server)
        (done,) = server.ask(put(begun.path(), content))
        assert done.status == 201, done.body
    for tag, content in (("v1", MANIFEST), ("v2", manifest("v2"))):
        (done,) = server.ask(push(tag, content))
        assert done.status == 201, done.body
