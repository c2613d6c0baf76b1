-- Room: retention. At most one policy for each project.
create table retention_policies (
    id         bigint generated always as identity primary key,
    project_id bigint not null references projects (id),
    rules      text   not null,  -- JSON, as Harbor's API shows them
    cron       text   not null,  -- empty: only by hand
    created_ms bigint not null,
    updated_ms bigint not null
);
create unique index retention_policies_project on retention_policies (project_id);

-- One run of a policy.
create table retention_executions (
    id           bigint generated always as identity primary key,
    policy_id    bigint  not null references retention_policies (id) on delete cascade,
    job_id       bigint  not null,
    trigger_kind text    not null,
    dry_run      boolean not null,
    started_ms   bigint  not null,
    -- Null until the run has ended by itself: then its job says how it is.
    status       text,
    ended_ms     bigint
);
create index retention_executions_policy on retention_executions (policy_id, id);
create index retention_executions_job on retention_executions (job_id);

-- One repository of a run.
create table retention_tasks (
    id           bigint generated always as identity primary key,
    execution_id bigint not null references retention_executions (id) on delete cascade,
    repository   text   not null,
    total        bigint not null,
    retained     bigint not null,
    started_ms   bigint not null,
    status       text,
    ended_ms     bigint,
    log          text   not null
);
create unique index retention_tasks_repository on retention_tasks (execution_id, repository);
