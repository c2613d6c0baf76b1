"""What HTTP/2 may be: fields that HTTP/1 would read otherwise, and frames in the wrong place."""

import struct

from corpus import (ACCEPT, HTTP2, LAYER_DIGEST, LOGIN, REPOSITORY, UPLOADS, Request, add, begin, digest_of,
                    over_http2, pseudo, push, put, with_digest)
from frames import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PADDED,
                    PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame)
from wire import HOST

OWN = HOST.decode()
ASKED = Request("GET", "/v2/")
TAGS = Request("GET", f"{REPOSITORY}/tags/list")
LOGIN_FIELD = ("authorization", LOGIN)
LINE = pseudo("GET", "/v2/")


def fields(name, *sent):
    """A request without a body that has these fields."""
    def play(server):
        with server.talk() as talk:
            return talk.answers(talk.head(sent))
    add(name, [HTTP2], play)


def without(name):
    return [field for field in LINE if field[0] != name]


# What the pseudo-header fields may be.
fields("HTTP/2, no :method", *without(":method"), LOGIN_FIELD)
fields("HTTP/2, no :scheme", *without(":scheme"), LOGIN_FIELD)
fields("HTTP/2, no :path", *without(":path"), LOGIN_FIELD)
fields("HTTP/2, no :authority", *without(":authority"), LOGIN_FIELD)
fields("HTTP/2, Host in place of :authority", *without(":authority"), ("host", OWN), LOGIN_FIELD)
fields("HTTP/2, Host as :authority", *LINE, ("host", OWN), LOGIN_FIELD)
fields("HTTP/2, Host other than :authority", *LINE, ("host", "other"), LOGIN_FIELD)
fields("HTTP/2, :authority that is none", *without(":authority"), (":authority", "a b"), LOGIN_FIELD)
fields("HTTP/2, :authority with a user", *without(":authority"), (":authority", f"me@{OWN}"), LOGIN_FIELD)
fields("HTTP/2, an empty :authority", *without(":authority"), (":authority", ""), LOGIN_FIELD)
fields("HTTP/2, :scheme http", *without(":scheme"), (":scheme", "http"), LOGIN_FIELD)
fields("HTTP/2, :scheme nobody knows", *without(":scheme"), (":scheme", "ftp"), LOGIN_FIELD)
fields("HTTP/2, an empty :path", *without(":path"), (":path", ""), LOGIN_FIELD)
fields("HTTP/2, :path without a slash", *without(":path"), (":path", "v2/"), LOGIN_FIELD)
fields("HTTP/2, :path with a space", *without(":path"), (":path", "/v2/ HTTP/1.1"), LOGIN_FIELD)
fields("HTTP/2, :path with a line's end", *without(":path"), (":path", "/v2/ HTTP/1.1\r\nX-A: b"), LOGIN_FIELD)
fields("HTTP/2, :path with a NUL", *without(":path"), (":path", "/v2/\0"), LOGIN_FIELD)
fields("HTTP/2, :method with a space", *without(":method"), (":method", "GET /v1/ HTTP/1.1"), LOGIN_FIELD)
fields("HTTP/2, :method with a line's end", *without(":method"), (":method", "GET\r\nX-A: b"), LOGIN_FIELD)
fields("HTTP/2, an empty :method", *without(":method"), (":method", ""), LOGIN_FIELD)
fields("HTTP/2, :path twice", *LINE, (":path", "/v1/"), LOGIN_FIELD)
fields("HTTP/2, :method twice", *LINE, (":method", "PUT"), LOGIN_FIELD)
fields("HTTP/2, a pseudo-header nobody knows", *LINE, (":version", "HTTP/1.1"), LOGIN_FIELD)
fields("HTTP/2, :status of a client", *LINE, (":status", "200"), LOGIN_FIELD)
fields("HTTP/2, a pseudo-header behind a header", *without(":path"), LOGIN_FIELD, (":path", "/v2/"))
fields("HTTP/2, :protocol", *without(":method"), (":method", "CONNECT"), (":protocol", "websocket"), LOGIN_FIELD)

# What headers may be.
fields("HTTP/2, a name in capitals", *LINE, LOGIN_FIELD, ("X-Large", "a"))
fields("HTTP/2, a name with a space", *LINE, LOGIN_FIELD, ("x a", "b"))
fields("HTTP/2, a name with a colon", *LINE, LOGIN_FIELD, ("x:a", "b"))
fields("HTTP/2, a name with a line's end", *LINE, LOGIN_FIELD, ("x-a: b\r\nx-c", "d"))
fields("HTTP/2, an empty name", *LINE, LOGIN_FIELD, ("", "b"))
fields("HTTP/2, a value with a line's end", *LINE, LOGIN_FIELD, ("x-a", "b\r\nX-C: d"))
fields("HTTP/2, a value with LF alone", *LINE, LOGIN_FIELD, ("x-a", "b\nX-C: d"))
fields("HTTP/2, a value with a NUL", *LINE, LOGIN_FIELD, ("x-a", "b\0c"))
fields("HTTP/2, a value with spaces around it", *LINE, LOGIN_FIELD, ("x-a", " b "))
fields("HTTP/2, Connection", *LINE, LOGIN_FIELD, ("connection", "keep-alive"))
fields("HTTP/2, Connection: close", *LINE, LOGIN_FIELD, ("connection", "close"))
fields("HTTP/2, Keep-Alive", *LINE, LOGIN_FIELD, ("keep-alive", "timeout=5"))
fields("HTTP/2, Upgrade", *LINE, LOGIN_FIELD, ("upgrade", "websocket"))
fields("HTTP/2, TE: trailers", *LINE, LOGIN_FIELD, ("te", "trailers"))
fields("HTTP/2, TE: gzip", *LINE, LOGIN_FIELD, ("te", "gzip"))
fields("HTTP/2, Transfer-Encoding", *pseudo("POST", UPLOADS), LOGIN_FIELD, ("transfer-encoding", "chunked"))
fields("HTTP/2, the same length twice",
       *pseudo("POST", UPLOADS), LOGIN_FIELD, ("content-length", "0"), ("content-length", "0"))
fields("HTTP/2, two lengths", *pseudo("POST", UPLOADS), LOGIN_FIELD, ("content-length", "0"), ("content-length", "1"))
fields("HTTP/2, a length that is none", *pseudo("POST", UPLOADS), LOGIN_FIELD, ("content-length", "+0"))
fields("HTTP/2, a length and no body", *pseudo("POST", UPLOADS), LOGIN_FIELD, ("content-length", "5"))
fields("HTTP/2, Expect", *pseudo("POST", UPLOADS), LOGIN_FIELD, ("expect", "100-continue"))


def _put(server, content, *more, sent=None):
    """Ends an upload with these fields and bytes; whether the content is there."""
    (begun,) = begin(server)
    line = pseudo("PUT", with_digest(begun.path(), digest_of(content)))
    with server.talk() as talk:
        number = talk.head([*line, LOGIN_FIELD, *more], 0)
        talk.body(number, sent or content)
        answers = talk.answers(number)
    return answers + server.ask(Request("HEAD", f"{REPOSITORY}/blobs/{digest_of(content)}"))


@over_http2
def h2_body_without_a_length(server):
    return _put(server, server.content("without a length"))


@over_http2
def h2_body_shorter_than_its_length(server):
    content = server.content("shorter")
    return _put(server, content, ("content-length", str(len(content) + 1)))


@over_http2
def h2_body_longer_than_its_length(server):
    content = server.content("longer")
    return _put(server, content, ("content-length", str(len(content))), sent=content + b"!")


@over_http2
def h2_body_with_a_transfer_coding(server):
    """Smuggled where HTTP/2 becomes HTTP/1: the chunks end before the body does."""
    content = server.content("coding")
    return _put(server, content, ("transfer-encoding", "chunked"), sent=b"0\r\n\r\n" + content)


@over_http2
def h2_body_with_trailers(server):
    content = server.content("trailers")
    (begun,) = begin(server)
    with server.talk() as talk:
        number = talk.head(put(begun.path(), content).fields(), 0)
        talk.body(number, content, 0)
        talk.send(frame(HEADERS, END_HEADERS | END_STREAM, number, talk.fields([("x-checksum", "1")])))
        return talk.answers(number)


@over_http2
def h2_body_with_trailers_that_are_none(server):
    content = server.content("pseudo trailers")
    (begun,) = begin(server)
    with server.talk() as talk:
        number = talk.head(put(begun.path(), content).fields(), 0)
        talk.body(number, content, 0)
        talk.send(frame(HEADERS, END_HEADERS | END_STREAM, number, talk.fields([(":path", "/v1/")])))
        return talk.answers(number)


@over_http2
def h2_padding(server):
    content = server.content("padding")
    (begun,) = begin(server)
    with server.talk() as talk:
        number = talk.stream()
        asked = put(begun.path(), content)
        for kind, flags, payload in ((HEADERS, END_HEADERS, talk.fields(asked.fields())), (DATA, END_STREAM, content)):
            talk.send(frame(kind, flags | PADDED, number, bytes([9]) + payload + bytes(9)))
        return talk.answers(number)


# How connections may be used.


@over_http2
def h2_a_hundred_streams_at_once(server):
    with server.talk() as talk:
        asked = [ASKED, TAGS, Request("GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}"),
                 Request("HEAD", f"{REPOSITORY}/manifests/v1", ACCEPT), Request("GET", f"{REPOSITORY}/manifests/none")]
        return talk.answers(*[talk.ask(request) for request in asked * 20])


@over_http2
def h2_five_hundred_streams_in_turn(server):
    with server.talk() as talk:
        return [answer for _ in range(500) for answer in talk.answers(talk.ask(ASKED))]


@over_http2
def h2_bodies_in_each_others_midst(server):
    contents = [server.content(f"stream {n}") for n in range(8)]
    uploads = [begin(server)[0] for _ in contents]
    with server.talk() as talk:
        streams = [talk.head(put(upload.path(), content).fields(), 0)
                   for upload, content in zip(uploads, contents)]
        for at in range(0, max(map(len, contents)), 1000):
            for number, content in zip(streams, contents):
                piece = content[at:at + 1000]
                talk.body(number, piece, END_STREAM if at + 1000 >= len(content) else 0)
        return talk.answers(*streams)


@over_http2
def h2_more_streams_than_allowed(server):
    """Manifests whose end does not come, so that none of the streams is over."""
    with server.talk() as talk:
        asked = push("x", b"{nope").fields()
        streams = [talk.head(asked, 0) for _ in range(130)]
        last = talk.answers(*streams[128:])
        for number in streams[:128]:
            talk.body(number, b"{nope")
        return last + talk.answers(*streams[:128])


@over_http2
def h2_kept_behind_a_refused_body(server):
    with server.talk() as talk:
        first = talk.answers(talk.ask(Request("PUT", "/v2/library/parity", body=b"a" * 100_000)))
        return first + talk.answers(talk.ask(ASKED))


@over_http2
def h2_kept_behind_a_body_that_does_not_end(server):
    with server.talk() as talk:
        number = talk.head(Request("PUT", "/v2/library/parity", body=b"a" * 1000).fields(), 0)
        talk.body(number, b"a" * 10, 0)
        return talk.answers(number) + talk.answers(talk.ask(ASKED))


def frames(name, make):
    """Frames out of place, and what a request behind them is answered. `make`: from a connection, on which
    nothing was asked yet, to bytes."""
    def play(server):
        with server.talk() as talk:
            talk.send(make(talk))
            return talk.answers(talk.ask(ASKED))
    add(name, [HTTP2], play)


def asked(talk, number, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, number, talk.fields(ASKED.fields()))


frames("HTTP/2, a ping", lambda talk: frame(PING, 0, 0, bytes(8)))
frames("HTTP/2, a ping that is short", lambda talk: frame(PING, 0, 0, bytes(7)))
frames("HTTP/2, a ping on a stream", lambda talk: frame(PING, 0, 1, bytes(8)))
frames("HTTP/2, a frame nobody knows", lambda talk: frame(0x42, 0xFF, 0, b"anything"))
frames("HTTP/2, a frame nobody knows on a stream", lambda talk: frame(0x42, 0xFF, 1, b"anything"))
frames("HTTP/2, a frame that is too large", lambda talk: frame(0x42, 0, 0, bytes(20_000)))
frames("HTTP/2, settings again", lambda talk: frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 1 << 20)))
frames("HTTP/2, settings nobody knows", lambda talk: frame(SETTINGS, 0, 0, struct.pack(">HI", 0xFFFF, 1)))
frames("HTTP/2, settings on a stream", lambda talk: frame(SETTINGS, 0, 1, b""))
frames("HTTP/2, settings of odd length", lambda talk: frame(SETTINGS, 0, 0, bytes(5)))
frames("HTTP/2, settings with a window that is too large",
       lambda talk: frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 1 << 31)))
frames("HTTP/2, an acknowledgement with content", lambda talk: frame(SETTINGS, ACK, 0, bytes(6)))
frames("HTTP/2, a header table of 0 bytes", lambda talk: frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 0)))
frames("HTTP/2, a priority", lambda talk: frame(PRIORITY, 0, 3, struct.pack(">IB", 0, 15)))
frames("HTTP/2, a priority of itself", lambda talk: frame(PRIORITY, 0, 3, struct.pack(">IB", 3, 15)))
frames("HTTP/2, a priority that is short", lambda talk: frame(PRIORITY, 0, 3, bytes(4)))
frames("HTTP/2, a window that grows by nothing", lambda talk: frame(WINDOW_UPDATE, 0, 0, bytes(4)))
frames("HTTP/2, a window that grows too large", lambda talk: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"))
frames("HTTP/2, a window of a stream that is not there", lambda talk: frame(WINDOW_UPDATE, 0, 7, bytes([0, 0, 0, 1])))
frames("HTTP/2, a body of a stream that is not there", lambda talk: frame(DATA, END_STREAM, 7, b"hello"))
frames("HTTP/2, a body of no stream", lambda talk: frame(DATA, END_STREAM, 0, b"hello"))
frames("HTTP/2, a reset of a stream that is not there", lambda talk: frame(RST_STREAM, 0, 7, bytes(4)))
frames("HTTP/2, a head on a server's stream", lambda talk: asked(talk, 2))
frames("HTTP/2, a head on no stream", lambda talk: asked(talk, 0))
frames("HTTP/2, a head without its end", lambda talk: asked(talk, talk.stream(), END_STREAM))
frames("HTTP/2, a continuation of nothing", lambda talk: frame(CONTINUATION, END_HEADERS, 1, b""))
frames("HTTP/2, a promise of a client", lambda talk: frame(PUSH_PROMISE, END_HEADERS, 1, bytes([0, 0, 0, 2])))
frames("HTTP/2, a goodbye with an error", lambda talk: frame(GOAWAY, 0, 0, struct.pack(">II", 0, 1)))
frames("HTTP/2, fields that are none",
       lambda talk: frame(HEADERS, END_HEADERS | END_STREAM, talk.stream(), b"\xff" * 6))
frames("HTTP/2, padding longer than the frame",
       lambda talk: frame(HEADERS, END_HEADERS | END_STREAM | PADDED, talk.stream(), bytes([200]) + bytes(9)))


@over_http2
def h2_a_body_behind_the_end(server):
    with server.talk() as talk:
        number = talk.ask(ASKED)
        answers = talk.answers(number)
        talk.send(frame(DATA, END_STREAM, number, b"hello"))
        return answers + talk.answers(talk.ask(ASKED))


@over_http2
def h2_a_head_behind_the_end(server):
    with server.talk() as talk:
        number = talk.ask(ASKED)
        answers = talk.answers(number)
        talk.send(asked(talk, number))
        return answers + talk.answers(talk.ask(ASKED))


@over_http2
def h2_a_stream_with_a_lower_number(server):
    with server.talk() as talk:
        talk.last_stream = 9
        answers = talk.answers(talk.ask(ASKED))
        talk.send(asked(talk, 3))
        return answers + talk.answers(talk.ask(ASKED))


@over_http2
def h2_a_preface_that_is_none(server):
    with server.talk(preface=b"GET / HTTP/1.1\r\n\r\n") as talk:
        return talk.answers(talk.ask(ASKED))
