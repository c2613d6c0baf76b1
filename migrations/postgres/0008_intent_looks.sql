-- Room: replication

-- What the reference is once the change is made; null: nothing, for a deletion.
alter table replication_intents add column digest text;
-- What the last look at the registry found; null: nobody has looked.
alter table replication_intents add column seen text;
-- When the next look is due.
alter table replication_intents add column look_ms bigint not null default 0;
