//! What Harbor's operations take, by the names of Harbor's contract.

use serde_json::{Map, Value, json};

use super::components::{needing, object, text};
use crate::retention::{MAX_RULES, Template};

/// The schemas of bodies, by name.
pub(super) fn requests() -> Map<String, Value> {
    let all = people()
        .into_iter()
        .chain(projects())
        .chain(contents())
        .chain(replication())
        .chain(retention())
        .chain(system());
    all.map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

fn people() -> Vec<(&'static str, Value)> {
    let access = json!([{"resource": "repository", "action": "pull"}]);
    let permission = json!({"kind": "project", "namespace": "library", "access": access});
    let permissions = json!({
        "type": "array",
        "items": needing(&["kind", "namespace", "access"], &json!({
            "kind": {"enum": ["system", "project"]},
            "namespace": {"type": "string", "examples": ["library", "/", "*"]},
            "access": {"type": "array", "items": needing(&["resource", "action"], &json!({
                "resource": text(), "action": text(),
            }))},
        })),
        "examples": [[permission]],
    });
    let days = json!({"type": "integer", "description": "Days; -1 for ever.", "examples": [30]});
    vec![
        (
            "UserCreationReq",
            needing(
                &["username", "password"],
                &json!({
                    "username": {"type": "string", "examples": ["alice"]},
                    "password": {"type": "string", "examples": ["Alice12345"]},
                    "email": {"type": "string", "examples": ["alice@example.com"]},
                    "realname": text(), "comment": text(),
                }),
            ),
        ),
        (
            "UserProfile",
            object(&json!({
                "email": {"type": "string", "examples": ["alice@example.com"]},
                "realname": text(), "comment": text(),
            })),
        ),
        (
            "UserSysAdminFlag",
            needing(
                &["sysadmin_flag"],
                &json!({"sysadmin_flag": {"type": "boolean"}}),
            ),
        ),
        (
            "PasswordReq",
            needing(
                &["new_password"],
                &json!({
                    "old_password": text(),
                    "new_password": {"type": "string", "examples": ["Fresh12345"]},
                }),
            ),
        ),
        ("UserGroup", needing(&["group_name"], &group())),
        (
            "RobotCreate",
            needing(
                &["name", "level", "permissions"],
                &json!({
                    "name": {"type": "string", "examples": ["ci"]},
                    "description": text(),
                    "secret": {"type": "string", "examples": [""]},
                    "level": {"enum": ["project", "system"]},
                    "disable": {"type": "boolean"}, "duration": days, "permissions": permissions,
                }),
            ),
        ),
        (
            "Robot",
            object(&json!({
                "description": text(), "disable": {"type": "boolean"}, "duration": days,
                "permissions": permissions,
            })),
        ),
        (
            "RobotSec",
            object(&json!({"secret": {"type": "string", "examples": [""]}})),
        ),
    ]
}

/// The fields of a user group.
fn group() -> Value {
    json!({
        "group_name": {"type": "string", "examples": ["developers"]},
        "group_type": {
            "enum": [3, 2, 1], "description": "1 for LDAP, 2 for HTTP, 3 for OIDC.",
        },
        "ldap_group_dn": {"type": "string", "examples": [""]},
    })
}

/// What projects hold, and the rules over it.
fn contents() -> Vec<(&'static str, Value)> {
    let selector = |decorations: [&str; 2]| {
        let selector = needing(
            &["decoration", "pattern"],
            &json!({
                "kind": {"enum": ["doublestar"]},
                "decoration": {"enum": decorations},
                "pattern": {"type": "string", "examples": ["**"]},
                "extras": text(),
            }),
        );
        json!({"type": "array", "items": selector, "examples": [
            [{"kind": "doublestar", "decoration": decorations[0], "pattern": "**"}],
        ]})
    };
    vec![
        (
            "Label",
            needing(
                &["name"],
                &json!({
                    "name": {"type": "string", "examples": ["tested"]},
                    "description": text(),
                    "color": {"type": "string", "examples": ["#00FF00"]},
                    "scope": {"enum": ["g", "p"], "description": "Of all projects, or of one."},
                    "project_id": {"type": "integer"},
                }),
            ),
        ),
        (
            "LabelId",
            needing(&["id"], &json!({"id": {"type": "integer"}})),
        ),
        (
            "ImmutableRule",
            needing(
                &["tag_selectors", "scope_selectors"],
                &json!({
                    "disabled": {"type": "boolean"},
                    "tag_selectors": selector(["matches", "excludes"]),
                    "scope_selectors": needing(
                        &["repository"],
                        &json!({"repository": selector(["repoMatches", "repoExcludes"])}),
                    ),
                }),
            ),
        ),
    ]
}

fn projects() -> Vec<(&'static str, Value)> {
    let bytes = json!({"type": "integer", "description": "Bytes; -1: no limit.", "examples": [-1]});
    let settings = json!({
        "type": "object",
        "properties": {"public": {"enum": ["true", "false"]}},
        "additionalProperties": text(),
        "examples": [{"auto_scan": "false"}],
    });
    let role = json!({"enum": [1, 2, 3, 4, 5]});
    let mut member_group = group();
    member_group["id"] = json!({"type": "integer"});
    vec![
        (
            "ProjectReq",
            object(&json!({
                "project_name": {"type": "string", "examples": ["team"]},
                "metadata": settings,
                "storage_limit": bytes,
            })),
        ),
        (
            "QuotaUpdateReq",
            needing(
                &["hard"],
                &json!({"hard": needing(&["storage"], &json!({"storage": bytes}))}),
            ),
        ),
        (
            "Configurations",
            json!({
                "type": "object",
                "description": "Settings by name, as GET /configurations lists them.",
                "additionalProperties": true,
                "examples": [{"banner_message": ""}],
            }),
        ),
        ("ProjectMetadata", settings),
        ("Repository", object(&json!({"description": text()}))),
        (
            "Tag",
            needing(
                &["name"],
                &json!({"name": {"type": "string", "examples": ["v2"]}}),
            ),
        ),
        (
            "ProjectMember",
            needing(
                &["role_id"],
                &json!({
                    "role_id": role,
                    "member_user": object(&json!({
                        "user_id": {"type": "integer"},
                        "username": {"type": "string", "examples": ["alice"]},
                    })),
                    "member_group": object(&member_group),
                }),
            ),
        ),
        (
            "RoleRequest",
            needing(&["role_id"], &json!({"role_id": role})),
        ),
    ]
}

fn replication() -> Vec<(&'static str, Value)> {
    let id = json!({"type": "integer"});
    let flag = json!({"type": "boolean"});
    let url = json!({"type": "string", "examples": ["http://127.0.0.1:9"]});
    let kind = json!({"type": "string", "examples": ["docker-registry"]});
    let kilobits = json!({"type": "integer", "minimum": -1, "examples": [0]});
    let fields = object(&json!({
        "id": id, "name": text(), "type": kind, "url": url, "description": text(),
        "credential_type": {"enum": ["basic"]}, "access_key": text(), "access_secret": text(),
        "insecure": flag, "ca_certificate": {"type": "string", "examples": [""]},
        "speed_kbps": {"type": "integer", "minimum": 0, "examples": [0]},
    }));
    vec![
        (
            "Registry",
            needing(
                &["name", "type", "url"],
                &json!({
                    "name": {"type": "string", "examples": ["mirror"]},
                    "type": kind, "url": url, "description": text(), "insecure": flag,
                    "ca_certificate": {"type": "string", "examples": [""]},
                    "credential": object(&json!({
                        "type": {"enum": ["basic"]}, "access_key": text(), "access_secret": text(),
                    })),
                    "speed_kbps": {"type": "integer", "minimum": 0, "examples": [0]},
                }),
            ),
        ),
        ("RegistryUpdate", fields.clone()),
        ("RegistryPing", fields),
        ("ReplicationPolicy", policy(&flag, &kilobits)),
        (
            "StartReplicationExecution",
            needing(&["policy_id"], &json!({"policy_id": id})),
        ),
        (
            "ActionRequest",
            needing(
                &["action"],
                &json!({"action": {"enum": ["resume", "pause", "stop"]}}),
            ),
        ),
    ]
}

fn retention() -> Vec<(&'static str, Value)> {
    let integer = json!({"type": "integer"});
    let flag = json!({"type": "boolean"});
    let selectors = json!({"type": "array", "items": needing(&["decoration"], &json!({
        "kind": {"enum": ["doublestar"]}, "decoration": text(), "pattern": text(),
        "extras": {"type": "string", "examples": ["{\"untagged\":true}"]},
    }))});
    let rule = needing(
        &["template"],
        &json!({
            "id": integer, "priority": integer, "disabled": flag,
            "action": {"enum": ["retain"]},
            "template": {"enum": Template::ALL.map(Template::name)},
            "params": {"type": "object", "additionalProperties": integer},
            "tag_selectors": selectors,
            "scope_selectors": object(&json!({"repository": selectors})),
        }),
    );
    let policy = needing(
        &["rules", "scope"],
        &json!({
            "id": integer, "algorithm": {"enum": ["or"]},
            "rules": {"type": "array", "maxItems": MAX_RULES, "items": rule},
            "trigger": object(&json!({
                "kind": {"enum": ["Schedule"]},
                "settings": object(&json!({
                    "cron": {"type": "string", "examples": ["0 0 0 * * *"]},
                })),
            })),
            "scope": needing(&["level", "ref"], &json!({
                "level": {"enum": ["project"]}, "ref": integer,
            })),
        }),
    );
    vec![
        ("RetentionPolicy", policy),
        ("RetentionRun", object(&json!({"dry_run": flag}))),
        (
            "RetentionAction",
            needing(&["action"], &json!({"action": {"enum": ["stop"]}})),
        ),
    ]
}

fn system() -> Vec<(&'static str, Value)> {
    let schedule = needing(
        &["type"],
        &json!({
            "type": {"enum": ["None", "Manual", "Hourly", "Daily", "Weekly", "Custom"]},
            "cron": {"type": "string", "examples": ["0 0 0 * * *"]},
        }),
    );
    let parameters = json!({
        "type": "object",
        "description": "What runs do, as their kind has it.",
        "examples": [{
            "audit_retention_hour": 168, "include_event_types": "delete_user", "dry_run": true,
        }],
    });
    vec![(
        "Schedule",
        needing(
            &["schedule"],
            &json!({"schedule": schedule, "parameters": parameters}),
        ),
    )]
}

fn policy(flag: &Value, kilobits: &Value) -> Value {
    let registry = object(&json!({"id": {"type": "integer", "examples": [1]}}));
    needing(
        &["name"],
        &json!({
            "name": {"type": "string", "examples": ["to-mirror"]},
            "description": text(), "src_registry": registry, "dest_registry": registry,
            "dest_namespace": {"type": "string", "examples": [""]},
            "dest_namespace_replace_count": {"type": "integer", "minimum": -1, "maximum": 3},
            "trigger": object(&json!({
                "type": {"enum": ["manual", "scheduled", "event_based"]},
                "trigger_settings": object(&json!({
                    "cron": {"type": "string", "examples": ["0 0 0 * * *"]},
                })),
            })),
            "filters": {"type": "array", "items": object(&json!({
                "type": {"enum": ["name", "tag", "resource", "label"]},
                "value": {
                    "type": ["string", "array"], "items": text(), "examples": ["**"],
                    "description": "The names of labels for the type label, text for the others.",
                },
                "decoration": {"enum": ["matches", "excludes"]},
            }))},
            "deletion": flag, "override": flag, "enabled": flag, "speed": kilobits,
            "copy_by_chunk": flag, "single_active_replication": flag, "bidirectional": flag,
            "tee": flag, "runs_delete": flag, "copy_foreign_layers": flag,
            "max_deletions": {"type": "integer", "minimum": 0},
            "max_deletions_percent": {"type": "integer", "minimum": 0, "maximum": 100},
        }),
    )
}
