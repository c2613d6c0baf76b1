-- Room: jobs
-- What a slot does while the job of an earlier one is not over: merge, it goes into that job;
-- skip, that job does for it.
alter table schedules add column overlap text not null default 'merge';
update schedules set overlap = 'skip' where key like 'system/%';
