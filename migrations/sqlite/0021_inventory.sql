-- Room: inventory. What the registry holds, as it was last seen; `tidegate sync` builds it anew.
create table repositories (
    id integer primary key autoincrement,
    project_id bigint not null references projects (id),
    name text not null,
    description text not null default '',
    pull_count bigint not null default 0,
    created_ms bigint not null,
    updated_ms bigint not null
);
create unique index repositories_name on repositories (name);
create index repositories_project on repositories (project_id, id);

create table artifacts (
    id integer primary key autoincrement,
    project_id bigint not null references projects (id),
    repository_id bigint not null references repositories (id) on delete cascade,
    digest text not null,
    -- Harbor's word: IMAGE, CHART, …
    kind text not null,
    media_type text not null,
    config_media_type text not null,
    artifact_type text not null,
    config_digest text,
    size_bytes bigint not null,
    annotations text not null,
    -- What the config says of it, JSON; null until somebody asked.
    extra_attrs text,
    subject_digest text,
    -- Of what is attached to a subject: signature.cosign, …
    accessory_type text,
    -- Neither attached to another nor an untagged part of an index.
    listed boolean not null,
    pushed_ms bigint not null,
    pulled_ms bigint
);
create unique index artifacts_digest on artifacts (repository_id, digest);
create index artifacts_listed on artifacts (repository_id, listed, id);
create index artifacts_project on artifacts (project_id, listed, id);
create index artifacts_subject on artifacts (repository_id, subject_digest)
    where subject_digest is not null;

-- The children of an index, in its order.
create table artifact_references (
    parent_id bigint not null references artifacts (id) on delete cascade,
    position bigint not null,
    child_digest text not null,
    platform text,
    annotations text,
    urls text not null,
    primary key (parent_id, position)
);
create index artifact_references_child on artifact_references (child_digest);

-- Config and layers, without those that registries do not hold.
create table artifact_blobs (
    artifact_id bigint not null references artifacts (id) on delete cascade,
    digest text not null,
    size_bytes bigint not null,
    primary key (artifact_id, digest)
) without rowid;
create index artifact_blobs_digest on artifact_blobs (digest);

create table tags (
    id integer primary key autoincrement,
    repository_id bigint not null references repositories (id) on delete cascade,
    artifact_id bigint not null references artifacts (id) on delete cascade,
    name text not null,
    pushed_ms bigint not null,
    pulled_ms bigint
);
create unique index tags_name on tags (repository_id, name);
create index tags_artifact on tags (artifact_id);

-- How far a walk through the registry has come.
create table inventory_walks (
    -- A project's name; empty: the whole registry.
    scope text primary key,
    -- Repositories up to this one are done.
    last_repository text not null,
    started_ms bigint not null,
    finished_ms bigint
);
