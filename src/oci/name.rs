use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// A repository name: lower-case path components joined by `/`, at most 255 bytes
/// (OCI distribution-spec, "Pulling manifests"). Cheap to clone.
///
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a repository name: lower-case letters, digits and single separators, 255 bytes at most"
)]
pub struct InvalidName(String);

impl RepositoryName {
    pub const MAX_BYTES: usize = 255;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first component: the project (namespace) the repository belongs to. `None` when the
    /// name has one component only, which belongs to no project.
    pub fn project(&self) -> Option<&str> {
        self.0.split_once('/').map(|(project, _rest)| project)
    }

    /// The project, or the whole name when it belongs to none.
    pub fn first_component(&self) -> &str {
        self.project().unwrap_or(&self.0)
    }

    /// The name without its project; the whole name when it belongs to none.
    pub fn within_project(&self) -> &str {
        self.0
            .split_once('/')
            .map_or(&*self.0, |(_project, rest)| rest)
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = text.len() <= Self::MAX_BYTES && text.split('/').all(is_component);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName(text.chars().take(300).collect()))
        }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let is_alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !bytes.first().is_some_and(is_alphanumeric) || !bytes.last().is_some_and(is_alphanumeric) {
        return false;
    }
    bytes.split(is_alphanumeric).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
    })
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for RepositoryName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for RepositoryName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for RepositoryName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_specification() {
        for good in [
            "a",
            "library/alpine",
            "a/b/c/d",
            "a.b_c__d-e--f",
            "0/1",
            "blobs/uploads/tags",
        ] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a/B", ".a", "a.", "a..b", "a___b", "a._b", "_a",
            "-a", "a-", "a/../b", "a/./b", "a b", "a:5000/b", "a%2fb", "é",
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
        assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
        assert!("a".repeat(256).parse::<RepositoryName>().is_err());
    }

    #[test]
    fn the_project_is_the_first_of_several_components() {
        let name: RepositoryName = "team/app/web".parse().unwrap();
        assert_eq!(name.project(), Some("team"));
        assert_eq!(name.within_project(), "app/web");
        let lone: RepositoryName = "app".parse().unwrap();
        assert_eq!(lone.project(), None);
        assert_eq!(lone.within_project(), "app");
    }
}
