-- Room: replication

alter table replication_policies add column tee boolean not null default true;
