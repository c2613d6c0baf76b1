-- Room: jobs

-- What the newest run that ended has to show, JSON; null: nothing.
alter table jobs add column result text;
