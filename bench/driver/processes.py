"""What the kernel says of a process: CPU seconds, memory; and processes that end with us."""

import os
import socket
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Process:
    """A server started by the driver, stopped by `stop`."""

    def __init__(self, name, command, log_path, environment=None):
        self.name = name
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    def cpu_seconds(self):
        """User and system time of the process and its children, as in /proc/<pid>/stat."""
        return sum(_ticks(pid) for pid in self._pids()) / TICKS_PER_SECOND

    def peak_rss_mib(self):
        return sum(_rss_kib(pid, "VmHWM:") for pid in self._pids()) / 1024

    def rss_mib(self):
        return sum(_rss_kib(pid, "VmRSS:") for pid in self._pids()) / 1024

    def wait_for_port(self, port, timeout_seconds=30):
        """Seconds from now until something accepts at the port."""
        start = time.monotonic()
        while time.monotonic() - start < timeout_seconds:
            if self.child.poll() is not None:
                raise SystemExit(f"{self.name} ended; see {self.log_path}")
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return time.monotonic() - start
            time.sleep(0.001)
        raise SystemExit(f"{self.name} does not listen at port {port}; see {self.log_path}")

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def _pids(self):
        own = self.child.pid
        try:
            with open(f"/proc/{own}/task/{own}/children") as file:
                return [own, *map(int, file.read().split())]
        except FileNotFoundError:
            return [own]


class Together:
    """Several processes counted as one."""

    def __init__(self, *processes):
        self.processes = processes

    def cpu_seconds(self):
        return sum(process.cpu_seconds() for process in self.processes)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        # The name in parentheses may hold spaces; user and system time are fields 14 and 15.
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def _rss_kib(pid, field):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1])
    return 0
