-- Room: replication

create table registries (
    id              integer primary key autoincrement,
    name            text    not null unique,
    description     text    not null,
    kind            text    not null,
    url             text    not null,
    credential_type text    not null,
    access_key      text    not null,
    -- sealed with the key under data_dir; null without a secret
    access_secret   blob,
    insecure        boolean not null,
    ca_certificate  text,
    healthy         boolean not null,
    created_ms      bigint  not null,
    updated_ms      bigint  not null
);

-- The local registry has no row: null stands for it.
create table replication_policies (
    id             integer primary key autoincrement,
    name           text    not null unique,
    description    text    not null,
    source_id      bigint references registries (id),
    destination_id bigint references registries (id),
    trigger_kind   text    not null,
    cron           text    not null,
    filters        text    not null,
    namespace      text    not null,
    replace_count  bigint  not null,
    deletion       boolean not null,
    overwrite      boolean not null,
    enabled        boolean not null,
    speed_kbps     bigint,
    copy_by_chunk  boolean not null,
    single_active  boolean not null,
    created_ms     bigint  not null,
    updated_ms     bigint  not null
);
create index replication_policies_source on replication_policies (source_id);
create index replication_policies_destination on replication_policies (destination_id);

-- One row: counts the changes of policies and registries, for snapshots of other instances.
create table replication_revision (
    id       integer primary key,
    revision bigint not null
);
insert into replication_revision (id, revision) values (1, 1);

-- A change that a client asked for and the registry may or may not have made.
create table replication_intents (
    id         integer primary key autoincrement,
    policy_id  bigint not null references replication_policies (id) on delete cascade,
    repository text   not null,
    reference  text   not null,
    operation  text   not null,
    boot       text   not null,
    created_ms bigint not null
);
create index replication_intents_policy on replication_intents (policy_id);
create index replication_intents_boot on replication_intents (boot, created_ms);

-- Lives of gateway processes, so that the intents of dead ones are known.
create table replication_boots (
    boot    text primary key,
    seen_ms bigint not null
);

create table replication_executions (
    id           integer primary key autoincrement,
    policy_id    bigint not null references replication_policies (id) on delete cascade,
    trigger_kind text   not null,
    -- the job that lists the source; null for event-based and skipped executions
    job_id       bigint,
    -- why nothing was done
    skipped      text,
    started_ms   bigint not null
);
create index replication_executions_policy on replication_executions (policy_id, id);
create unique index replication_executions_job on replication_executions (job_id);

-- The state of a task is that of its job.
create table replication_tasks (
    id           integer primary key autoincrement,
    execution_id bigint not null references replication_executions (id) on delete cascade,
    job_id       bigint not null,
    operation    text   not null,
    repository   text   not null,
    reference    text   not null,
    destination  text   not null,
    started_ms   bigint not null
);
create unique index replication_tasks_artifact on replication_tasks (execution_id, repository, reference);
create index replication_tasks_job on replication_tasks (job_id);

-- Where a registry was last seen to hold a blob: a hint for mounting, never trusted.
create table replication_blobs (
    registry_id bigint not null references registries (id) on delete cascade,
    digest      text   not null,
    repository  text   not null,
    seen_ms     bigint not null,
    primary key (registry_id, digest, repository)
);
