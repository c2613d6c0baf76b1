//! The file, the secrets it points to, and the environment, laid over each other.

use std::{fs, path::Path};

use toml::{Table, Value};

use super::{Config, Error};

/// Variables that belong to the configuration: `TIDEGATE_<SECTION>__<KEY>`.
const PREFIX: &str = "TIDEGATE_";

pub(super) fn read_file(path: &Path) -> Result<Table, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    parse(path, &text)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Table, Error> {
    text.parse::<Table>()
        .map_err(|error| file_error(path, &error))
}

/// Deserialises the file's table with the environment laid over it.
pub(super) fn resolve(
    file: Option<&Path>,
    mut table: Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Error> {
    read_secrets(&mut table)?;
    let mut config = deserialize(&table)
        .map_err(|error| file_error(file.unwrap_or(Path::new("the configuration")), &error))?;
    for (name, text) in variables {
        let Some((section, key)) = section_and_key(&name) else {
            continue;
        };
        config = overlay(&mut table, &section, &key, &text).map_err(|error| Error::Variable {
            name,
            message: error.message().to_owned(),
        })?;
    }
    if read_secrets(&mut table)? {
        config = deserialize(&table)
            .map_err(|error| file_error(Path::new("the environment"), &error))?;
    }
    Ok(config)
}

/// Replaces every `<key>_file` by a `<key>` with the file's content; tells whether there was one.
fn read_secrets(table: &mut Table) -> Result<bool, Error> {
    let mut found = false;
    for (_section, value) in table.iter_mut() {
        let Value::Table(section) = value else {
            continue;
        };
        let names: Vec<String> = section
            .keys()
            .filter(|key| key.ends_with("_file"))
            .cloned()
            .collect();
        for name in names {
            let Some(Value::String(path)) = section.remove(&name) else {
                continue;
            };
            let key = name.trim_end_matches("_file").to_owned();
            let content = fs::read_to_string(&path).map_err(|source| Error::Secret {
                key: key.clone(),
                path: path.into(),
                source,
            })?;
            section.insert(
                key,
                Value::String(content.trim_end_matches(['\r', '\n']).to_owned()),
            );
            found = true;
        }
    }
    Ok(found)
}

/// `TIDEGATE_SERVER__LISTEN` is `("server", "listen")`; other variables are none of ours.
fn section_and_key(name: &str) -> Option<(String, String)> {
    let (section, key) = name.strip_prefix(PREFIX)?.split_once("__")?;
    Some((section.to_lowercase(), key.to_lowercase()))
}

/// Sets one key: as text where the key takes text, else as the TOML value that is written.
fn overlay(
    table: &mut Table,
    section: &str,
    key: &str,
    text: &str,
) -> Result<Config, toml::de::Error> {
    let entry = table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(values) = entry {
        values.insert(key.to_owned(), Value::String(text.to_owned()));
    }
    if key.ends_with("_file") {
        return deserialize(&without(table, section, key));
    }
    let as_text = deserialize(table);
    let Ok(mut parsed) = format!("value = {text}").parse::<Table>() else {
        return as_text;
    };
    let (Err(_), Some(value)) = (&as_text, parsed.remove("value")) else {
        return as_text;
    };
    if let Some(Value::Table(values)) = table.get_mut(section) {
        values.insert(key.to_owned(), value);
    }
    deserialize(table)
}

fn without(table: &Table, section: &str, key: &str) -> Table {
    let mut table = table.clone();
    if let Some(Value::Table(values)) = table.get_mut(section) {
        values.remove(key);
    }
    table
}

fn deserialize(table: &Table) -> Result<Config, toml::de::Error> {
    serde::Deserialize::deserialize(Value::Table(table.clone()))
}

/// One line, as every other error.
fn file_error(path: &Path, error: &toml::de::Error) -> Error {
    let message = error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    Error::File {
        path: path.into(),
        message,
    }
}
