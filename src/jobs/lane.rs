/// What shares its turns: jobs of one kind, target, project and size class.
///
/// As text, and so in the column `lane`, these stand one on a line in this order; the target and
/// the project may be empty, and the last is `large` or empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub(super) struct Lane(String);

impl Lane {
    pub(super) fn new(kind: &str, target: &str, project: &str, size_bytes: Option<u64>) -> Self {
        let size = if size_bytes.is_some_and(|size| size >= LARGE_BYTES) {
            "large"
        } else {
            ""
        };
        Self(format!("{kind}\n{target}\n{project}\n{size}"))
    }

    pub(super) fn from_column(text: String) -> Self {
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn kind(&self) -> &str {
        self.line(0)
    }

    /// Empty for jobs that need no other side.
    pub(super) fn target(&self) -> &str {
        self.line(1)
    }

    pub(super) fn is_large(&self) -> bool {
        self.line(3) == "large"
    }

    fn line(&self, number: usize) -> &str {
        self.0.split('\n').nth(number).unwrap_or("")
    }
}

/// From this size on a job may not take the workers that are kept for small ones: 256 MiB take
/// some seconds on a fast link and minutes on a slow one.
const LARGE_BYTES: u64 = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_read_from_its_column() {
        let lane = Lane::new("copy", "registry/3", "team", Some(LARGE_BYTES));
        let read = Lane::from_column(lane.as_str().to_owned());
        assert_eq!((read.kind(), read.target()), ("copy", "registry/3"));
        assert!(read.is_large());
        let small = Lane::new("copy", "", "", None);
        assert_eq!((small.kind(), small.target()), ("copy", ""));
        assert!(!small.is_large());
    }
}
