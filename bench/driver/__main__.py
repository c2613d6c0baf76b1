"""`python3 -m driver`: runs the cases and prints the table of bench/README.md."""

import argparse
import os
import statistics
import tempfile

from . import cases
from .processes import Together
from .servers import Bench, Server

CASES = ["get", "put", "head", "token", "embedded", "memory", "start"]


def main():
    arguments = _arguments()
    if "TIDEGATE" not in os.environ:
        raise SystemExit("start this by bench/run, or set TIDEGATE to the program")
    chosen = set(arguments.cases)
    size = int(arguments.gib * cases.GIB)
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-", dir=arguments.dir) as directory:
        with Bench(directory) as bench:
            print(f"{arguments.rounds} rounds, {arguments.gib} GiB a blob", flush=True)
            rows = _run(bench, chosen, cases.Content(size), arguments)
    print("\n| case | unit | nginx | Tidegate |\n| --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def _run(bench, chosen, content, arguments):
    registry, registry_port = bench.registry()
    nginx, tidegate = bench.nginx(registry_port), bench.tidegate(registry_port)
    both, gib = (nginx, tidegate), content.size_bytes / cases.GIB
    for server in both:
        cases.put_blob(server, content)
        cases.push_image(server)
    rows = []
    for name, title, case in [
        ("get", "blob GET through TLS", cases.get_blob),
        ("put", "blob PUT through TLS", cases.put_blob),
    ]:
        if name in chosen:
            measured = _interleaved(both, arguments.rounds, lambda s, case=case: case(s, content))
            rows.append(_row(title, "CPU s per GiB", *[[x / gib for x in m] for m in measured]))
    if "head" in chosen:
        measured = _interleaved(
            both, arguments.rounds, lambda s: cases.head_manifests(s, arguments.requests)
        )
        per = 10_000 / arguments.requests
        rows.append(
            _row("HEAD manifest, with a bearer token at Tidegate", "CPU s per 10,000",
                 *[[x * per for x in m] for m in measured])
        )
    if "token" in chosen:
        (measured,) = _interleaved(
            (tidegate,), arguments.rounds, lambda s: cases.tokens(s, arguments.requests)
        )
        rates = [arguments.requests / seconds for seconds in measured]
        rows.append(_row("GET /service/token, ES256", "per CPU second", None, rates))
    if "memory" in chosen:
        fresh = bench.tidegate(registry_port, name="tidegate-memory")
        cases.blobs_at_once(fresh, content, 8)
        peak = [fresh.process.peak_rss_mib()]
        rows.append(_row("peak RSS, 8 blobs at once", "MiB", None, peak))
    if "embedded" in chosen:
        embedded = bench.tidegate(name="tidegate-embedded")
        apart = Server(
            "nginx and docker-registry", Together(nginx.process, registry), nginx.client, ""
        )
        measured = _interleaved(
            (apart, embedded), arguments.rounds, lambda s: cases.put_blob(s, content)
        )
        rows.append(
            _row("blob PUT into the embedded registry; nginx with docker-registry",
                 "CPU s per GiB", *[[x / gib for x in m] for m in measured])
        )
    if "start" in chosen:
        started = [tidegate.start_seconds * 1000]
        rows.append(_row("start to listening, existing database", "ms", None, started))
    return rows


def _interleaved(servers, rounds, work):
    """CPU seconds of each server for `work`, taken in turn so that noise meets all alike."""
    measured = [[] for _server in servers]
    for _ in range(rounds):
        for server, seconds in zip(servers, measured):
            before = server.process.cpu_seconds()
            work(server)
            seconds.append(server.process.cpu_seconds() - before)
            print(f"  {server.name}: {seconds[-1]:.2f} CPU s", flush=True)
    return measured


def _row(title, unit, nginx, tidegate):
    return title, unit, _figure(nginx), _figure(tidegate)


def _figure(values):
    """The median, and between which values it lies."""
    if values is None:
        return ""
    middle = statistics.median(values)
    digits = 0 if middle >= 100 else 2
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("cases", nargs="*", default=CASES, metavar="CASE",
                        help=f"any of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=float, default=1.0, help="size of a blob")
    parser.add_argument("--requests", type=int, default=10_000, help="requests of a small case")
    parser.add_argument("--dir", default=None, help="where the temporary directory goes; wants 12 GiB")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    main()
