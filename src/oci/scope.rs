use std::fmt;

/// What may be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Pull,
    Push,
    Delete,
}

/// A set of [`Action`]s, printed in the order `pull,push,delete`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ActionSet(u8);

impl ActionSet {
    pub const NONE: Self = Self(0);
    pub const PULL: Self = Self(1);
    pub const PULL_PUSH: Self = Self(3);
    pub const DELETE: Self = Self(4);
    pub const ALL: Self = Self(7);

    #[must_use]
    pub const fn with(self, action: Action) -> Self {
        Self(self.0 | Self::bit(action))
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn contains(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }

    /// The actions among `words`; `*` is all of them, what is not known is left out.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().fold(Self::NONE, |set, word| match word {
            "pull" => set.with(Action::Pull),
            "push" => set.with(Action::Push),
            "delete" => set.with(Action::Delete),
            "*" => Self::ALL,
            _unknown => set,
        })
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Action> {
        [Action::Pull, Action::Push, Action::Delete]
            .into_iter()
            .filter(move |action| self.0 & Self::bit(*action) != 0)
    }

    const fn bit(action: Action) -> u8 {
        match action {
            Action::Pull => 1,
            Action::Push => 2,
            Action::Delete => 4,
        }
    }
}

impl Action {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

impl FromIterator<Action> for ActionSet {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        actions.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for ActionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, action) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", action.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ActionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActionSet({self})")
    }
}

/// One requested resource with its actions: `repository:team/app:pull,push`
/// (Docker token scope documentation). Unknown types and actions are kept out of the
/// [`ActionSet`] but do not make the scope malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// `repository`, `registry` or what else was asked; without a class such as `(plugin)`.
    pub resource_type: String,
    /// May hold one colon (`host:port/name`).
    pub name: String,
    pub actions: ActionSet,
    /// The client asked for `*`: everything it may do.
    pub wildcard: bool,
}

impl Scope {
    pub fn repository(name: impl Into<String>, actions: ActionSet) -> Self {
        Self {
            resource_type: "repository".into(),
            name: name.into(),
            actions,
            wildcard: false,
        }
    }

    /// Parses one resource scope; `None` when it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let (resource_type, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let resource_type = resource_type
            .split_once('(')
            .map_or(resource_type, |(plain, _class)| plain);
        if resource_type.is_empty() || name.is_empty() {
            return None;
        }
        Some(Self {
            resource_type: resource_type.into(),
            name: name.into(),
            actions: ActionSet::from_words(actions.split(',')),
            wildcard: actions.split(',').any(|action| action == "*"),
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.resource_type, self.name)?;
        if self.wildcard {
            f.write_str("*")
        } else {
            self.actions.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_as_clients_send_them_parse() {
        let cases = [
            (
                "repository:proj/app:pull,push",
                "proj/app",
                ActionSet::PULL_PUSH,
                false,
            ),
            (
                "repository:proj/app:push,pull",
                "proj/app",
                ActionSet::PULL_PUSH,
                false,
            ),
            ("repository:sk/app2:*", "sk/app2", ActionSet::ALL, true),
            ("registry:catalog:*", "catalog", ActionSet::ALL, true),
            ("repository(plugin):a/b:pull", "a/b", ActionSet::PULL, false),
            (
                "repository:host:5000/a:delete",
                "host:5000/a",
                ActionSet::DELETE,
                false,
            ),
            ("repository:a:metadata_read", "a", ActionSet::NONE, false),
            ("repository:a:", "a", ActionSet::NONE, false),
        ];
        for (text, name, actions, wildcard) in cases {
            let scope = Scope::parse(text).unwrap();
            assert_eq!(
                (scope.name.as_str(), scope.actions, scope.wildcard),
                (name, actions, wildcard),
                "{text}"
            );
        }
        for malformed in [
            "",
            "repository",
            "repository:a",
            ":a:pull",
            "repository::pull",
        ] {
            assert_eq!(Scope::parse(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn scopes_print_as_they_parse() {
        for text in ["repository:a/b:pull,push,delete", "registry:catalog:*"] {
            assert_eq!(Scope::parse(text).unwrap().to_string(), text);
        }
    }
}
