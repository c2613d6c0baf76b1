-- Room: auth
create table user_groups (
    id bigint generated always as identity primary key,
    name text not null unique,
    -- 1: LDAP; 2: HTTP; 3: OIDC
    group_type bigint not null,
    -- In lower case; empty where the type is not LDAP.
    ldap_dn text not null
);
create unique index user_groups_ldap_dn on user_groups (ldap_dn) where ldap_dn <> '';

-- Who is in which group, as the source of an identity says it.
create table users_in_groups (
    user_id bigint not null references users (id),
    group_id bigint not null references user_groups (id) on delete cascade,
    primary key (user_id, group_id)
);
create index users_in_groups_group on users_in_groups (group_id);

-- The roles of users: their own, and those of their groups.
create view user_roles as
    select project_id, entity_id as user_id, role_id
        from project_members where entity_type = 'u'
    union all
    select m.project_id, g.user_id, m.role_id
        from project_members m join users_in_groups g on g.group_id = m.entity_id
        where m.entity_type = 'g';
