"""`python3 -m driver`: runs the cases and prints the table of bench/README.md."""

import argparse
import os
import ssl
import statistics
import tempfile
from functools import cached_property

from . import build, cases, full
from .processes import Together
from .servers import Bench, Server


class Stage:
    """The servers of the cases, started when the first case wants them, and what they serve."""

    def __init__(self, bench, options):
        self.bench = bench
        self.options = options

    @cached_property
    def content(self):
        return cases.Content(int(self.options.gib * cases.GIB))

    @cached_property
    def registry(self):
        return self.bench.registry()

    @cached_property
    def nginx(self):
        return self._filled(self.bench.nginx(self.registry[1]))

    @cached_property
    def tidegate(self):
        return self._filled(self.bench.tidegate(self.registry[1]))

    @cached_property
    def embedded(self):
        return self._filled(self.bench.tidegate(name="tidegate-embedded"))

    @property
    def gateways(self):
        """Alone: the registry behind costs the same."""
        return self.nginx, self.tidegate

    @property
    def all_included(self):
        """Each with the registry that it needs; nginx first."""
        return self._with_registry(self.nginx), self._with_registry(self.tidegate), self.embedded

    def fresh(self, name):
        return self._filled(self.bench.tidegate(self.registry[1], name=name))

    def _with_registry(self, server):
        registry, _port = self.registry
        name = f"{server.name} and docker-registry"
        together = Server(name, Together(server.process, registry), server.client, "")
        together.needs_token = server.needs_token
        return together

    def _filled(self, server):
        cases.put_blob(server, self.content)
        cases.push_images(server, 1)
        return server

    def cpu(self, servers, work, per, unit):
        """One figure for each server: CPU seconds of `work`, taken in turn so that noise meets all
        alike, for `per` of what it does."""
        measured = [[] for _server in servers]
        for _ in range(self.options.rounds):
            for server, figures in zip(servers, measured):
                before = server.process.cpu_seconds()
                work(server)
                figures.append((server.process.cpu_seconds() - before) * per)
                print(f"  {server.name}: {figures[-1]:.2f} {unit}", flush=True)
        return [_figure(figures) for figures in measured]

    def per_gib(self, servers, work):
        share = cases.GIB / self.content.size_bytes
        return self.cpu(servers, lambda server: work(server, self.content), share, PER_GIB)

    def per_requests(self, servers, work, count=None):
        count = count or self.options.requests
        for server in servers:
            # Not measured: a process that has just started.
            work(server, count // 10)
        return self.cpu(servers, lambda server: work(server, count), 10_000 / count, PER_REQUESTS)


def get(stage):
    yield "blob GET", PER_GIB, stage.per_gib(stage.gateways, cases.get_blob)


def put(stage):
    yield "blob PUT, whole", PER_GIB, stage.per_gib(stage.gateways, cases.put_blob)
    chunks = stage.per_gib(stage.gateways, cases.put_blob_in_chunks)
    yield "blob PUT in chunks of 16 MiB", PER_GIB, chunks


def embedded(stage):
    servers = stage.all_included[0], stage.embedded
    yield "blob GET, all included", PER_GIB, _skip_one(stage.per_gib(servers, cases.get_blob))
    yield "blob PUT, all included", PER_GIB, _skip_one(stage.per_gib(servers, cases.put_blob))


def small(stage):
    repository = f"/v2/{stage.tidegate.repository}"
    for title, method, target in [
        ("HEAD of a manifest", "HEAD", f"{repository}/manifests/v1"),
        ("GET of a manifest", "GET", f"{repository}/manifests/v1"),
        ("HEAD of a blob", "HEAD", f"{repository}/blobs/{stage.content.digest}"),
        ("tags list", "GET", f"{repository}/tags/list"),
        ("/v2/", "GET", "/v2/"),
    ]:
        def work(server, count, method=method, target=target):
            cases.repeat(server, method, target, count)

        yield f"{title}, all included", PER_REQUESTS, stage.per_requests(stage.all_included, work)


def latency(stage):
    target = f"/v2/{stage.tidegate.repository}/manifests/v1"
    figures = []
    for server in stage.all_included:
        taken = cases.latencies(server, "GET", target, per_second=100, seconds=10)
        cut = statistics.quantiles(taken, n=100)
        figures.append(f"p50 {cut[49]:.2f}, p99 {cut[98]:.2f}")
    yield "GET of a manifest, 100 a second", "ms", figures


def token(stage):
    figures = stage.per_requests((stage.tidegate,), cases.tokens)
    yield "GET /service/token, ES256, cached credentials", PER_REQUESTS, ["", *figures]


def image(stage):
    size = int(stage.options.gib * cases.GIB) // 40
    images = [cases.Image(n, 10, size) for n in range(4)]
    mib = sum(layer.size_bytes for image in images for layer in image.layers) / cases.MIB
    servers = stage.all_included[0], stage.embedded
    for title, work in [("push", cases.push_at_once), ("pull", cases.pull_at_once)]:
        rates = [[] for _server in servers]
        for _ in range(stage.options.rounds):
            if title == "push":
                images = [cases.Image(n, 10, size) for n in range(4)]
                for server in servers:
                    server.pushed = images
            for server, figures in zip(servers, rates):
                figures.append(mib / work(server, server.pushed))
                print(f"  {server.name}: {figures[-1]:.0f} MiB/s", flush=True)
        row = _skip_one([_figure(figures) for figures in rates])
        yield f"{title} of 10 layers by 4 clients, all included", "MiB/s", row


def handshake(stage):
    for version, name in [(ssl.TLSVersion.TLSv1_2, "1.2"), (ssl.TLSVersion.TLSv1_3, "1.3")]:
        for is_resumed, title in [(False, "full"), (True, "resumed")]:
            def work(server, count, version=version, is_resumed=is_resumed):
                cases.handshakes(server, count, version, is_resumed)

            figures = stage.per_requests(stage.gateways, work, count=2_000)
            yield f"{title} handshake, TLS {name}, with a request", PER_REQUESTS, figures


def memory(stage):
    server = stage.fresh("tidegate-blobs")
    cases.blobs_at_once(server, stage.content, 8)
    yield "peak RSS, 8 blobs at once", "MiB", ["", f"{server.process.peak_rss_mib():.1f}"]
    server = stage.fresh("tidegate-idle")
    before = server.process.rss_mib()
    idle = cases.Idle(server, 1000)
    each = (server.process.rss_mib() - before) * 1024 / 1000
    idle.close()
    yield "1,000 idle connections, each", "KiB", ["", f"{each:.1f}"]
    server = stage.fresh("tidegate-slow")
    cases.slow_downloads(server, stage.content, count=200, seconds=10)
    yield "peak RSS, 200 slow downloads", "MiB", ["", f"{server.process.peak_rss_mib():.1f}"]


def large(stage):
    """What a large installation costs the hot path, beside the gateway of the other cases."""
    crowded = stage.fresh("tidegate-large")
    full.fill(crowded, stage.registry[1], stage.options.large)
    servers = stage.tidegate, crowded
    repository = f"/v2/{stage.tidegate.repository}"
    reads = stage.options.requests
    for title, count, work in [
        ("GET of a manifest", reads,
         lambda server, count: cases.repeat(server, "GET", f"{repository}/manifests/v1", count)),
        ("GET /service/token", reads, cases.tokens),
        ("PUT of a manifest", min(reads, 2000), cases.push_images),
    ]:
        empty, crowd = stage.per_requests(servers, work, count)
        yield f"{title}: empty database; large one", PER_REQUESTS, ["", empty, crowd]


def start(stage):
    yield "start to listening, existing database", "ms", ["", f"{stage.tidegate.start_seconds * 1000:.0f}"]


def building(stage):
    return build.rows(stage.bench.directory)


CASES = {
    "get": get,
    "put": put,
    "embedded": embedded,
    "small": small,
    "latency": latency,
    "token": token,
    "image": image,
    "handshake": handshake,
    "memory": memory,
    "large": large,
    "start": start,
    "build": building,
}
PER_GIB = "CPU s per GiB"
PER_REQUESTS = "CPU s per 10,000"


def main():
    options = _arguments()
    if "TIDEGATE" not in os.environ:
        raise SystemExit("start this by bench/run, or set TIDEGATE to the program")
    rows = []
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-", dir=options.dir) as directory:
        with Bench(directory) as bench:
            print(f"{options.rounds} rounds, {options.gib} GiB a blob", flush=True)
            stage = Stage(bench, options)
            for name in options.cases:
                print(name, flush=True)
                rows += CASES[name](stage)
    print("\n| case | unit | nginx | Tidegate | Tidegate, embedded |\n| --- | --- | --- | --- | --- |")
    for title, unit, figures in rows:
        print("| " + " | ".join([title, unit, *figures, "", ""][:5]) + " |")


def _skip_one(figures):
    """nginx and the embedded registry, without what stands between."""
    return [figures[0], "", figures[1]]


def _figure(values):
    """The median, and between which values it lies."""
    middle = statistics.median(values)
    digits = 0 if middle >= 100 else 2
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE",
                        help=f"any of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=float, default=1.0, help="size of a blob")
    parser.add_argument("--requests", type=int, default=10_000, help="requests of a small case")
    parser.add_argument("--large", type=float, default=1.0, help="share of a large installation")
    parser.add_argument("--dir", default=None, help="where the temporary directory goes; wants 12 GiB")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
