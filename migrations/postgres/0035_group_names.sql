-- Room: auth
-- Groups of two types may have one name: each source of identities has names of its own.
alter table user_groups drop constraint user_groups_name_key;
create unique index user_groups_name on user_groups (name, group_type);
