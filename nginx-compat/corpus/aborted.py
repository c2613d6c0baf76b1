"""Clients that go away in the middle, and what is in the registry then: nothing that looks whole and is not."""

import time

from corpus import (BIG_DIGEST, LAYER_DIGEST, REPOSITORY, TYPE, Request, begin, digest_of, manifest, over_http1,
                    over_http2, push, put, request, with_digest)
from frames import END_STREAM, GOAWAY, HEADERS, frame
from wire import PAUSE_SECONDS

BUFFER_BYTES = 16 << 10
PATIENCE_SECONDS = 5
BIG_BLOB = f"{REPOSITORY}/blobs/{BIG_DIGEST}"
PING = Request("GET", "/v2/")


def _is_there(server, content):
    return server.ask(Request("HEAD", f"{REPOSITORY}/blobs/{digest_of(content)}"))


def _after(server, begun, content):
    """What an upload that broke off has left behind: no blob, and an upload that can be ended with what
    is missing, as clients do that come back."""
    gone = _is_there(server, content)
    status = _settled(server, begun.path())
    if status.status != 204:
        return gone + [status]
    held = int(status.header("range").split("-")[1]) + 1
    rest = Request("PATCH", begun.path(), f"Content-Range: {held}-{len(content) - 1}\r\n", content[held:])
    answers = server.ask(rest)
    answers += server.ask(Request("PUT", with_digest(answers[0].path(), digest_of(content)), body=b""))
    return gone + [status] + answers + _is_there(server, content)


def _settled(server, path):
    """The upload as it is once the registry knows that its client is gone: it has what came, and no
    more comes. On a busy machine that takes a while."""
    end = time.monotonic() + PATIENCE_SECONDS
    (before,) = server.ask(Request("GET", path))
    while True:
        time.sleep(PAUSE_SECONDS)
        (now,) = server.ask(Request("GET", path))
        ranges = [answer.header("range") for answer in (before, now)]
        is_empty = now.status == 204 and ranges[1] == "0-0"
        if ranges[0] == ranges[1] and (not is_empty or time.monotonic() > end):
            return now
        before = now


def _broken_off(server, name, reset=False):
    content = server.content(name)
    (begun,) = begin(server)
    server.abort(request("PATCH", begun.path(), f"Content-Length: {len(content)}\r\n") + content[:500], reset)
    return _after(server, begun, content)


@over_http1
def half_a_head(server):
    server.abort(request("GET", "/v2/")[:40])
    return server.ask(PING)


@over_http1
def half_a_head_and_a_reset(server):
    server.abort(request("GET", "/v2/")[:40], reset=True)
    return server.ask(PING)


@over_http1
def a_connection_without_a_request(server):
    server.abort(b"")
    return server.ask(PING)


@over_http1
def half_a_PATCH(server):
    return _broken_off(server, "half a PATCH")


@over_http1
def half_a_PATCH_and_a_reset(server):
    return _broken_off(server, "half a PATCH and a reset", reset=True)


@over_http1
def half_a_PUT(server):
    content = server.content("half a PUT")
    (begun,) = begin(server)
    server.abort(bytes(put(begun.path(), content))[:-500])
    return _is_there(server, content)


@over_http1
def a_PUT_in_chunks_without_the_last_one(server):
    """All of the bytes have come, but nobody said that they are all."""
    content = server.content("chunks without the last one")
    (begun,) = begin(server)
    head = request("PUT", with_digest(begun.path(), digest_of(content)), "Transfer-Encoding: chunked\r\n")
    server.abort(head + b"%x\r\n%b\r\n" % (len(content), content))
    return _is_there(server, content)


@over_http1
def half_a_manifest(server):
    server.abort(bytes(push("half", manifest("half")))[:-100])
    return server.ask(Request("GET", f"{REPOSITORY}/manifests/half"))


@over_http1
def a_manifest_whose_client_does_not_wait(server):
    content = server.note("a manifest", manifest(server.content("does not wait", 1).decode()))
    path = f"{REPOSITORY}/manifests/{digest_of(content)}"
    server.abort(request("PUT", path, f"Content-Type: {TYPE}\r\n", content))
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        answers = server.ask(Request("HEAD", path))
        if answers[0].status == 200 or time.monotonic() > end:
            return answers
        time.sleep(PAUSE_SECONDS)


@over_http1
def half_a_download(server):
    with server.talk(BUFFER_BYTES) as talk:
        talk.send(request("GET", BIG_BLOB))
        talk.incoming.more(1000)
    return server.ask(Request("GET", BIG_BLOB))


@over_http1
def half_a_download_and_a_reset(server):
    with server.talk(BUFFER_BYTES) as talk:
        talk.send(request("GET", BIG_BLOB))
        talk.incoming.more(1000)
        talk.reset()
    return server.ask(Request("GET", BIG_BLOB))


@over_http1
def a_client_that_closes_its_side_within_a_body(server):
    content = server.content("closes its side")
    (begun,) = begin(server)
    with server.talk() as talk:
        talk.send(bytes(put(begun.path(), content))[:-500])
        talk.send_no_more()
        answers = talk.read_all(1)
    return answers + _is_there(server, content)


# The same over HTTP/2, where a stream can go away alone.


def _half_sent(talk, asked):
    """Sends a request but for the end of its body, and waits until it is on its way; its stream."""
    number = talk.head(asked.fields(), 0)
    talk.body(number, asked.body[:500], 0)
    time.sleep(PAUSE_SECONDS)
    return number


def _broken_off_patch(server, name, go_away):
    content = server.content(name)
    (begun,) = begin(server)
    answers = []
    with server.talk() as talk:
        number = _half_sent(talk, Request("PATCH", begun.path(), body=content))
        answers += go_away(talk, number) or []
    return answers + _after(server, begun, content)


@over_http2
def a_PATCH_whose_stream_is_reset(server):
    def go_away(talk, number):
        talk.cancel(number)
        # The connection serves on.
        return talk.answers(talk.ask(PING))
    return _broken_off_patch(server, "stream", go_away)


@over_http2
def a_PATCH_whose_connection_is_closed(server):
    return _broken_off_patch(server, "connection", lambda talk, _number: None)


@over_http2
def a_PATCH_whose_connection_is_reset(server):
    return _broken_off_patch(server, "reset", lambda talk, _number: talk.reset())


@over_http2
def a_PUT_whose_stream_is_reset(server):
    content = server.content("a PUT over HTTP/2")
    (begun,) = begin(server)
    with server.talk() as talk:
        talk.cancel(_half_sent(talk, put(begun.path(), content)))
        return talk.answers(talk.ask(PING)) + _is_there(server, content)


@over_http2
def a_PUT_without_a_length_whose_end_does_not_come(server):
    content = server.content("no end")
    (begun,) = begin(server)
    with server.talk() as talk:
        fields = Request("PUT", with_digest(begun.path(), digest_of(content))).fields()
        number = talk.head(fields, 0)
        talk.body(number, content, 0)
        time.sleep(PAUSE_SECONDS)
        talk.cancel(number)
        return talk.answers(talk.ask(PING)) + _is_there(server, content)


@over_http2
def a_manifest_whose_stream_is_reset(server):
    with server.talk() as talk:
        talk.cancel(_half_sent(talk, push("half", manifest("half" * 100))))
        answers = talk.answers(talk.ask(PING))
    return answers + server.ask(Request("GET", f"{REPOSITORY}/manifests/half"))


@over_http2
def a_download_whose_stream_is_reset(server):
    with server.talk(window=1 << 16) as talk:
        number = talk.ask(Request("GET", BIG_BLOB))
        talk.listen()
        talk.cancel(number)
        again = talk.ask(Request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}"))
        return talk.answers(again)


@over_http2
def half_a_head_in_frames(server):
    with server.talk() as talk:
        talk.send(frame(HEADERS, END_STREAM, talk.stream(), talk.fields(PING.fields())))
        time.sleep(PAUSE_SECONDS)
    return server.ask(PING)


@over_http2
def a_client_that_says_goodbye_and_waits(server):
    with server.talk() as talk:
        number = talk.ask(Request("GET", BIG_BLOB))
        talk.send(frame(GOAWAY, 0, 0, bytes(8)))
        return talk.answers(number)
