"""How long the program takes to build, and how large it is."""

import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Every room above it is compiled anew after a change.
CHANGED = ROOT / "src" / "oci" / "mod.rs"


def rows(directory):
    target = Path(directory) / "build"
    yield "build of everything, profile dist", "s", ["", _build(target, "dist")]
    size = (target / "dist" / "tidegate").stat().st_size
    yield "the program, profile dist", "MiB", ["", f"{size / 1024**2:.1f}"]
    yield "build of everything, profile dev", "s", ["", _build(target, "dev")]
    before = CHANGED.stat()
    os.utime(CHANGED)
    try:
        yield "build after a change in one file, profile dev", "s", ["", _build(target, "dev")]
    finally:
        os.utime(CHANGED, ns=(before.st_atime_ns, before.st_mtime_ns))


def _build(target, profile):
    """Seconds on the clock, and of the processors."""
    command = ["cargo", "build", "--quiet", "--bin", "tidegate", "--profile", profile]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    start, before = time.monotonic(), os.times()
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    taken, after = time.monotonic() - start, os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return f"{taken:.0f} ({cpu:.0f} CPU s)"
