//! The schemas of the document's bodies, made from the types that are parsed and written.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value};

use super::SchemaOf;

/// What operations take and what they answer. A type may have fields that can be left out but are
/// always written, so that its two schemas differ: they are made apart and joined at the end.
#[derive(Debug)]
pub(super) struct Schemas {
    taken: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let at =
            |path| SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = path);
        let taken = at(TAKEN.into()).for_deserialize();
        let answered = at(ALL.into()).for_serialize();
        let taken = taken.with_transform(RecursiveTransform(without_null_default));
        let answered = answered.with_transform(RecursiveTransform(without_default));
        Self {
            taken: taken.into_generator(),
            answered: answered.into_generator(),
        }
    }

    pub(super) fn taken(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.taken).to_value()
    }

    pub(super) fn answered(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.answered).to_value()
    }

    /// Puts the schemas into the document that refers to them. What is taken under the name of
    /// an answer that looks different is called a request.
    pub(super) fn settle(mut self, document: &mut Value) {
        let taken = self.taken.take_definitions(true);
        let mut all = self.answered.take_definitions(true);
        let names: BTreeMap<String, String> = taken
            .keys()
            .map(|name| {
                let is_apart = all.contains_key(name) && !is_shared(name, &taken, &all);
                let own = if is_apart {
                    format!("{name}Request")
                } else {
                    name.clone()
                };
                (name.clone(), own)
            })
            .collect();
        for (name, schema) in taken {
            all.entry(&names[&name]).or_insert(schema);
        }
        document["components"]["schemas"] = all.into();
        each_reference(document, &mut |reference| {
            let name = name_in(TAKEN, reference).and_then(|name| names.get(name));
            if let Some(name) = name {
                *reference = format!("#{ALL}/{name}");
            }
        });
    }
}

/// That something can be left out is said already.
fn without_null_default(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}

/// Nothing is left out of an answer because it is as usual.
fn without_default(schema: &mut Schema) {
    schema.remove("default");
}

/// Whether what is taken and what is answered by a name are the same.
fn is_shared(name: &str, taken: &Map<String, Value>, answered: &Map<String, Value>) -> bool {
    let (Some(taking), Some(answer)) = (taken.get(name), answered.get(name)) else {
        return false;
    };
    let (mut taking, mut all_shared) = (taking.clone(), true);
    each_reference(&mut taking, &mut |reference| {
        let inner = name_in(TAKEN, reference).map(ToOwned::to_owned);
        if let Some(inner) = inner {
            all_shared &= is_shared(&inner, taken, answered);
            *reference = format!("#{ALL}/{inner}");
        }
    });
    all_shared && taking == *answer
}

fn name_in<'a>(path: &str, reference: &'a str) -> Option<&'a str> {
    reference
        .strip_prefix('#')?
        .strip_prefix(path)?
        .strip_prefix('/')
}

/// Every `$ref` in a value.
fn each_reference(value: &mut Value, change: &mut dyn FnMut(&mut String)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(reference) if name == "$ref" => change(reference),
                    other => each_reference(other, change),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                each_reference(item, change);
            }
        }
        _ => {}
    }
}

/// Where schemas are in the document.
const ALL: &str = "/components/schemas";
/// Where those of what is taken are until all are known.
const TAKEN: &str = "/components/taken";

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Same {
        name: String,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Lenient {
        #[serde(default)]
        number: i64,
        same: Same,
    }

    /// Looks the same in both directions but for what it holds.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Outer {
        inner: Lenient,
    }

    #[test]
    fn a_type_that_is_read_more_leniently_than_written_has_two_schemas() {
        let mut schemas = Schemas::new();
        let schema: SchemaOf = SchemaGenerator::subschema_for::<Outer>;
        let mut document = json!({
            "takes": schemas.taken(schema),
            "answers": schemas.answered(schema),
        });
        schemas.settle(&mut document);
        let to = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        assert_eq!(document["takes"], to("OuterRequest"));
        assert_eq!(document["answers"], to("Outer"));
        let schemas = &document["components"]["schemas"];
        let names: Vec<&String> = schemas.as_object().unwrap().keys().collect();
        assert_eq!(
            names,
            ["Lenient", "LenientRequest", "Outer", "OuterRequest", "Same"]
        );
        assert_eq!(
            schemas["OuterRequest"]["properties"]["inner"],
            to("LenientRequest")
        );
        assert_eq!(schemas["LenientRequest"]["required"], json!(["same"]));
        assert_eq!(schemas["Lenient"]["required"], json!(["number", "same"]));
    }
}
