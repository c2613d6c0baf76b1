-- Room: replication

-- Pages through the tasks of one execution.
create index replication_tasks_execution on replication_tasks (execution_id, id);
