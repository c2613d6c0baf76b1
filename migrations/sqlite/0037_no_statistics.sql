-- Room: store. Statistics of tables that were small at the last stop had statements scan them when
-- they had grown. Without any, SQLite takes the indexes that the statements were made for.
drop table if exists sqlite_stat1;
drop table if exists sqlite_stat4;
-- What this connection has read of them is forgotten by reading them anew, which makes the tables.
analyze sqlite_schema;
drop table if exists sqlite_stat1;
drop table if exists sqlite_stat4;
