use crate::oci::{InvalidName, RepositoryName};

/// How a repository is named at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Path components, without slashes at the ends; empty keeps the source's name.
    pub path: String,
    pub replace: Replace,
}

/// How much of the source's name the namespace takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replace {
    /// All but the last component (Harbor's −1).
    #[default]
    All,
    /// So many leading components.
    First(u8),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmappable {
    #[error(
        "`{repository}` has {found} path components before its last, {wanted} should be replaced"
    )]
    TooShort {
        repository: RepositoryName,
        found: usize,
        wanted: u8,
    },
    #[error("the destination: {0}")]
    Name(#[from] InvalidName),
}

impl Namespace {
    /// The name at the destination of the source's `repository`.
    pub fn map(&self, repository: &RepositoryName) -> Result<RepositoryName, Unmappable> {
        if self.path.is_empty() {
            return Ok(repository.clone());
        }
        let components: Vec<&str> = repository.as_str().split('/').collect();
        let replaceable = components.len() - 1;
        let replaced = match self.replace {
            Replace::All => replaceable,
            Replace::First(wanted) if usize::from(wanted) > replaceable => {
                return Err(Unmappable::TooShort {
                    repository: repository.clone(),
                    found: replaceable,
                    wanted,
                });
            }
            Replace::First(count) => usize::from(count),
        };
        Ok(format!("{}/{}", self.path, components[replaced..].join("/")).parse()?)
    }
}

impl Namespace {
    /// Whether no two repositories get the same name.
    pub fn keeps_apart(&self) -> bool {
        self.path.is_empty() || self.replace == Replace::First(0)
    }
}

impl Replace {
    /// From Harbor's `dest_namespace_replace_count`; `None` below −1.
    pub fn from_count(count: i8) -> Option<Self> {
        match count {
            -1 => Some(Self::All),
            _ => u8::try_from(count).ok().map(Self::First),
        }
    }

    pub fn count(self) -> i8 {
        match self {
            Self::All => -1,
            Self::First(count) => i8::try_from(count).unwrap_or(i8::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(path: &str, count: i8, repository: &str) -> Result<String, String> {
        let namespace = Namespace {
            path: path.to_owned(),
            replace: Replace::from_count(count).unwrap(),
        };
        namespace
            .map(&repository.parse().unwrap())
            .map(|name| name.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_rewritten_as_harbor_does() {
        for (path, count, expected) in [
            ("", -1, "a/b/c/image"),
            ("", 2, "a/b/c/image"),
            ("n", -1, "n/image"),
            ("n", 0, "n/a/b/c/image"),
            ("n", 1, "n/b/c/image"),
            ("n", 2, "n/c/image"),
            ("n", 3, "n/image"),
            ("n/m", 1, "n/m/b/c/image"),
        ] {
            assert_eq!(mapped(path, count, "a/b/c/image").as_deref(), Ok(expected));
        }
        assert_eq!(mapped("n", 0, "image").as_deref(), Ok("n/image"));
    }

    #[test]
    fn replacing_more_than_there_is_is_refused() {
        assert!(
            mapped("n", 4, "a/b/c/image")
                .unwrap_err()
                .contains("has 3 path components")
        );
        assert!(
            mapped(&"n".repeat(255), 0, "a/b")
                .unwrap_err()
                .contains("not a repository name")
        );
        assert_eq!(Replace::from_count(-2), None);
    }
}
