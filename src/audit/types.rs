use std::{collections::BTreeSet, sync::Arc};

use arc_swap::ArcSwap;

use super::Operation;

/// Types of events that somebody has named: `<operation>_<thing>`, as
/// [`EVENT_TYPES`](super::EVENT_TYPES) has them.
///
/// Harbor calls a push a creation: `create_artifact` means pushes too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Types {
    /// Names; of those that end with `_`, every thing.
    names: BTreeSet<String>,
}

impl Types {
    /// A list with commas; the error says what is wrong with it. Things may be ones that this
    /// version does not record: the log may have them from another.
    pub(super) fn parse(list: &str) -> Result<Self, String> {
        let mut names = BTreeSet::new();
        for name in words(list) {
            let parts = name.split_once('_');
            let is_known = parts.is_some_and(|(operation, thing)| {
                is_operation(operation)
                    && !thing.is_empty()
                    && thing
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            });
            if !is_known {
                return Err(format!(
                    "`{name}` is no type of event; GET /auditlog-exts/events lists them"
                ));
            }
            names.insert(name);
        }
        Ok(Self { names })
    }

    /// A list of operations with commas; of each, every thing.
    pub(super) fn of_operations(list: &str) -> Result<Self, String> {
        let mut names = BTreeSet::new();
        for name in words(list) {
            if !is_operation(&name) {
                let known = Operation::ALL.map(Operation::as_str).join(", ");
                return Err(format!("`{name}` is no operation; there are {known}"));
            }
            names.insert(format!("{name}_"));
        }
        Ok(Self { names })
    }

    pub(super) fn has(&self, operation: &str, thing: &str) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let named = |operation: &str| {
            self.names.contains(&format!("{operation}_"))
                || self.names.contains(&format!("{operation}_{thing}"))
        };
        named(operation) || operation == Operation::Push.as_str() && named("create")
    }
}

/// The types that the settings disable, parsed when the list of them changes.
#[derive(Debug, Default)]
pub(super) struct Disabled(ArcSwap<(String, Arc<Types>)>);

impl Disabled {
    /// Of a list that cannot be read, none.
    pub(super) fn types(&self, list: &str) -> Arc<Types> {
        let parsed = self.0.load();
        if parsed.0 == list {
            return Arc::clone(&parsed.1);
        }
        let types = Arc::new(Types::parse(list).unwrap_or_default());
        self.0.store(Arc::new((list.to_owned(), types.clone())));
        types
    }
}

/// What is wrong with a list of types of events, with commas between them.
pub fn check_types(list: &str) -> Result<(), String> {
    Types::parse(list).map(drop)
}

fn words(list: &str) -> impl Iterator<Item = String> {
    let words = list.split(',').map(|word| word.trim().to_ascii_lowercase());
    words.filter(|word| !word.is_empty())
}

fn is_operation(word: &str) -> bool {
    // Nobody logs out here; Harbor's clients name it all the same.
    word == "logout" || Operation::ALL.iter().any(|known| known.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_one_by_one_or_by_their_operation() {
        let named =
            Types::parse(" create_artifact ,delete_robot,,LOGIN_USER, logout_user").unwrap();
        for (operation, thing, expected) in [
            ("create", "artifact", true),
            ("push", "artifact", true),
            ("pull", "artifact", false),
            ("create", "robot", false),
            ("delete", "robot", true),
            ("delete", "robots", false),
            ("login", "user", true),
        ] {
            assert_eq!(named.has(operation, thing), expected, "{operation} {thing}");
        }
        let all = Types::of_operations("create, delete").unwrap();
        for (operation, thing, expected) in [
            ("create", "user", true),
            ("push", "artifact", true),
            ("delete", "immutable_tag_rule", true),
            ("update", "user", false),
        ] {
            assert_eq!(all.has(operation, thing), expected, "{operation} {thing}");
        }
        assert!(!Types::parse("").unwrap().has("create", "user"));
    }

    #[test]
    fn what_is_no_type_is_refused_by_name() {
        for bad in [
            "create",
            "create_",
            "make_user",
            "create_user1",
            "create user",
        ] {
            let list = format!("delete_user,{bad}");
            let refused = Types::parse(&list).unwrap_err();
            assert!(refused.starts_with(&format!("`{bad}`")), "{refused}");
        }
        let refused = Types::of_operations("create,create_user").unwrap_err();
        assert!(refused.starts_with("`create_user`"), "{refused}");
    }
}
