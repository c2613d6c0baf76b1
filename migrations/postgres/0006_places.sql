-- Room: replication

-- What registries are known to hold. `replication_blobs` was a hint for mounting; it is now
-- believed until the registry says otherwise.
create index replication_blobs_repository on replication_blobs (registry_id, repository);

-- What a registry's tag, or digest, was last made or seen to be.
create table replication_references (
    registry_id bigint not null references registries (id) on delete cascade,
    repository  text   not null,
    reference   text   not null,
    -- null: somebody is changing it, or doubts it; ask the registry
    digest      text,
    -- grows with every change, so that of two who change it at once neither is believed
    revision    bigint not null,
    primary key (registry_id, repository, reference)
);
