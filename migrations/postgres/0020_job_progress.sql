-- Room: jobs

-- How far the run is, JSON, as old as the lease's last heartbeat; null: it has not said.
alter table jobs add column progress text;
