"""The cases. Each builds its own servers, and gives rows of the table: title, unit, skopeo, Tidegate."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

from ..servers import PROJECT
from . import image as images
from .scene import PATIENCE_SECONDS, Target, replicate, requests_of, skopeo
from ..processes import free_port

# Less than half a gigabit line, so that two cores serve all servers of a scene.
LINE_MIB_PER_SECOND = 40


class Scene:
    """A source registry, Tidegate before it, and targets at `rtt` ms to which it replicates."""

    def __init__(self, bench, name, rtts):
        self.bench, self.name = bench, name
        self.source_port = free_port()
        self.source, _port = bench.registry(f"{name}-source", self.source_port)
        self.gateway = bench.tidegate(self.source_port, name=f"{name}-tidegate")
        self.targets = [
            Target(bench, f"{name}-target-{n}", rtt) for n, rtt in enumerate(rtts)
        ]
        replicate(self.gateway, self.targets)

    def close(self):
        for target in self.targets:
            target.stop()
            self.bench.stop(target.line)
        self.bench.stop(self.gateway.process)
        self.bench.stop(self.source)

    def headers(self):
        return self.gateway.client.authorization(self.gateway)

    def push(self, tag, image, known=(), mib_per_second=None):
        """Pushes; the moment of the manifest's 201."""
        client, repository = self.gateway.client, self.gateway.repository
        images.push(client, repository, tag, image, self.headers(), known, mib_per_second)
        return time.monotonic()

    def arrivals(self, tag, image):
        repository = self.gateway.repository
        return [target.wait_for(repository, tag, image.digest) for target in self.targets]

    def skopeo(self, tag, repository):
        return skopeo(
            self.source_port, f"{PROJECT}/image:{tag}",
            self.targets[0].far_port, f"{repository}:{tag}",
        )


def lag(bench, options):
    """From the manifest's 201 to the target having the tag; beside it a whole `skopeo copy`."""
    rows = []
    for rtt in (0, 80):
        ours, theirs = {}, {}
        for turn in range(options.rounds):
            scene = Scene(bench, f"lag-{rtt}-{turn}", [rtt])
            for title, tag, image, known in _steps(options):
                pushed = scene.push(tag, image, known)
                (arrived,) = scene.arrivals(tag, image)
                ours.setdefault(title, []).append((arrived - pushed) * 1000)
                theirs.setdefault(title, []).append(scene.skopeo(tag, "skopeo/image") * 1000)
            scene.close()
        rows += [
            (f"lag, {title}, {rtt} ms", "ms", theirs[title], figures)
            for title, figures in ours.items()
        ]
    return rows


def requests(bench, options):
    """What the target is asked for each step after the first."""
    scene, rows = Scene(bench, "requests", [0]), []
    (target,) = scene.targets
    steps = list(_steps(options))
    first = steps[0][2]
    steps.insert(1, ("re-push", "v1", first, first.blobs()))
    for title, tag, image, known in steps:
        before = len(target.requests())
        scene.push(tag, image, known)
        scene.arrivals(tag, image)
        _settle(target)
        between = len(target.requests())
        scene.skopeo(tag, "skopeo/image")
        _settle(target)
        after = len(target.requests())
        rows.append(
            (f"requests to the target, {title}", "requests", [after - between], [between - before])
        )
    scene.close()
    return rows


def reads(bench, options):
    """Blobs read at the source for three targets."""
    scene = Scene(bench, "reads", [0, 0, 0])
    image = images.Image.random(options.layers, options.layer_bytes)
    scene.push("v1", image)
    scene.arrivals("v1", image)
    ours = _blob_reads(scene.source)
    for target in scene.targets:
        skopeo(scene.source_port, f"{PROJECT}/image:v1", target.far_port, "skopeo/image:v1")
    theirs = _blob_reads(scene.source) - ours
    scene.close()
    return [("blob reads at the source for 3 targets", "requests", [theirs], [ours])]


def push(bench, options):
    """The client's push with three targets, one of them stalled, beside one with none: as fast as
    it goes, where all compete for the same cores, and at the pace of a line, where they do not."""
    scenes = {
        "without targets": Scene(bench, "push-alone", []),
        "with 3 targets, one stalled": Scene(bench, "push-tee", [0, 0, 0]),
    }
    scenes["with 3 targets, one stalled"].targets[2].reach("stall")
    rows, turns = [], itertools.count()
    for pace, mib_per_second in ("", None), (f" at {LINE_MIB_PER_SECOND} MiB/s", LINE_MIB_PER_SECOND):
        seconds = {title: [] for title in scenes}
        for _ in range(options.rounds):
            for title, scene in scenes.items():
                image, tag = images.Image.random(options.layers, options.layer_bytes), f"v{next(turns)}"
                start = time.monotonic()
                pushed = scene.push(tag, image, mib_per_second=mib_per_second)
                seconds[title].append(pushed - start)
                for target in scene.targets[:2]:
                    target.wait_for(scene.gateway.repository, tag, image.digest)
        rows += [(f"push{pace} {title}", "s", None, seconds[title]) for title in scenes]
    for title, scene in scenes.items():
        _push_at_once(scene, options, 8)
        peak = [scene.gateway.process.peak_rss_mib()]
        rows.append((f"peak RSS, 8 pushes at once, {title}", "MiB", None, peak))
        scene.close()
    return rows


def outage(bench, options):
    """Pushes while the target is down, then up: what is lost, and what is copied in vain."""
    scene = Scene(bench, "outage", [0])
    (target,) = scene.targets
    target.stop()
    tags = max(1, options.pushes // 10)
    newest, known = {}, []
    layer = images.Image.random(1, 1024).layers[0]
    for n in range(options.pushes):
        image = images.Image([layer])
        tag = f"t{n % tags}"
        scene.push(tag, image, known)
        newest[tag], known = image, [layer]
    target.start()
    start = time.monotonic()
    repository, end = scene.gateway.repository, start + PATIENCE_SECONDS
    missing = set(newest)
    while missing and time.monotonic() < end:
        missing = {tag for tag in missing if target.digest(repository, tag) != newest[tag].digest}
    seconds = time.monotonic() - start
    _settle(target)
    puts = [text for text in target.requests() if text.startswith("PUT ") and "/manifests/" in text]
    scene.close()
    title = f"{options.pushes} pushes of {tags} tags while the target was down"
    return [
        (f"{title}: tags lost", "tags", None, [len(missing)]),
        (f"{title}: manifests copied", "manifests", None, [len(puts)]),
        (f"{title}: from up to equal", "s", None, [seconds]),
    ]


def _steps(options):
    """A first push, one with a new layer, and a second tag: title, tag, image, known blobs."""
    first = images.Image.random(options.layers, options.layer_bytes)
    second = first.with_new_layer()
    yield "cold", "v1", first, []
    yield f"one new layer of {options.layers}", "v2", second, first.layers[:-1]
    yield "re-tag", "v3", second, second.blobs()


def _blob_reads(source):
    return sum(text.startswith("GET ") and "/blobs/" in text for text in requests_of(source))


def _settle(target, quiet_seconds=1.0):
    """Until the target is asked no more."""
    count, since = len(target.requests()), time.monotonic()
    while time.monotonic() - since < quiet_seconds:
        time.sleep(0.05)
        if len(target.requests()) != count:
            count, since = len(target.requests()), time.monotonic()


def _push_at_once(scene, options, count):
    def one(n):
        image = images.Image.random(options.layers, options.layer_bytes)
        scene.push(f"at-once-{n}", image)

    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(one, n) for n in range(count)]:
            future.result()


