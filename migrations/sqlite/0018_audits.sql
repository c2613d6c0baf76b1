-- Room: replication

-- When the two sides of an event-based policy are compared next.
create table replication_audits (
    policy_id bigint primary key references replication_policies (id) on delete cascade,
    next_ms   bigint not null
);
create index replication_audits_next on replication_audits (next_ms);

-- How far a job that goes through a source has come, for its next run to go on from there.
create table replication_walks (
    job_id   bigint primary key references jobs (id) on delete cascade,
    progress text   not null  -- JSON
);
