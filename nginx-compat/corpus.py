"""The requests that both servers get. A case is a name and a function from a server to its answers;
what a case makes in the registry is the server's own, for both stand in front of the same one."""

import base64
import hashlib
import json
import os

from wire import HOST, PAUSE

USER, PASSWORD = os.environ["PARITY_USER"], os.environ["PARITY_PASSWORD"]
CREDENTIALS = b"Authorization: Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()) + b"\r\n"
HEAD = b"Host: " + HOST + b"\r\n" + CREDENTIALS
REPOSITORY = "/v2/library/parity"
TYPE = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = f"Accept: {TYPE}\r\n"
LAYER = b"a layer of bytes" * 64
LAYER_DIGEST = "sha256:" + hashlib.sha256(LAYER).hexdigest()
CONFIG = b"{}"
CONFIG_DIGEST = "sha256:" + hashlib.sha256(CONFIG).hexdigest()
NOWHERE = "sha256:" + "0" * 64
MANIFEST = json.dumps({
    "schemaVersion": 2, "mediaType": TYPE,
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
               "digest": CONFIG_DIGEST, "size": len(CONFIG)},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": LAYER_DIGEST, "size": len(LAYER)}],
}).encode()
DIGEST = "sha256:" + hashlib.sha256(MANIFEST).hexdigest()
NO_BODY = "Content-Length: 0\r\n"

CASES = {}


def request(method, path, more="", body=None, version="HTTP/1.1", head=HEAD):
    """A request as bytes. `more`: further header lines."""
    line = f"{method} {path} {version}\r\n".encode()
    length = b"" if body is None else f"Content-Length: {len(body)}\r\n".encode()
    return line + head + more.encode("latin-1") + length + b"\r\n" + (body or b"")


def case(name, raw, answers=1):
    assert name not in CASES, name
    CASES[name] = lambda server: server.exchange(raw, answers)


def flow(function):
    CASES[function.__name__.replace("_", " ")] = function
    return function


def prepare(server):
    """The image that the cases read."""
    for digest, content in [(LAYER_DIGEST, LAYER), (CONFIG_DIGEST, CONFIG)]:
        (begun,) = server.exchange(request("POST", f"{REPOSITORY}/blobs/uploads/", NO_BODY))
        (done,) = server.exchange(request("PUT", _with(begun.path(), f"digest={digest}"), body=content))
        assert done.status == 201, done.body
    for tag in ("v1", "v2"):
        put = request("PUT", f"{REPOSITORY}/manifests/{tag}", f"Content-Type: {TYPE}\r\n", MANIFEST)
        (done,) = server.exchange(put)
        assert done.status == 201, done.body


def _with(path, parameter):
    return path + ("&" if "?" in path else "?") + parameter


# What clients do.
case("ping", request("GET", "/v2/"))
case("ping, HEAD", request("HEAD", "/v2/"))
case("ping without slash", request("GET", "/v2"))
case("manifest by tag", request("GET", f"{REPOSITORY}/manifests/v1", ACCEPT))
case("manifest by digest", request("GET", f"{REPOSITORY}/manifests/{DIGEST}", ACCEPT))
case("manifest by an escaped digest",
     request("GET", f"{REPOSITORY}/manifests/{DIGEST.replace(':', '%3A')}", ACCEPT))
case("manifest, HEAD", request("HEAD", f"{REPOSITORY}/manifests/v1", ACCEPT))
case("manifest without Accept", request("GET", f"{REPOSITORY}/manifests/v1"))
case("manifest that the client has",
     request("GET", f"{REPOSITORY}/manifests/v1", f'{ACCEPT}If-None-Match: "{DIGEST}"\r\n'))
case("manifest that is not there", request("GET", f"{REPOSITORY}/manifests/none", ACCEPT))
case("manifest of no repository", request("GET", "/v2/library/none/manifests/v1", ACCEPT))
case("tags", request("GET", f"{REPOSITORY}/tags/list"))
case("tags, a page", request("GET", f"{REPOSITORY}/tags/list?n=1"))
case("tags, the page behind", request("GET", f"{REPOSITORY}/tags/list?n=1&last=v1"))
case("tags, compressed", request("GET", f"{REPOSITORY}/tags/list", "Accept-Encoding: gzip\r\n"))
case("tags of no repository", request("GET", "/v2/library/none/tags/list"))
case("catalogue", request("GET", "/v2/_catalog"))
case("blob", request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}"))
case("blob, HEAD", request("HEAD", f"{REPOSITORY}/blobs/{LAYER_DIGEST}"))
case("blob, a range", request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", "Range: bytes=3-9\r\n"))
case("blob, the rest", request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", "Range: bytes=1000-\r\n"))
case("blob, the end", request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", "Range: bytes=-5\r\n"))
case("blob, behind its end",
     request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", "Range: bytes=9999-\r\n"))
case("blob that the client has",
     request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", f'If-None-Match: "{LAYER_DIGEST}"\r\n'))
case("blob that is not there", request("GET", f"{REPOSITORY}/blobs/{NOWHERE}"))
case("blob that is not there, HEAD", request("HEAD", f"{REPOSITORY}/blobs/{NOWHERE}"))
case("referrers", request("GET", f"{REPOSITORY}/referrers/{DIGEST}"))
case("upload, begun", request("POST", f"{REPOSITORY}/blobs/uploads/", NO_BODY))
case("upload, begun without slash", request("POST", f"{REPOSITORY}/blobs/uploads", NO_BODY))
case("upload, begun without length", request("POST", f"{REPOSITORY}/blobs/uploads/"))
case("upload, mounted",
     request("POST", f"{REPOSITORY}/blobs/uploads/?mount={LAYER_DIGEST}&from=library/parity", NO_BODY))
case("upload, mount of what is not there",
     request("POST", f"{REPOSITORY}/blobs/uploads/?mount={NOWHERE}&from=library/parity", NO_BODY))
UNKNOWN = f"{REPOSITORY}/blobs/uploads/11111111-1111-1111-1111-111111111111"
case("upload that is not there", request("PATCH", UNKNOWN, body=b"xx"))
case("upload that is not there, asked for", request("GET", UNKNOWN))
case("manifest put again",
     request("PUT", f"{REPOSITORY}/manifests/v2", f"Content-Type: {TYPE}\r\n", MANIFEST))
case("manifest that is no JSON",
     request("PUT", f"{REPOSITORY}/manifests/x", f"Content-Type: {TYPE}\r\n", b"{nope"))
case("manifest without a type", request("PUT", f"{REPOSITORY}/manifests/x", body=b"{}"))
case("delete of a tag that is not there", request("DELETE", f"{REPOSITORY}/manifests/none"))
case("delete of a digest that is not there", request("DELETE", f"{REPOSITORY}/manifests/{NOWHERE}"))
case("delete of a blob that is not there", request("DELETE", f"{REPOSITORY}/blobs/{NOWHERE}"))


@flow
def upload_in_chunks_asked_for_in_between(server):
    answers = server.exchange(request("POST", f"{REPOSITORY}/blobs/uploads/", NO_BODY))
    for chunk in (b"one ", b"two ", b"three"):
        patch = request("PATCH", answers[-1].path(), "Content-Type: application/octet-stream\r\n", chunk)
        answers += server.exchange(patch)
    answers += server.exchange(request("GET", answers[-1].path()))
    digest = "sha256:" + hashlib.sha256(b"one two three").hexdigest()
    answers += server.exchange(request("PUT", _with(answers[-2].path(), f"digest={digest}"), body=b""))
    return answers + server.exchange(request("GET", f"{REPOSITORY}/blobs/{digest}"))


@flow
def upload_without_a_length(server):
    answers = server.exchange(request("POST", f"{REPOSITORY}/blobs/uploads/", NO_BODY))
    head = request("PATCH", answers[0].path(), "Transfer-Encoding: chunked\r\n")
    answers += server.exchange(head + b"5\r\nhello\r\n" + PAUSE + b"6\r\n world\r\n0\r\n\r\n")
    digest = "sha256:" + hashlib.sha256(b"hello world").hexdigest()
    return answers + server.exchange(request("PUT", _with(answers[1].path(), f"digest={digest}"), body=b""))


@flow
def upload_with_the_wrong_digest(server):
    answers = server.exchange(request("POST", f"{REPOSITORY}/blobs/uploads/", NO_BODY))
    put = request("PUT", _with(answers[0].path(), f"digest={NOWHERE}"), body=b"something else")
    return answers + server.exchange(put)


@flow
def upload_cancelled(server):
    answers = server.exchange(request("POST", f"{REPOSITORY}/blobs/uploads/", NO_BODY))
    answers += server.exchange(request("DELETE", answers[0].path()))
    return answers + server.exchange(request("GET", answers[0].path()))


@flow
def upload_whose_client_goes_away_and_begins_anew(server):
    begun = server.exchange(request("POST", f"{REPOSITORY}/blobs/uploads/", NO_BODY))
    head = request("PATCH", begun[0].path(), "Content-Length: 1000\r\n")
    server.abort(head + b"a" * 400)
    answers = server.exchange(request("POST", f"{REPOSITORY}/blobs/uploads/", NO_BODY))
    digest = "sha256:" + hashlib.sha256(b"anew").hexdigest()
    return answers + server.exchange(request("PUT", _with(answers[0].path(), f"digest={digest}"), body=b"anew"))


@flow
def pull_whose_client_goes_away_and_comes_back(server):
    server.abort(request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}"))
    return server.exchange(request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}"))


# What the path may be.
case("tag that is none", request("GET", f"{REPOSITORY}/manifests/-bad", ACCEPT))
case("digest that is none", request("GET", f"{REPOSITORY}/manifests/sha256:xyz", ACCEPT))
case("blob whose digest is none", request("GET", f"{REPOSITORY}/blobs/xyz"))
case("name that is none", request("GET", "/v2/Library/App/manifests/v1", ACCEPT))
case("tags, n is 0", request("GET", f"{REPOSITORY}/tags/list?n=0"))
case("tags, n is negative", request("GET", f"{REPOSITORY}/tags/list?n=-1"))
case("tags, n is no number", request("GET", f"{REPOSITORY}/tags/list?n=abc"))
case("catalogue, n is no number", request("GET", "/v2/_catalog?n=abc"))
case("API version 1", request("GET", "/v1/_ping"))
case("nothing there", request("GET", "/nothing"))
case("two slashes", request("GET", f"/{REPOSITORY}/tags/list"))
case("two slashes within", request("GET", "/v2/library//parity/tags/list"))
case("a step up", request("GET", "/v2/library/x/../parity/tags/list"))
case("an escaped step up", request("GET", "/v2/library/x/%2e%2e/parity/tags/list"))
case("steps above the root", request("GET", "/v2/../../etc/passwd"))
case("an escaped slash", request("GET", "/v2/library%2Fparity/tags/list"))
case("an escaped letter", request("GET", "/v2/library/%70arity/tags/list"))
case("an escaped NUL", request("GET", "/v2/library/parity%00/tags/list"))
case("an escape that is none", request("GET", "/v2/library/parity%zz/tags/list"))
case("a slash at the end", request("GET", f"{REPOSITORY}/tags/list/"))
case("a fragment", request("GET", f"{REPOSITORY}/tags/list#x"))
case("an absolute target", request("GET", f"https://{HOST.decode()}{REPOSITORY}/tags/list"))
case("a target of 9 KB", request("GET", "/v2/" + "a" * 9000))
case("a target with a space", request("GET", "/v2/ x"))
case("OPTIONS *", request("OPTIONS", "*"))

# What the method may be.
case("OPTIONS", request("OPTIONS", "/v2/"))
case("PATCH of a manifest", request("PATCH", f"{REPOSITORY}/manifests/v1", NO_BODY))
case("POST of a ping", request("POST", "/v2/", NO_BODY))
case("TRACE", request("TRACE", "/v2/"))
case("CONNECT", request("CONNECT", "localhost:443"))
case("a method nobody knows", request("BREW", "/v2/"))
case("a method in small letters", request("get", "/v2/"))

# What headers may be.
case("no Host", request("GET", "/v2/", head=CREDENTIALS))
case("two Hosts", request("GET", "/v2/", "Host: other\r\n"))
case("a Host with a space", request("GET", "/v2/", head=b"Host: a b\r\n" + CREDENTIALS))
case("an empty Host", request("GET", "/v2/", head=b"Host:\r\n" + CREDENTIALS))
case("a header of 9 KB", request("GET", "/v2/", "X-Large: " + "a" * 9000 + "\r\n"))
case("90 headers", request("GET", "/v2/", "".join(f"X-{n}: a\r\n" for n in range(90))))
case("a header's name with a space", request("GET", "/v2/", "X A: b\r\n"))
case("a header's name with an underscore", request("GET", "/v2/", "x_y: b\r\n"))
case("a header without a colon", request("GET", "/v2/", "Nonsense\r\n"))
case("a folded header", request("GET", "/v2/", "X-A: b\r\n c\r\n"))
case("a control character in a header", request("GET", "/v2/", "X-A: b\x01c\r\n"))
case("lines that end with LF alone", request("GET", "/v2/").replace(b"\r\n", b"\n"))
case("forwarded headers of a client",
     request("POST", f"{REPOSITORY}/blobs/uploads/",
             f"{NO_BODY}X-Forwarded-Proto: http\r\nX-Forwarded-Host: elsewhere\r\n"))

# How bodies may be framed.
case("100-continue",
     request("PUT", f"{REPOSITORY}/manifests/x", f"Expect: 100-continue\r\nContent-Type: {TYPE}\r\n", b"{"))
case("a body with a GET", request("GET", "/v2/", body=b"hello"))
case("a transfer coding nobody knows",
     request("POST", f"{REPOSITORY}/blobs/uploads/", "Transfer-Encoding: gzip\r\n"))
case("chunks and a length",
     request("POST", f"{REPOSITORY}/blobs/uploads/",
             "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") + b"0\r\n\r\n")
case("chunks that are none",
     request("POST", f"{REPOSITORY}/blobs/uploads/?digest={LAYER_DIGEST}",
             "Transfer-Encoding: chunked\r\n") + b"zz\r\n")
case("a negative length", request("POST", f"{REPOSITORY}/blobs/uploads/", "Content-Length: -1\r\n"))
case("a length with a sign", request("POST", f"{REPOSITORY}/blobs/uploads/", "Content-Length: +0\r\n"))
case("the same length twice", request("POST", f"{REPOSITORY}/blobs/uploads/", NO_BODY * 2))
case("two lengths",
     request("POST", f"{REPOSITORY}/blobs/uploads/", f"{NO_BODY}Content-Length: 1\r\n"))

# How connections may be used.
case("HTTP/1.0", request("GET", "/v2/", version="HTTP/1.0"))
case("HTTP/1.0 without Host", request("GET", "/v2/", version="HTTP/1.0", head=CREDENTIALS))
case("HTTP/1.0, kept", request("GET", "/v2/", "Connection: keep-alive\r\n", version="HTTP/1.0") * 2, 2)
case("HTTP/1.0, a blob", request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", version="HTTP/1.0"))
case("HTTP/1.2", request("GET", "/v2/", version="HTTP/1.2"))
case("HTTP/2.0 in a line", request("GET", "/v2/", version="HTTP/2.0"))
case("kept", request("GET", "/v2/") + PAUSE + request("GET", f"{REPOSITORY}/tags/list"), 2)
case("kept behind a refusal",
     request("GET", f"{REPOSITORY}/manifests/none") + PAUSE + request("GET", f"{REPOSITORY}/tags/list"), 2)
case("three at once",
     request("GET", "/v2/") + request("GET", f"{REPOSITORY}/manifests/none")
     + request("GET", f"{REPOSITORY}/tags/list"), 3)
case("closed after the answer", request("GET", "/v2/", "Connection: close\r\n") + request("GET", "/v2/"), 2)
case("an empty line first", b"\r\n" + request("GET", "/v2/"))
case("a slow head", PAUSE.join([b"GET ", b"/v2/ HT", b"TP/1.1\r\nHo", b"st: " + HOST + b"\r\n" + CREDENTIALS, b"\r\n"]))
case("a slow body",
     request("PUT", f"{REPOSITORY}/manifests/x", f"Content-Type: {TYPE}\r\nContent-Length: 5\r\n") + b"{n" + PAUSE + b"ope")
case("an upgrade to HTTP/2",
     request("GET", "/v2/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"))
