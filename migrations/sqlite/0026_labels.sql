-- Room: inventory
create table labels (
    id integer primary key autoincrement,
    name text not null,
    description text not null,
    color text not null,
    -- g: of all projects; p: of one
    scope text not null,
    -- 0 for all projects
    project_id bigint not null,
    created_ms bigint not null,
    updated_ms bigint not null,
    unique (scope, project_id, name)
);

create table artifact_labels (
    artifact_id bigint not null references artifacts (id) on delete cascade,
    label_id bigint not null references labels (id) on delete cascade,
    primary key (artifact_id, label_id)
);
create index artifact_labels_label on artifact_labels (label_id);
