-- Room: auth. Tags that can be neither overwritten nor deleted.
create table immutable_rules (
    id integer primary key autoincrement,
    project_id bigint not null references projects (id),
    disabled boolean not null,
    -- Selectors as JSON; one rule of a text is enough for a project.
    rule text not null,
    unique (project_id, rule)
);
