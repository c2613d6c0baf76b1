"""Clients that take their time, within the limits of both servers."""

import time

from corpus import (BIG, BIG_DIGEST, CREDENTIALS, LAYER, LAYER_DIGEST, REPOSITORY, TYPE, Request, begin,
                    digest_of, over_http1, over_http2, put, raw, request, with_digest)
from frames import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, frame
from wire import HOST, PAUSE

# Small, so that a server feels that nobody reads.
BUFFER_BYTES = 16 << 10
BLOB = f"{REPOSITORY}/blobs/{BIG_DIGEST}"
STEP_SECONDS = 0.02
STILL_SECONDS = 6

raw("a slow head",
    PAUSE.join([b"GET ", b"/v2/ HT", b"TP/1.1\r\nHo", b"st: " + HOST + b"\r\n" + CREDENTIALS, b"\r\n"]))
raw("a slow body",
    request("PUT", f"{REPOSITORY}/manifests/x", f"Content-Type: {TYPE}\r\nContent-Length: 5\r\n") + b"{n" + PAUSE + b"ope")


def _dribble(talk, content):
    """Each byte on its own."""
    for byte in content.replace(HOST, talk.server.host().encode()):
        talk.send(bytes([byte]))
        time.sleep(STEP_SECONDS)


@over_http1
def a_head_byte_by_byte(server):
    with server.talk() as talk:
        _dribble(talk, request("GET", f"{REPOSITORY}/tags/list"))
        return talk.read_all(1)


@over_http1
def a_body_byte_by_byte(server):
    content = LAYER[:100]
    (begun,) = begin(server)
    whole = bytes(put(begun.path(), content))
    with server.talk() as talk:
        talk.send(whole[:-len(content)])
        _dribble(talk, content)
        return talk.read_all(1)


@over_http1
def chunks_byte_by_byte(server):
    (begun,) = begin(server)
    with server.talk() as talk:
        path = with_digest(begun.path(), digest_of(b"hello world"))
        talk.send(request("PUT", path, "Transfer-Encoding: chunked\r\n"))
        _dribble(talk, b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: z\r\n\r\n")
        return talk.read_all(1)


@over_http1
def a_body_that_stands_still_for_a_while(server):
    (begun,) = begin(server)
    whole = bytes(put(begun.path(), server.content("stands still")))
    with server.talk() as talk:
        talk.send(whole[:-500])
        time.sleep(STILL_SECONDS)
        talk.send(whole[-500:])
        return talk.read_all(1)


@over_http1
def a_reader_that_is_slow(server):
    with server.talk(BUFFER_BYTES) as talk:
        talk.send(request("GET", BLOB))
        for _ in range(40):
            talk.incoming.more(1 << 14)
            time.sleep(0.1)
        return talk.read_all(1)


@over_http1
def a_reader_that_stands_still_for_a_while(server):
    with server.talk(BUFFER_BYTES) as talk:
        talk.send(request("GET", BLOB))
        time.sleep(STILL_SECONDS)
        return talk.read_all(1)


@over_http2
def a_head_in_a_frame_for_each_byte(server):
    asked = Request("GET", f"{REPOSITORY}/tags/list")
    with server.talk() as talk:
        number, (first, *others) = talk.stream(), talk.fields(asked.fields())
        talk.send(frame(HEADERS, END_STREAM, number, bytes([first])))
        for at, byte in enumerate(others, 1):
            time.sleep(STEP_SECONDS)
            talk.send(frame(CONTINUATION, END_HEADERS if at == len(others) else 0, number, bytes([byte])))
        return talk.answers(number)


@over_http2
def a_body_in_a_frame_for_each_byte(server):
    (begun,) = begin(server)
    asked = put(begun.path(), LAYER[:100])
    with server.talk() as talk:
        number = talk.head(asked.fields(), 0)
        for byte in asked.body:
            time.sleep(STEP_SECONDS)
            talk.send(frame(DATA, 0, number, bytes([byte])))
        talk.send(frame(DATA, END_STREAM, number, b""))
        return talk.answers(number)


@over_http2
def a_body_that_stands_still_for_a_while_on_a_stream(server):
    (begun,) = begin(server)
    content = server.content("stands still on a stream")
    asked = put(begun.path(), content)
    with server.talk() as talk:
        slow = talk.head(asked.fields(), 0)
        talk.body(slow, content[:500], 0)
        quick = talk.ask(Request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}"))
        answers = talk.answers(quick)
        time.sleep(STILL_SECONDS)
        talk.body(slow, content[500:])
        return answers + talk.answers(slow)


@over_http2
def a_window_that_opens_byte_by_byte(server):
    with server.talk(window=0) as talk:
        number = talk.ask(Request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}"))
        for _ in range(100):
            talk.widen(number, 1)
            time.sleep(STEP_SECONDS)
        talk.widen(number, len(LAYER))
        return talk.answers(number)


@over_http2
def a_stream_that_nobody_reads_beside_one_that_is_read(server):
    with server.talk(window=1000) as talk:
        unread = talk.ask(Request("GET", BLOB))
        small = [talk.ask(Request("GET", "/v2/")) for _ in range(10)]
        answers = talk.answers(*small)
        talk.widen(unread, len(BIG))
        return answers + talk.answers(unread)


@over_http2
def a_reader_that_is_slow_over_HTTP_2(server):
    with server.talk(buffer_bytes=BUFFER_BYTES) as talk:
        number = talk.ask(Request("GET", BLOB))
        for _ in range(40):
            talk.listen()
            time.sleep(0.1)
        return talk.answers(number)
