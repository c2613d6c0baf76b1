-- Room: replication

-- Kilobits (1024 bits) a second for all copying to or from the registry; null for no limit.
alter table registries add column speed_kbps bigint;
