-- Room: auth
-- Groups of two types may have one name: each source of identities has names of its own.
drop view user_roles;
create temporary table joined as select user_id, group_id from users_in_groups;
drop table users_in_groups;

create table groups_by_type (
    id integer primary key autoincrement,
    name text not null,
    -- 1: LDAP; 2: HTTP; 3: OIDC
    group_type bigint not null,
    -- In lower case; empty where the type is not LDAP.
    ldap_dn text not null
);
insert into sqlite_sequence (name, seq)
    select 'groups_by_type', seq from sqlite_sequence where name = 'user_groups';
insert into groups_by_type (id, name, group_type, ldap_dn)
    select id, name, group_type, ldap_dn from user_groups;
drop table user_groups;
alter table groups_by_type rename to user_groups;
create unique index user_groups_ldap_dn on user_groups (ldap_dn) where ldap_dn <> '';
create unique index user_groups_name on user_groups (name, group_type);

create table users_in_groups (
    user_id bigint not null references users (id),
    group_id bigint not null references user_groups (id) on delete cascade,
    primary key (user_id, group_id)
);
create index users_in_groups_group on users_in_groups (group_id);
insert into users_in_groups (user_id, group_id) select user_id, group_id from joined;
drop table joined;

create view user_roles as
    select project_id, entity_id as user_id, role_id
        from project_members where entity_type = 'u'
    union all
    select m.project_id, g.user_id, m.role_id
        from project_members m join users_in_groups g on g.group_id = m.entity_id
        where m.entity_type = 'g';
