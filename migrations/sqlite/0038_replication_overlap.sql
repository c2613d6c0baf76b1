-- Room: jobs
-- A run that is taken into the one before skips what that one has listed.
update schedules set overlap = 'skip' where kind = 'replication.execute';
