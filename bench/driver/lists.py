"""`bench/run lists`: the API's lists over a full database, and what a push costs it."""

import argparse
import itertools
import json
import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
from urllib.parse import urlencode

from . import cases
from .servers import ADMIN_PASSWORD, Bench

PAGE_SIZE = 25
LARGE = "/api/v2.0/projects/bench/repositories/large/artifacts"

# What is asked for, with the parameters besides the page.
LISTS = {
    "repositories": ("/api/v2.0/repositories", {}),
    "repositories of a project": ("/api/v2.0/projects/many/repositories", {}),
    "artifacts with tags": (LARGE, {}),
    "artifacts with tags and labels, newest push first": (LARGE, {"with_label": "true", "sort": "-push_time"}),
    "artifacts whose tag contains a digit": (LARGE, {"q": "tags=~1"}),
    "audit log": ("/api/v2.0/auditlog-exts", {}),
    "audit log of a project": ("/api/v2.0/projects/bench/auditlog-exts", {}),
    "audit log of a user": ("/api/v2.0/auditlog-exts", {"q": "username=user-7"}),
}


def main():
    options = _arguments()
    databases = [Sqlite]
    if url := os.environ.get("TIDEGATE_TEST_POSTGRES_URL"):
        databases.append(lambda directory: Postgres(url, directory))
    columns = []
    for database in databases:
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-", dir=options.dir) as directory:
            with Bench(directory) as bench:
                columns.append(_measure(bench, database(directory), options))
    names = " | ".join(name for name, _rows in columns)
    print(f"\n| list | page | {names} |\n| --- | --- |{' --- |' * len(columns)}")
    for cells in zip(*[rows for _name, rows in columns]):
        title, page, _figure = cells[0]
        print(f"| {title} | {page} | " + " | ".join(figure for *_, figure in cells) + " |")


def _measure(bench, database, options):
    print(f"{database.name} …", flush=True)
    gateway = bench.tidegate(database=database.url)
    client = gateway.client
    headers = {"Authorization": client.basic("admin", ADMIN_PASSWORD), "Content-Type": "application/json"}
    body = json.dumps({"project_name": "many"}).encode()
    client.request("POST", "/api/v2.0/projects", headers, body, expect=(201,))
    start = time.monotonic()
    database.fill(options.artifacts, options.entries)
    # It was idle for long.
    client.close()
    print(f"  filled in {time.monotonic() - start:.0f} s", flush=True)
    rows = []
    for (title, (path, more)), page in itertools.product(LISTS.items(), (1, 100)):
        query = urlencode({"page": page, "page_size": PAGE_SIZE, **more})
        taken = []
        for _ in range(options.requests):
            start = time.monotonic()
            _headers, content = client.request("GET", f"{path}?{query}", headers)
            taken.append((time.monotonic() - start) * 1000)
        count = len(json.loads(content))
        if count != PAGE_SIZE:
            raise SystemExit(f"page {page} of {path} has {count} items")
        rows.append((title, page, _figure(taken)))
        print(f"  {title}, page {page}: {rows[-1][2]}", flush=True)
    if database.counts_transactions:
        before = database.transactions()
        cases.push_images(gateway, options.requests)
        # The audit trail is written a moment later, many entries at once.
        time.sleep(2)
        each = (database.transactions() - before) / options.requests
        rows.append(("write transactions of a push", "", f"{each:.2f}"))
    else:
        rows.append(("write transactions of a push", "", "not counted"))
    return database.name, rows


def _figure(taken):
    cut = statistics.quantiles(taken, n=100)
    return f"p50 {cut[49]:.1f}, p99 {cut[98]:.1f}"


class Sqlite:
    name = "SQLite, ms"
    counts_transactions = False

    def __init__(self, directory):
        self.path = f"{directory}/tidegate/tidegate.db"
        self.url = f"sqlite://{self.path}"

    def fill(self, artifacts, entries):
        with sqlite3.connect(self.path, timeout=60) as connection:
            connection.executescript(statements("printf('%064x', {})", artifacts, entries))


class Postgres:
    name = "PostgreSQL, ms"
    counts_transactions = True

    def __init__(self, server, directory):
        schema = os.path.basename(directory).replace("-", "_").lower()
        subprocess.run(["psql", "-qc", f"create schema {schema}", server], check=True)
        separator = "&" if "?" in server else "?"
        self.url = f"{server}{separator}options=-csearch_path%3D{schema}"

    def fill(self, artifacts, entries):
        self._psql("-c", statements("lpad(to_hex({}), 64, '0')", artifacts, entries))
        self._psql("-c", "analyze")

    def transactions(self):
        return int(self._psql("-Atc", "select pg_current_xact_id()"))

    def _psql(self, *arguments):
        command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", *arguments, self.url]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def statements(hexadecimal, artifacts, entries):
    """Half of the artifacts in one repository, the others in 2,500, eight blobs and a tag each;
    and an audit trail of 100 projects."""
    digest, blob = hexadecimal.format("i"), hexadecimal.format("1000000000 + i * 8 + n")
    half = artifacts // 2
    # Young enough not to be swept meanwhile; not older than the projects, to be theirs.
    first_entry_ms = int(time.time() * 1000) - entries
    return f"""
    update projects set created_ms = {first_entry_ms};
    insert into repositories (project_id, name, pull_count, created_ms, updated_ms)
        select id, 'bench/large', 0, 0, 0 from projects where name = 'bench';
    insert into repositories (project_id, name, pull_count, created_ms, updated_ms)
        with recursive series(i) as (select 0 union all select i + 1 from series where i < 2499)
        select id, 'many/repository-' || i, i, i, i from projects, series where name = 'many';
    insert into artifacts (project_id, repository_id, digest, kind, media_type, config_media_type,
            artifact_type, size_bytes, annotations, listed, pushed_ms)
        with recursive series(i) as (select 0 union all select i + 1 from series where i < {artifacts - 1})
        select r.project_id, r.id, 'sha256:' || {digest}, 'IMAGE',
            'application/vnd.oci.image.manifest.v1+json', 'application/vnd.oci.image.config.v1+json',
            '', 1000000 + i, '{{}}', true, 1700000000000 + i
        from series join repositories r
            on r.name = case when i < {half} then 'bench/large' else 'many/repository-' || (i % 2500) end;
    insert into tags (repository_id, artifact_id, name, pushed_ms)
        select repository_id, id, 'v' || id, pushed_ms from artifacts where true
        on conflict do nothing;
    insert into artifact_blobs (artifact_id, digest, size_bytes)
        with recursive layer(n) as (select 0 union all select n + 1 from layer where n < 7)
        select i, 'sha256:' || {blob}, 100000 from (select id as i from artifacts) a, layer;
    insert into audit_log (at_ms, user_name, operation, resource_type, resource, project, succeeded,
            description)
        with recursive series(i) as (select 0 union all select i + 1 from series where i < {entries - 1})
        select {first_entry_ms} + i, 'user-' || (i % 100), 'create', 'artifact',
            'bench/large:v' || i, case when i % 10 = 0 then 'bench' else 'project-' || (i % 100) end,
            true, '' from series;
    delete from audit_counts;
    insert into audit_counts (project, entries)
        select coalesce(project, ''), count(*) from audit_log group by coalesce(project, '');
    """


def _arguments():
    parser = argparse.ArgumentParser(prog="bench/run lists", description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="requests of each page, and pushes")
    parser.add_argument("--artifacts", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the audit log")
    parser.add_argument("--dir", default=None, help="where the temporary directory goes; wants 2 GiB")
    options = parser.parse_args()
    if "TIDEGATE" not in os.environ:
        parser.error("start this by bench/run, or set TIDEGATE to the program")
    return options


if __name__ == "__main__":
    main()
