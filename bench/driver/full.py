"""A database as a large installation has it."""

import sqlite3

from . import lists

USERS = 100_000
PROJECTS = 10_000
POLICIES = 1_000
ARTIFACTS = 1_000_000


def fill(server, registry_port, share=1.0):
    """Fills the SQLite database of a running gateway with that share of a large installation's
    accounts, projects, event-based policies and artifacts."""
    server.create("/projects", {"project_name": "many"})
    url = f"http://127.0.0.1:{registry_port}"
    mirror = server.create("/registries", {"name": "mirror", "type": "docker-registry", "url": url})
    for n in range(int(POLICIES * share)):
        server.create("/replication/policies", {
            "name": f"policy-{n}", "enabled": True, "trigger": {"type": "event_based"},
            "dest_registry": {"id": mirror}, "dest_namespace": "mirrored",
            "filters": [{"type": "name", "value": f"project-{n}/**"}],
        })
    with sqlite3.connect(server.database, timeout=60) as connection:
        connection.executescript(_accounts(int(USERS * share), int(PROJECTS * share)))
        connection.executescript(lists.statements("printf('%064x', {})", int(ARTIFACTS * share), 1000))
    # It was idle for long.
    server.client.close()


def _accounts(users, projects):
    return f"""
    insert into users (name, realname, comment, password_hash, system_admin, created_ms, updated_ms)
        with recursive series(i) as (select 0 union all select i + 1 from series where i < {users - 1})
        select 'user-' || i, '', '', '', false, i, i from series;
    insert into projects (name, owner_id, public, storage_limit, created_ms, updated_ms)
        with recursive series(i) as (select 0 union all select i + 1 from series where i < {projects - 1})
        select 'project-' || i, 1, false, -1, i, i from series;
    insert into project_members (project_id, entity_type, entity_id, role_id)
        select p.id, 'u', u.id, 2 from projects p join users u on u.id % {projects} = p.id % {projects}
        where p.name like 'project-%' and u.name like 'user-%';
    """
