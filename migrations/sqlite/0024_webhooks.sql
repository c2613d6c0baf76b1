-- Room: webhook

create table webhook_policies (
    id          integer primary key autoincrement,
    project_id  bigint  not null references projects (id),
    name        text    not null,
    description text    not null,
    creator     text    not null,
    event_types text    not null,  -- JSON: names
    targets     text    not null,  -- JSON; the secrets in them are sealed with the key under data_dir
    enabled     boolean not null,
    created_ms  bigint  not null,
    updated_ms  bigint  not null,
    unique (project_id, name)
);

-- One event that concerned a policy.
create table webhook_executions (
    id         integer primary key autoincrement,
    policy_id  bigint not null references webhook_policies (id) on delete cascade,
    event_id   text   not null,  -- an event that is told twice is delivered once
    event_type text   not null,
    created_ms bigint not null,
    unique (policy_id, event_id)
);
create index webhook_executions_by_type on webhook_executions (policy_id, event_type, created_ms);
create index webhook_executions_by_age on webhook_executions (created_ms);

-- The delivery of an event to one target.
create table webhook_tasks (
    id           integer primary key autoincrement,
    execution_id bigint not null references webhook_executions (id) on delete cascade,
    job_id       bigint not null,
    notify_type  text   not null,
    address      text   not null,
    content_type text   not null,
    body         text   not null,  -- what every try sends
    created_ms   bigint not null
);
create index webhook_tasks_by_execution on webhook_tasks (execution_id);
create index webhook_tasks_by_job on webhook_tasks (job_id);

-- `policies` counts their changes, for snapshots of other instances; `replication` is until when
-- ended replications have been told, in ms.
create table webhook_marks (
    name  text primary key,
    value bigint not null
);
insert into webhook_marks (name, value) values ('policies', 1), ('replication', 0);
