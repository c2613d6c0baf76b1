"""What clients do."""

from corpus import (ACCEPT, DIGEST, LAYER_DIGEST, NO_BODY, NOWHERE, REPOSITORY, TOO_LARGE, TYPE, UPLOADS,
                    Request, begin, case, digest_of, flow, manifest, push, put, with_digest)

case("ping", "GET", "/v2/")
case("ping, HEAD", "HEAD", "/v2/")
case("ping without slash", "GET", "/v2")
case("manifest by tag", "GET", f"{REPOSITORY}/manifests/v1", ACCEPT)
case("manifest by digest", "GET", f"{REPOSITORY}/manifests/{DIGEST}", ACCEPT)
case("manifest by an escaped digest", "GET", f"{REPOSITORY}/manifests/{DIGEST.replace(':', '%3A')}", ACCEPT)
case("manifest, HEAD", "HEAD", f"{REPOSITORY}/manifests/v1", ACCEPT)
case("manifest without Accept", "GET", f"{REPOSITORY}/manifests/v1")
case("manifest that the client has",
     "GET", f"{REPOSITORY}/manifests/v1", f'{ACCEPT}If-None-Match: "{DIGEST}"\r\n')
case("manifest that is not there", "GET", f"{REPOSITORY}/manifests/none", ACCEPT)
case("manifest of no repository", "GET", "/v2/library/none/manifests/v1", ACCEPT)
case("tags", "GET", f"{REPOSITORY}/tags/list")
case("tags, a page", "GET", f"{REPOSITORY}/tags/list?n=1")
case("tags, the page behind", "GET", f"{REPOSITORY}/tags/list?n=1&last=v1")
case("tags, compressed", "GET", f"{REPOSITORY}/tags/list", "Accept-Encoding: gzip\r\n")
case("tags of no repository", "GET", "/v2/library/none/tags/list")
case("catalogue", "GET", "/v2/_catalog")
case("blob", "GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}")
case("blob, HEAD", "HEAD", f"{REPOSITORY}/blobs/{LAYER_DIGEST}")
case("blob, a range", "GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", "Range: bytes=3-9\r\n")
case("blob, the rest", "GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", "Range: bytes=1000-\r\n")
case("blob, the end", "GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", "Range: bytes=-5\r\n")
case("blob, behind its end", "GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", "Range: bytes=9999-\r\n")
case("blob that the client has",
     "GET", f"{REPOSITORY}/blobs/{LAYER_DIGEST}", f'If-None-Match: "{LAYER_DIGEST}"\r\n')
case("blob that is not there", "GET", f"{REPOSITORY}/blobs/{NOWHERE}")
case("blob that is not there, HEAD", "HEAD", f"{REPOSITORY}/blobs/{NOWHERE}")
case("referrers", "GET", f"{REPOSITORY}/referrers/{DIGEST}")
case("upload, begun", "POST", UPLOADS, NO_BODY)
case("upload, begun without slash", "POST", f"{REPOSITORY}/blobs/uploads", NO_BODY)
case("upload, begun without length", "POST", UPLOADS)
case("upload, mount of what is not there",
     "POST", f"{UPLOADS}?mount={NOWHERE}&from=library/parity", NO_BODY)
UNKNOWN = f"{UPLOADS}11111111-1111-1111-1111-111111111111"
case("upload that is not there", "PATCH", UNKNOWN, body=b"xx")
case("upload that is not there, asked for", "GET", UNKNOWN)
case("manifest that is no JSON", "PUT", f"{REPOSITORY}/manifests/x", f"Content-Type: {TYPE}\r\n", b"{nope")
case("manifest without a type", "PUT", f"{REPOSITORY}/manifests/x", body=b"{}")
case("delete of a tag that is not there", "DELETE", f"{REPOSITORY}/manifests/none")
case("delete of a digest that is not there", "DELETE", f"{REPOSITORY}/manifests/{NOWHERE}")
case("delete of a blob that is not there", "DELETE", f"{REPOSITORY}/blobs/{NOWHERE}")


@flow
def upload_in_chunks_asked_for_in_between(server):
    content = server.content("in chunks")
    answers = begin(server)
    for chunk in (content[:100], content[100:500], content[500:]):
        answers += server.ask(
            Request("PATCH", answers[-1].path(), "Content-Type: application/octet-stream\r\n", chunk))
    answers += server.ask(Request("GET", answers[-1].path()))
    digest = digest_of(content)
    answers += server.ask(Request("PUT", with_digest(answers[-2].path(), digest), body=b""))
    return answers + server.ask(Request("GET", f"{REPOSITORY}/blobs/{digest}"))


@flow
def upload_that_is_large(server):
    content = server.content("large", 200_000)
    answers = begin(server)
    answers += server.ask(put(answers[0].path(), content))
    return answers + server.ask(Request("GET", f"{REPOSITORY}/blobs/{digest_of(content)}"))


@flow
def upload_with_the_wrong_digest(server):
    answers = begin(server)
    path = with_digest(answers[0].path(), NOWHERE)
    return answers + server.ask(Request("PUT", path, body=b"something else"))


@flow
def upload_mounted(server):
    content = server.content("mounted")
    (begun,) = begin(server)
    answers = server.ask(put(begun.path(), content))
    return answers + server.ask(
        Request("POST", f"{UPLOADS}?mount={digest_of(content)}&from=library/parity", NO_BODY))


@flow
def upload_cancelled(server):
    answers = begin(server)
    answers += server.ask(Request("DELETE", answers[0].path()))
    return answers + server.ask(Request("GET", answers[0].path()))


@flow
def manifest_put_and_put_again(server):
    content = server.note("a manifest", manifest(server.content("a manifest", 1).decode()))
    asked = push(digest_of(content), content)
    return server.ask(asked) + server.ask(asked)


@flow
def manifest_larger_than_any(server):
    return server.ask(push("x", b" " * TOO_LARGE))
