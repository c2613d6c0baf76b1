-- Room: inventory. Artifacts of a repository in the order of their pushes.
create index artifacts_pushed on artifacts (repository_id, listed, pushed_ms, id);
