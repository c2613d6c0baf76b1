-- Room: jobs

-- What shares its turns: kind, target, project and size class, one on a line (`jobs/lane.rs`).
alter table jobs add column lane text not null default '';
update jobs set lane = kind || chr(10) || coalesce(target, '') || chr(10) || chr(10);

drop index jobs_waiting;
create index jobs_waiting on jobs (lane, run_at_ms, id) where state in ('ready', 'retry');

-- Targets whose jobs wait; one without a row takes jobs.
create table job_targets (
    target   text    primary key,
    failures bigint  not null,  -- times in a row that it did not answer
    until_ms bigint  not null,  -- when one job may try it
    probing  boolean not null,  -- one job tries it now
    reason   text    not null
);
