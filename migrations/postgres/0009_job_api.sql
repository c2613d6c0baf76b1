-- Room: jobs

-- Counts jobs without reading them, and pages through those of one kind.
create index jobs_of_kind on jobs (kind, id);

-- Kinds of jobs that wait until a person resumes them.
create table job_pauses (
    kind     text   primary key,
    since_ms bigint not null
);

-- The processes that run jobs.
create table job_instances (
    boot         text   primary key,  -- random id of one life of a process, as in jobs.lease_owner
    host         text   not null,
    pid          bigint not null,
    workers      bigint not null,
    kinds        text   not null,     -- JSON list
    started_ms   bigint not null,
    heartbeat_ms bigint not null
);
