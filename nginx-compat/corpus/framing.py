"""What heads may be in HTTP/1, and how bodies may be framed."""

from corpus import (CREDENTIALS, LAYER_DIGEST, NO_BODY, UPLOADS, begin, case, digest_of, over_http1, put,
                    raw, request, with_digest)
from wire import PAUSE

CHUNKED = "Transfer-Encoding: chunked\r\n"

# What headers may be.
case("a header of 9 KB", "GET", "/v2/", "X-Large: " + "a" * 9000 + "\r\n")
case("90 headers", "GET", "/v2/", "".join(f"X-{n}: a\r\n" for n in range(90)))
case("headers of 60 KB", "GET", "/v2/", "".join(f"X-{n}: {'a' * 6000}\r\n" for n in range(10)))
case("headers of 70 KB", "GET", "/v2/", "".join(f"X-{n}: {'a' * 7000}\r\n" for n in range(10)))
case("a header's name with an underscore", "GET", "/v2/", "x_y: b\r\n")
case("forwarded headers of a client",
     "POST", UPLOADS, f"{NO_BODY}X-Forwarded-Proto: http\r\nX-Forwarded-Host: elsewhere\r\n")
raw("no Host", request("GET", "/v2/", head=CREDENTIALS))
raw("two Hosts", request("GET", "/v2/", "Host: other\r\n"))
raw("a Host with a space", request("GET", "/v2/", head=b"Host: a b\r\n" + CREDENTIALS))
raw("an empty Host", request("GET", "/v2/", head=b"Host:\r\n" + CREDENTIALS))
raw("a header's name with a space", request("GET", "/v2/", "X A: b\r\n"))
raw("a space before the colon", request("GET", "/v2/", "X-A : b\r\n"))
raw("a header without a colon", request("GET", "/v2/", "Nonsense\r\n"))
raw("a header without a name", request("GET", "/v2/", ": b\r\n"))
raw("a folded header", request("GET", "/v2/", "X-A: b\r\n c\r\n"))
raw("a control character in a header", request("GET", "/v2/", "X-A: b\x01c\r\n"))
raw("a NUL in a header", request("GET", "/v2/", "X-A: b\0c\r\n"))
raw("a CR in a header", request("GET", "/v2/", "X-A: b\rX-C: d\r\n"))
raw("Latin-1 in a header", request("GET", "/v2/", "X-A: \xe9\r\n"))
raw("lines that end with LF alone", request("GET", "/v2/").replace(b"\r\n", b"\n"))

# How bodies may be framed.
raw("a body with a GET", request("GET", "/v2/", body=b"hello"))
raw("a transfer coding nobody knows", request("POST", UPLOADS, "Transfer-Encoding: gzip\r\n"))
raw("a transfer coding in capitals", request("POST", UPLOADS, "Transfer-Encoding: CHUNKED\r\n") + b"0\r\n\r\n")
raw("chunks of what is compressed", request("POST", UPLOADS, "Transfer-Encoding: gzip, chunked\r\n") + b"0\r\n\r\n")
raw("chunks twice", request("POST", UPLOADS, "Transfer-Encoding: chunked, chunked\r\n") + b"0\r\n\r\n")
raw("chunks, but not last", request("POST", UPLOADS, "Transfer-Encoding: chunked, gzip\r\n") + b"0\r\n\r\n")
raw("chunks and a length", request("POST", UPLOADS, f"{CHUNKED}Content-Length: 5\r\n") + b"0\r\n\r\n")
raw("chunks that are none", request("POST", f"{UPLOADS}?digest={LAYER_DIGEST}", CHUNKED) + b"zz\r\n")
raw("chunks over HTTP/1.0", request("POST", UPLOADS, CHUNKED, version="HTTP/1.0") + b"0\r\n\r\n")
raw("a negative length", request("POST", UPLOADS, "Content-Length: -1\r\n"))
raw("a length with a sign", request("POST", UPLOADS, "Content-Length: +0\r\n"))
raw("a length with a space within", request("POST", UPLOADS, "Content-Length: 1 0\r\n"))
raw("a length larger than any", request("POST", UPLOADS, "Content-Length: 99999999999999999999\r\n"))
raw("the same length twice", request("POST", UPLOADS, NO_BODY * 2))
raw("two lengths", request("POST", UPLOADS, f"{NO_BODY}Content-Length: 1\r\n"))
raw("two lengths on a line", request("POST", UPLOADS, "Content-Length: 0, 0\r\n"))


def _chunked(server, chunks, content=b"hello world"):
    """An upload whose body is these bytes; whether it arrived as the content, and the next request."""
    (begun,) = begin(server)
    sent = request("PUT", with_digest(begun.path(), digest_of(content)), CHUNKED) + chunks
    return server.exchange(sent + request("GET", "/v2/"), 2)


@over_http1
def upload_without_a_length(server):
    return _chunked(server, b"5\r\nhello\r\n" + PAUSE + b"6\r\n world\r\n0\r\n\r\n")


@over_http1
def chunks_with_extensions(server):
    return _chunked(server, b'5;a=b;c="d"\r\nhello\r\n6 ; e\r\n world\r\n0\r\n\r\n')


@over_http1
def chunks_with_trailers(server):
    return _chunked(server, b"B\r\nhello world\r\n0\r\nX-Checksum: 1\r\nContent-Length: 5\r\n\r\n")


@over_http1
def chunks_with_zeros_before_their_size(server):
    return _chunked(server, b"0000000b\r\nhello world\r\n000\r\n\r\n")


@over_http1
def chunks_whose_lines_end_with_LF_alone(server):
    return _chunked(server, b"b\nhello world\n0\n\n")


@over_http1
def chunks_larger_than_any(server):
    return _chunked(server, b"fffffffffffffffff\r\nhello world\r\n0\r\n\r\n")


@over_http1
def chunks_longer_than_their_size(server):
    return _chunked(server, b"a\r\nhello world\r\n0\r\n\r\n")


@over_http1
def a_request_within_a_body(server):
    hidden = request("GET", "/v1/", head=b"Host: x\r\n")
    (begun,) = begin(server)
    return server.exchange(bytes(put(begun.path(), hidden)) + request("GET", "/v2/"), 2)
