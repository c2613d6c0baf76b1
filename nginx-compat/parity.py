"""Plays the corpus against nginx and against Tidegate, both in front of the same registry, and compares.

`PARITY_NGINX` and `PARITY_TIDEGATE` are their ports on loopback, `PARITY_USER` and `PARITY_PASSWORD` who
asks. Every difference must stand in the table of README.md, and every line of the table must be met.
"""

import os
import pathlib
import re
import sys

import corpus
from wire import Server

# Each server's own, and what README.md says of all answers.
OWN = {
    "date", "server", "connection", "keep-alive", "content-length", "transfer-encoding", "x-request-id",
    "tidegate-installation", "strict-transport-security", "x-frame-options", "content-security-policy",
    "x-content-type-options",
}
README = pathlib.Path(__file__).with_name("README.md")


def differences(name, nginx, tidegate):
    """Lines `case | nginx | Tidegate` of what two servers have answered."""
    theirs, ours = ([answer.status for answer in answers] for answers in (nginx, tidegate))
    if theirs != ours:
        yield f"{name} | {_list(theirs)} | {_list(ours)}"
        return
    for ahead, ahead_of_us in zip(nginx, tidegate):
        if ahead.status >= 400:
            continue  # the status says it; the words are each server's own
        for header in sorted((ahead.headers.keys() | ahead_of_us.headers.keys()) - OWN):
            pair = [_neutral(answer, answer.header(header)) for answer in (ahead, ahead_of_us)]
            if header == "content-type":
                pair = [value.split(";")[0] for value in pair]
            if pair[0] != pair[1]:
                yield f"{name} | {header}: {pair[0]} | {header}: {pair[1]}"
        bodies = [answer.body.decode("latin-1").rstrip("\n") for answer in (ahead, ahead_of_us)]
        if bodies[0] != bodies[1]:
            yield f"{name} | {bodies[0]} | {bodies[1]}"


def _list(statuses):
    return ", ".join(map(str, statuses)) or "closed"


def _neutral(answer, value):
    """Without what differs from one request to the next; a Location may leave out the server."""
    value = re.sub(rf"https?://(localhost|127\.0\.0\.1):{answer.server.port}", "", value)
    value = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", value)
    return re.sub(r"_state=[^&]*", "_state=…", value)


def expected():
    """The lines of README.md's table, without the reasons."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| .+ \|$", README.read_text(), re.MULTILINE)
    return {" | ".join(row) for row in rows if row[0] != "case" and not row[0].startswith("---")}


def main():
    nginx = Server("nginx", int(os.environ["PARITY_NGINX"]))
    tidegate = Server("Tidegate", int(os.environ["PARITY_TIDEGATE"]))
    corpus.prepare(tidegate)
    found = set()
    for name, play in corpus.CASES.items():
        found.update(differences(name, play(nginx), play(tidegate)))
    stated = expected()
    for line in sorted(found - stated):
        print(f"not in README.md: {line}")
    for line in sorted(stated - found):
        print(f"in README.md, but not met: {line}")
    print(f"{len(corpus.CASES)} cases, {len(found)} differences")
    sys.exit(found != stated)


if __name__ == "__main__":
    main()
