//! Tag `configure`: the settings of the installation.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Shared, act::Act, caller::Caller, error::Error, json::Json, openapi::Routes};
use crate::{
    audit::{self, Operation},
    settings::{self, Named},
};

pub(super) fn routes() -> Routes {
    Routes::new("configure")
        .get(PATH, "Read the settings", read)
        .administrator()
        .put(PATH, "Change settings", update)
        .administrator()
}

/// The settings by their names.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConfigurationsResponse", transform = with_items)]
struct Configured(BTreeMap<&'static str, ItemShape>);

/// `StringConfigItem`, `BoolConfigItem` or `IntegerConfigItem`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConfigItem")]
struct ItemShape {
    #[schemars(extend("type" = ["string", "boolean", "integer"]))]
    value: Value,
    editable: bool,
}

async fn read(State(api): State<Shared>, caller: Caller) -> Result<axum::Json<Configured>, Error> {
    caller.administrator()?;
    let items = api.settings.list().await?.into_iter().map(|item| {
        let settings::Item {
            name,
            value,
            editable,
        } = item;
        (name, ItemShape { value, editable })
    });
    Ok(axum::Json(Configured(items.collect())))
}

/// Settings by their names, as they are to be; `null` leaves one alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(
    rename = "Configurations",
    example = json!({"banner_message": ""}),
    transform = with_values
)]
struct Wanted(Named);

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    Json(Wanted(mut wanted)): Json<Wanted>,
) -> Result<(), Error> {
    caller.administrator()?;
    wanted.retain(|_, value| !value.is_null());
    if wanted.is_empty() {
        return Err(Error::BadRequest("the body names no setting".to_owned()));
    }
    if let Some(Value::String(list)) = wanted.get("disabled_audit_log_event_types") {
        audit::check_types(list).map_err(Error::BadRequest)?;
    }
    let changed = api.settings.change(&wanted).await?;
    for name in changed {
        let value = wanted.get(name).map(ToString::to_string);
        let act = Act {
            operation: Operation::Update,
            resource_type: "configuration",
            resource: name,
            project: None,
            description: format!("set {name} to {}", value.unwrap_or_default()),
        };
        api.record(&caller, &act);
    }
    Ok(())
}

/// Adds the names to a schema of settings by their names.
fn with_values(schema: &mut Schema) {
    let values: Map<String, Value> = settings::schemas()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    schema.insert("properties".to_owned(), values.into());
}

/// The same, where each is shown with whether it can be changed.
fn with_items(schema: &mut Schema) {
    let item = schema.remove("additionalProperties").unwrap_or_default();
    let items: Map<String, Value> = settings::schemas()
        .map(|(name, value)| {
            let mut item = item.clone();
            item["properties"] = json!({"value": value});
            (name.to_owned(), item)
        })
        .collect();
    schema.insert("properties".to_owned(), items.into());
}

impl From<settings::Error> for Error {
    fn from(error: settings::Error) -> Self {
        match (error.kind(), error) {
            (_, settings::Error::Store(error)) => error.into(),
            (settings::Kind::Locked, error) => Self::Forbidden(error.to_string()),
            (_, error) => Self::BadRequest(error.to_string()),
        }
    }
}

/// Below the API's root.
pub(super) const PATH: &str = "/configurations";
