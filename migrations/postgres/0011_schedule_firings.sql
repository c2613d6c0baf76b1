-- Room: jobs

-- What became of the slots of schedules.
create table schedule_firings (
    key      text   not null references schedules (key) on delete cascade,
    slot_ms  bigint not null,
    fired_ms bigint not null,  -- when it fired, or was found to be missed
    outcome  text   not null,  -- fired joined missed
    job_id   bigint,           -- the job that was enqueued or joined
    primary key (key, slot_ms)
);
