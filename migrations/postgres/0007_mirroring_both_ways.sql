-- Room: replication

-- One row: what tells this installation from the others that it mirrors with.
create table replication_installation (
    id   bigint primary key,
    name text   not null
);

-- The Tidegate installation that answers at a registry's address; null for other registries.
alter table registries add column installation text;

alter table replication_policies add column bidirectional boolean not null default false;
-- Whether manual and scheduled runs delete what the source has no more, and how much at most.
alter table replication_policies add column runs_delete boolean not null default false;
alter table replication_policies add column max_deletions bigint;
alter table replication_policies add column max_deletions_percent bigint;

-- What to know of a task that has ended well although not all was done.
alter table replication_tasks add column note text;

-- Tags that were deleted not long ago, so that no late copy from a mirror brings them back.
create table replication_tombstones (
    repository text   not null,
    tag        text   not null,
    deleted_ms bigint not null,
    primary key (repository, tag)
);
