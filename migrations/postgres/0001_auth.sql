-- Room: auth
create table users (
    id bigint generated always as identity primary key,
    name text not null,
    email text,
    realname text not null,
    comment text not null,
    password_hash text not null,
    -- Counts password changes; remembered logins and refresh tokens carry it.
    credential_version bigint not null default 1,
    system_admin boolean not null,
    created_ms bigint not null,
    updated_ms bigint not null,
    -- A deleted user stays as a row, for what refers to it; its name is free again.
    deleted_ms bigint
);
create unique index users_name on users (name) where deleted_ms is null;
create unique index users_email on users (email) where deleted_ms is null and email is not null;

create table projects (
    id bigint generated always as identity primary key,
    name text not null,
    owner_id bigint not null references users (id),
    public boolean not null,
    storage_limit bigint not null,
    created_ms bigint not null,
    updated_ms bigint not null,
    deleted_ms bigint
);
create unique index projects_name on projects (name) where deleted_ms is null;

create table project_metadata (
    project_id bigint not null references projects (id),
    name text not null,
    value text not null,
    primary key (project_id, name)
);

create table project_members (
    id bigint generated always as identity primary key,
    project_id bigint not null references projects (id),
    -- u: a user; g: a group
    entity_type text not null,
    entity_id bigint not null,
    role_id bigint not null,
    unique (project_id, entity_type, entity_id)
);
create index project_members_entity on project_members (entity_type, entity_id);

create table robots (
    id bigint generated always as identity primary key,
    -- With prefix and project: robot$ci, robot$team+ci
    name text not null unique,
    description text not null,
    project_id bigint references projects (id),
    duration_days bigint not null,
    expires_ms bigint,
    disabled boolean not null,
    -- SHA-256(salt, secret)
    salt bytea not null,
    secret_hash bytea not null,
    credential_version bigint not null default 1,
    permissions text not null,
    -- user or robot
    creator_type text not null,
    creator_id bigint not null,
    created_ms bigint not null,
    updated_ms bigint not null
);
create index robots_project on robots (project_id);

create table refresh_tokens (
    -- SHA-256 of the token
    hash bytea primary key,
    -- The name of the user or robot, and its id: a later account of that name is another one.
    subject text not null,
    account_id bigint not null,
    credential_version bigint not null,
    service text not null,
    created_ms bigint not null,
    used_ms bigint not null
);
create index refresh_tokens_subject on refresh_tokens (subject);
create index refresh_tokens_used on refresh_tokens (used_ms);
