-- Room: audit
create table audit_log (
    id bigint generated always as identity primary key,
    at_ms bigint not null,
    -- Empty when anonymous.
    user_name text not null,
    operation text not null,
    resource_type text not null,
    resource text not null,
    project text,
    succeeded boolean not null,
    description text not null,
    source text,
    request_id text
);
create index audit_log_at on audit_log (at_ms);
create index audit_log_project on audit_log (project, id);
