use crate::store::{Field, Selection};

pub(super) const QUOTAS: Selection = Selection {
    columns: "p.id, p.name, o.name as owner_name, p.storage_limit as hard_bytes, \
              coalesce(u.used_bytes, 0) as used_bytes, p.created_ms, p.updated_ms",
    from: "projects p join users o on o.id = p.owner_id \
           left join project_usage u on u.project_id = p.id",
    condition: "p.deleted_ms is null",
    fields: &[
        Field::integer("id", "p.id"),
        Field::integer("reference_id", "p.id"),
        Field::time("creation_time", "p.created_ms"),
        Field::time("update_time", "p.updated_ms"),
        // No limit is more than any.
        Field::integer(
            "hard.storage",
            "case when p.storage_limit < 0 then 9223372036854775807 else p.storage_limit end",
        ),
        Field::integer("used.storage", "coalesce(u.used_bytes, 0)"),
    ],
    key: "p.id",
};
