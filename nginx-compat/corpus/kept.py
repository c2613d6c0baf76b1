"""How connections of HTTP/1 may be used: one request behind another, and what ends it."""

import time

from corpus import (ACCEPT, CREDENTIALS, LAYER, LAYER_DIGEST, NO_BODY, NOWHERE, REPOSITORY, TOO_LARGE, TYPE,
                    UPLOADS, begin, digest_of, over_http1, raw, request, with_digest)
from wire import PAUSE

PING = request("GET", "/v2/")
TAGS = request("GET", f"{REPOSITORY}/tags/list")
BLOB = f"{REPOSITORY}/blobs/{LAYER_DIGEST}"
NONE = request("GET", f"{REPOSITORY}/manifests/none")
CLOSE = "Connection: close\r\n"
KEEP = "Connection: keep-alive\r\n"
IDLE_SECONDS = 6
EXPECT = "Expect: 100-continue\r\n"

raw("HTTP/1.0", request("GET", "/v2/", version="HTTP/1.0"))
raw("HTTP/1.0 without Host", request("GET", "/v2/", version="HTTP/1.0", head=CREDENTIALS))
raw("HTTP/1.0 closes", request("GET", "/v2/", version="HTTP/1.0") + PING, 2)
raw("HTTP/1.0, kept", request("GET", "/v2/", KEEP, version="HTTP/1.0") * 2, 2)
raw("HTTP/1.0, kept behind a refusal",
    request("GET", f"{REPOSITORY}/manifests/none", KEEP, version="HTTP/1.0") + PAUSE + PING, 2)
raw("HTTP/1.0, a blob", request("GET", BLOB, version="HTTP/1.0"))
raw("HTTP/1.0, a blob and on", request("GET", BLOB, KEEP, version="HTTP/1.0") + PING, 2)
raw("HTTP/1.0, a list and on", request("GET", f"{REPOSITORY}/tags/list", KEEP, version="HTTP/1.0") + PING, 2)
raw("HTTP/1.2", request("GET", "/v2/", version="HTTP/1.2"))
raw("HTTP/2.0 in a line", request("GET", "/v2/", version="HTTP/2.0"))
raw("HTTP/0.9", b"GET /v2/\r\n")
raw("no HTTP at all", b"HELO example.com\r\n\r\n")
raw("a line of its own", b"\r\n\r\n\r\n" + PING)
raw("an empty line first", b"\r\n" + PING)
raw("an empty line in between", PING + b"\r\n" + PING, 2)
raw("kept", PING + PAUSE + TAGS, 2)
raw("kept behind a refusal", NONE + PAUSE + TAGS, 2)
raw("three at once", PING + NONE + TAGS, 3)
raw("a blob among many at once", (PING + NONE + request("GET", BLOB) + TAGS) * 12, 48)
raw("closed after the answer", request("GET", "/v2/", CLOSE) + PING, 2)
raw("closed after a refusal", request("GET", f"{REPOSITORY}/manifests/none", CLOSE) + PING, 2)
raw("close and keep-alive", request("GET", "/v2/", "Connection: keep-alive, close\r\n") + PING, 2)
raw("kept behind a malformed request", request("GET", "/v2/", "X A: b\r\n") + PING, 2)
raw("kept behind a path that is not there", request("GET", "/nothing") + PING, 2)
raw("kept behind a wrong method", request("PATCH", f"{REPOSITORY}/manifests/v1", NO_BODY) + PING, 2)
raw("kept behind a body with a GET", request("GET", "/v2/", body=b"hello") + PING, 2)
raw("kept behind a body with a HEAD", request("HEAD", "/v2/", body=b"hello") + PING, 2)
raw("kept behind a body with a DELETE",
    request("DELETE", f"{REPOSITORY}/manifests/{NOWHERE}", body=b"hello") + PING, 2)
raw("kept behind a body nobody wants", request("PUT", "/v2/library/parity", body=b"a" * 1000) + PAUSE + PING, 2)
raw("kept behind a manifest that is refused",
    request("PUT", f"{REPOSITORY}/manifests/x", f"Content-Type: {TYPE}\r\n", b"{nope") + PING, 2)
raw("kept behind a manifest that is too large",
    request("PUT", f"{REPOSITORY}/manifests/x", f"Content-Type: {TYPE}\r\n", b" " * TOO_LARGE) + PING, 2)
raw("an upgrade to HTTP/2",
    request("GET", "/v2/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"))
raw("an upgrade to a web socket",
    request("GET", "/v2/", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n") + PING, 2)
raw("HTTP/2 where HTTP/1.1 was agreed on", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")


def _in_turn(server, *requests):
    """One connection, each request sent when the one before is answered."""
    answers = []
    with server.talk() as talk:
        for sent in requests:
            talk.send(sent)
            answers += talk.read_all(1, sent.split(b" ")[0].decode())
    return answers


@over_http1
def a_hundred_requests_in_turn(server):
    return _in_turn(server, *[PING, request("HEAD", BLOB), request("GET", BLOB), NONE, TAGS] * 20)


@over_http1
def HEAD_and_then_GET(server):
    return _in_turn(server, request("HEAD", BLOB), request("GET", BLOB))


@over_http1
def HEAD_and_GET_at_once(server):
    with server.talk() as talk:
        talk.send(request("HEAD", BLOB) + request("GET", BLOB))
        return talk.read_all(1, "HEAD") + talk.read_all(1)


@over_http1
def HEAD_of_nothing_and_then_GET(server):
    return _in_turn(server, request("HEAD", f"{REPOSITORY}/manifests/none", ACCEPT), request("GET", BLOB))


@over_http1
def a_push_on_one_connection(server):
    content = server.content("on one connection")
    (begun,) = begin(server)
    patch = request("PATCH", begun.path(), body=content)
    with server.talk() as talk:
        talk.send(patch)
        answers = talk.read_all(1)
        talk.send(request("PUT", with_digest(answers[0].path(), digest_of(content)), body=b""))
        answers += talk.read_all(1)
        talk.send(request("HEAD", f"{REPOSITORY}/blobs/{digest_of(content)}"))
        return answers + talk.read_all(1, "HEAD")


@over_http1
def idle_for_a_while(server):
    with server.talk() as talk:
        talk.send(PING)
        answers = talk.read_all(1)
        time.sleep(IDLE_SECONDS)
        talk.send(PING)
        return answers + talk.read_all(1)


def _expecting(server, method, path, body, more=""):
    """Sends the body only if it is asked for. An interim answer is one of the answers."""
    head = request(method, path, f"{EXPECT}{more}Content-Length: {len(body)}\r\n")
    with server.talk() as talk:
        talk.send(head)
        answers = [answer for answer in [talk.read()] if answer]
        if answers and answers[0].status == 100:
            talk.send(body)
            answers += talk.read_all(1)
        return answers


@over_http1
def a_body_that_is_asked_for(server):
    (begun,) = begin(server)
    return _expecting(server, "PATCH", begun.path(), LAYER)


@over_http1
def kept_behind_a_body_that_is_asked_for(server):
    (begun,) = begin(server)
    with server.talk() as talk:
        talk.send(request("PATCH", begun.path(), f"{EXPECT}Content-Length: {len(LAYER)}\r\n"))
        answers = [talk.read()]
        talk.send(LAYER + PING)
        return answers + talk.read_all(2)


@over_http1
def a_manifest_that_is_asked_for(server):
    return _expecting(server, "PUT", f"{REPOSITORY}/manifests/x", b"{nope", f"Content-Type: {TYPE}\r\n")


@over_http1
def a_body_for_an_upload_that_is_not_there(server):
    return _expecting(server, "PATCH", f"{UPLOADS}11111111-1111-1111-1111-111111111111", LAYER)


@over_http1
def a_body_for_a_path_that_is_not_there(server):
    return _expecting(server, "PUT", "/v2/library/parity", LAYER)


@over_http1
def a_body_of_nothing_that_is_asked_for(server):
    return _expecting(server, "POST", UPLOADS, b"")


@over_http1
def a_body_that_comes_without_waiting(server):
    (begun,) = begin(server)
    put = request("PUT", with_digest(begun.path(), digest_of(b"hello")), EXPECT, b"hello")
    return server.exchange(put + PING, 2)


raw("an expectation nobody knows",
    request("PUT", f"{REPOSITORY}/manifests/x", "Expect: nonsense\r\n", b"{") + PING, 2)
raw("100-continue over HTTP/1.0",
    request("PUT", f"{REPOSITORY}/manifests/x", f"{EXPECT}Content-Type: {TYPE}\r\n", b"{", version="HTTP/1.0"))


@over_http1
def a_client_that_closes_its_side_after_the_answer(server):
    with server.talk() as talk:
        talk.send(PING)
        answers = talk.read_all(1)
        talk.send_no_more()
        return answers + talk.read_all(1)
