-- Room: jobs

-- Counts jobs without reading them, and pages through those of one kind.
create index jobs_of_kind on jobs (kind, id);
