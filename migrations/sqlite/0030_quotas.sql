-- Room: inventory. What each project holds, each digest once, for quotas.
alter table artifacts add column manifest_bytes bigint not null default 0;

-- Of artifacts that are here already only the sum of all sizes is known. A layer that a manifest
-- lists twice counted twice in it: hence the bound, which no manifest exceeds.
update artifacts set manifest_bytes = min(4194304, max(0, size_bytes - coalesce(
    (select total(b.size_bytes) from artifact_blobs b where b.artifact_id = artifacts.id), 0)))
where not exists (select 1 from artifact_references r where r.parent_id = artifacts.id);
update artifacts set manifest_bytes = min(4194304, max(0, size_bytes - coalesce(
    (select total(c.manifest_bytes) from artifact_references r join artifacts c
        on c.repository_id = artifacts.repository_id and c.digest = r.child_digest
        where r.parent_id = artifacts.id), 0)))
where exists (select 1 from artifact_references r where r.parent_id = artifacts.id);

create table project_blobs (
    project_id bigint not null references projects (id),
    -- Of a manifest, a config or a layer.
    digest text not null,
    size_bytes bigint not null,
    -- How many artifacts of the project are it or have it; never 0.
    holders bigint not null,
    primary key (project_id, digest)
) without rowid;

create table project_usage (
    project_id bigint not null primary key references projects (id),
    used_bytes bigint not null
) without rowid;

insert into project_blobs (project_id, digest, size_bytes, holders)
select project_id, digest, max(size_bytes), count(*) from (
    select project_id, digest, manifest_bytes as size_bytes from artifacts
    union all
    select a.project_id, b.digest, b.size_bytes
    from artifact_blobs b join artifacts a on a.id = b.artifact_id
) held group by project_id, digest;

insert into project_usage (project_id, used_bytes)
select project_id, cast(min(total(size_bytes), 9e18) as integer)
from project_blobs group by project_id;
