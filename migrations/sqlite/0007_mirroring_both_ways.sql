-- Room: replication

-- One row: what tells this installation from the others that it mirrors with.
create table replication_installation (
    id   integer primary key,
    name text    not null
);

-- The Tidegate installation that answers at a registry's address; null for other registries.
alter table registries add column installation text;

alter table replication_policies add column bidirectional boolean not null default false;
