-- Room: replication

-- Half uploads of large blobs, for the job that began them to go on with after a break.
create table replication_uploads (
    job_id          bigint not null,
    digest          text   not null,
    registry_id     bigint not null references registries (id) on delete cascade,
    repository      text   not null,
    location        bytea  not null,  -- sealed: whoever has it may write to the upload
    offset_bytes    bigint not null,
    min_chunk_bytes bigint,
    saved_ms        bigint not null,
    primary key (job_id, digest)
);
create index replication_uploads_registry on replication_uploads (registry_id);
create index replication_uploads_saved on replication_uploads (saved_ms);

alter table replication_policies add column copy_foreign_layers boolean not null default false;
