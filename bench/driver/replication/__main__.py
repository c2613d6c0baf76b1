"""`bench/run replication`: the table of replication's figures, beside `skopeo copy`."""

import argparse
import os
import statistics
import tempfile

from ..servers import Bench
from . import cases

CASES = {
    "lag": cases.lag,
    "requests": cases.requests,
    "reads": cases.reads,
    "push": cases.push,
    "outage": cases.outage,
}


def main():
    options = _arguments()
    rows = []
    for name in options.cases:
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-", dir=options.dir) as directory:
            with Bench(directory) as bench:
                print(f"{name} …", flush=True)
                rows += CASES[name](bench, options)
    print("\n| case | unit | skopeo copy | Tidegate |\n| --- | --- | --- | --- |")
    for title, unit, theirs, ours in rows:
        print(f"| {title} | {unit} | {_figure(theirs)} | {_figure(ours)} |")


def _figure(values):
    """The median, and between which values it lies."""
    if values is None:
        return ""
    digits = 0 if all(value == int(value) for value in values) else 2
    text = f"{statistics.median(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return text


def _arguments():
    parser = argparse.ArgumentParser(prog="bench/run replication", description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE",
                        help=f"any of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--mib", type=float, default=100, help="size of an image")
    parser.add_argument("--pushes", type=int, default=10_000, help="pushes during the outage")
    parser.add_argument("--dir", default=None, help="where the temporary directory goes; wants 8 GiB")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    if "TIDEGATE" not in os.environ:
        parser.error("start this by bench/run, or set TIDEGATE to the program")
    options.layer_bytes = int(options.mib * 1024 * 1024 / options.layers)
    return options


if __name__ == "__main__":
    main()
