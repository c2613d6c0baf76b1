"""Plays the corpus against nginx and against Tidegate, both in front of the same registry, and compares.

`PARITY_NGINX` and `PARITY_TIDEGATE` are their ports on loopback, `PARITY_USER` and `PARITY_PASSWORD` who
asks. Every difference must stand in the table of README.md, and every line of the table must be met.
"""

import concurrent.futures
import os
import pathlib
import re
import sys

import corpus
# Each adds its cases; the slowest first.
import corpus.slow
import corpus.aborted
import corpus.kept
import corpus.http2
import corpus.clients
import corpus.framing
import corpus.paths
from frames import OverHttp2
from wire import Server, digest_of

# Each server's own, and what README.md says of all answers.
OWN = {
    "date", "server", "connection", "keep-alive", "content-length", "transfer-encoding", "x-request-id",
    "tidegate-installation", "strict-transport-security", "x-frame-options", "content-security-policy",
    "x-content-type-options",
}
# How HTTP/2 says that a request is malformed: servers choose (RFC 9113, section 8.1.1).
MALFORMED = {400, "reset", "closed"}
README = pathlib.Path(__file__).with_name("README.md")
OVER = {corpus.HTTP1: lambda server: server, corpus.HTTP2: OverHttp2}
# Slow clients mostly wait.
AT_ONCE = 24


def differences(name, nginx, tidegate):
    """Lines `case | nginx | Tidegate` of what two servers have answered."""
    theirs, ours = ([answer.status for answer in answers] for answers in (nginx, tidegate))
    if len(theirs) != len(ours) or not all(map(_means_the_same, theirs, ours)):
        yield f"{name} | {_list(theirs)} | {_list(ours)}"
        return
    for ahead, ahead_of_us in zip(nginx, tidegate):
        if ahead.is_refusal():
            continue  # the status says it; the words are each server's own
        for header in sorted((ahead.headers.keys() | ahead_of_us.headers.keys()) - OWN):
            pair = [_neutral(answer, answer.header(header)) for answer in (ahead, ahead_of_us)]
            if header == "content-type":
                pair = [value.split(";")[0] for value in pair]
            if pair[0] != pair[1]:
                yield f"{name} | {header}: {pair[0]} | {header}: {pair[1]}"
        # Of a body that is there, chunks say as much as a length.
        lengths = [answer.header("content-length") or "0" for answer in (ahead, ahead_of_us)]
        if not ahead.body and not ahead_of_us.body and lengths[0] != lengths[1]:
            yield f"{name} | content-length: {lengths[0]} | content-length: {lengths[1]}"
        bodies = [_content(answer) for answer in (ahead, ahead_of_us)]
        if bodies[0] != bodies[1]:
            yield f"{name} | {bodies[0][:100]} | {bodies[1][:100]}"


def _means_the_same(theirs, ours):
    return theirs == ours or {theirs, ours} <= MALFORMED


def _list(statuses):
    return ", ".join(map(str, statuses)) or "closed"


def _content(answer):
    """The body, or what it is called where each server was sent another."""
    return answer.server.names.get(digest_of(answer.body)) or answer.body.decode("latin-1").rstrip("\n")


def _neutral(answer, value):
    """Without what differs from one request to the next; a Location may leave out the server."""
    value = re.sub(rf"https?://(localhost|127\.0\.0\.1):{answer.server.port}", "", value)
    for digest, content in list(answer.server.names.items()):
        value = value.replace(digest, f"digest of {content}")
    value = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", value)
    return re.sub(r"_state=[^&]*", "_state=…", value)


def compared(name, played):
    """The differences of a case, of the answers of both servers by protocol. What is so over one of its
    protocols alone is said to be."""
    found = {protocol: set(differences(name, *(answers.result() for answers in both)))
             for protocol, both in played.items()}
    everywhere = set.intersection(*found.values())
    apart = {f"{protocol}: {line}" for protocol, lines in found.items() for line in lines - everywhere}
    return everywhere | apart


def expected():
    """The lines of README.md's table, without the reasons."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| .+ \|$", README.read_text(), re.MULTILINE)
    return {" | ".join(row) for row in rows if row[0] != "case" and not row[0].startswith("---")}


def main():
    tidegate = Server("Tidegate", int(os.environ["PARITY_TIDEGATE"]))
    servers = [Server("nginx", int(os.environ["PARITY_NGINX"])), tidegate]
    corpus.prepare(tidegate)
    found = set()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        begun = {
            name: {protocol: [pool.submit(play, OVER[protocol](server)) for server in servers]
                   for protocol, play in plays.items()}
            for name, plays in corpus.CASES.items()
        }
        for name, played in begun.items():
            found.update(compared(name, played))
    stated = expected()
    for line in sorted(found - stated):
        print(f"not in README.md: {line}")
    for line in sorted(stated - found):
        print(f"in README.md, but not met: {line}")
    played = sum(map(len, corpus.CASES.values()))
    print(f"{len(corpus.CASES)} cases, {played} with both protocols, {len(found)} differences")
    sys.exit(found != stated)


if __name__ == "__main__":
    main()
