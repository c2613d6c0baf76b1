-- Room: replication

-- What was not seen at a registry for long is forgotten.
create index replication_blobs_seen on replication_blobs (seen_ms);
