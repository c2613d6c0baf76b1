-- Room: audit

-- How many entries each project has; none: those of no project. Kept with the entries, for lists
-- that say how long they are.
create table audit_counts (
    project text primary key,
    entries bigint not null
);
insert into audit_counts (project, entries)
    select coalesce(project, ''), count(*) from audit_log group by coalesce(project, '');

create index audit_log_user on audit_log (user_name, id);
create index audit_log_operation on audit_log (operation, id);
create index audit_log_resource on audit_log (resource, id);
