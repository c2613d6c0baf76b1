-- Room: jobs

-- When the oldest wish was accepted that no run has fulfilled.
alter table jobs add column wished_ms bigint not null default 0;
update jobs set wished_ms = created_ms;
