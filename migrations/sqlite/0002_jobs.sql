-- Room: jobs

create table jobs (
    id              integer primary key autoincrement,
    kind            text   not null,
    key             text   not null,
    params          text   not null,            -- JSON, the newest wish
    target          text,                       -- whose limits and breaker the job falls under
    state           text   not null,            -- ready running retry done failed stopped
    generation      bigint not null default 1,  -- wishes accepted for this row
    run_generation  bigint not null default 0,  -- the newest wish its latest run knew
    stop_generation bigint not null default 0,  -- wishes up to this one were stopped
    attempts        bigint not null default 0,
    max_attempts    bigint not null,
    crashes         bigint not null default 0,  -- runs in a row that ended with the process
    run_at_ms       bigint not null,
    lease_owner     text,                       -- random id of one life of a process
    lease_until_ms  bigint,
    epoch           bigint not null default 0,  -- runs begun; fences writes of earlier ones
    rev             bigint not null default 0,  -- transitions made
    error           text,
    error_class     text,
    created_ms      bigint not null,
    started_ms      bigint,
    finished_ms     bigint,                     -- null: the row is live
    updated_ms      bigint not null
);

-- One live row per key.
create unique index jobs_live on jobs (kind, key) where finished_ms is null;
create index jobs_waiting on jobs (run_at_ms, id) where state in ('ready', 'retry');
create index jobs_leased on jobs (lease_until_ms) where state = 'running';
create index jobs_finished on jobs (finished_ms) where finished_ms is not null;
create index jobs_failed on jobs (kind, finished_ms) where state = 'failed';

create table job_logs (
    job_id bigint not null references jobs (id) on delete cascade,
    seq    bigint not null,
    at_ms  bigint not null,
    line   text   not null,
    primary key (job_id, seq)
);

create table schedules (
    key     text primary key,
    kind    text   not null,
    cron    text   not null,
    params  text   not null,  -- JSON
    next_ms bigint,           -- null: never again
    last_ms bigint            -- the slot that fired last
);
create index schedules_due on schedules (next_ms) where next_ms is not null;
