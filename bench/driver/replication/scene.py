"""The servers of the replication cases: a source registry behind Tidegate, and target registries
at the end of a line with a round-trip time."""

import http.client
import os
import subprocess
import sys
import time

from ..cases import MANIFEST_TYPE
from ..processes import free_port
from ..servers import PROJECT

PATIENCE_SECONDS = 600


class Target:
    """A docker-registry that logs its requests, and the port by which it is reached from afar."""

    def __init__(self, bench, name, rtt):
        self.bench, self.name = bench, name
        self.port, self.far_port, self.line = free_port(), free_port(), None
        self.start()
        self.reach(rtt)

    def start(self):
        self.process, _port = self.bench.registry(self.name, self.port)

    def stop(self):
        self.bench.stop(self.process)

    def reach(self, rtt):
        """Puts a line of this round-trip time in ms, or `stall`, before the registry."""
        if self.line:
            self.bench.stop(self.line)
        command = [sys.executable, "-m", "driver.delay"]
        command += [str(self.far_port), str(self.port), str(rtt)]
        self.line = self.bench.start(f"{self.name}-line", command)
        self.line.wait_for_port(self.far_port)

    def requests(self):
        """Method and path of every request so far."""
        return requests_of(self.process)

    def digest(self, repository, tag):
        """What the tag is at the target, asked directly; it does not count."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Accept": MANIFEST_TYPE, "User-Agent": PROBE}
            connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer.headers.get("Docker-Content-Digest") if answer.status == 200 else None
        except OSError:
            return None
        finally:
            connection.close()

    def wait_for(self, repository, tag, digest):
        """The moment at which the target has the tag."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.digest(repository, tag) != digest:
            if time.monotonic() > end:
                raise SystemExit(f"{self.name} did not get {repository}:{tag}")
            time.sleep(0.002)
        return time.monotonic()


def requests_of(process):
    """From the access log, without the driver's own."""
    with open(process.log_path) as log:
        lines = [text for text in log if ' "' in text and " HTTP/1." in text and PROBE not in text]
    return [" ".join(text.split('"', 2)[1].split()[:2]) for text in lines]


def replicate(server, targets):
    """A policy for each target that copies every push."""
    for target in targets:
        registry = server.create("/registries", {
            "name": target.name,
            "type": "docker-registry",
            "url": f"http://127.0.0.1:{target.far_port}",
        })
        server.create("/replication/policies", {
            "name": target.name,
            "dest_registry": {"id": registry},
            "trigger": {"type": "event_based"},
            "filters": [{"type": "name", "value": f"{PROJECT}/**"}],
            "enabled": True,
            "override": True,
        })


def skopeo(source_port, source, target_port, target):
    """Copies as people do by hand; seconds."""
    start = time.monotonic()
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false",
         f"docker://127.0.0.1:{source_port}/{source}", f"docker://127.0.0.1:{target_port}/{target}"],
        check=True, env={**os.environ, "HOME": "/nonexistent"},
    )
    return time.monotonic() - start


PROBE = "bench-probe"
