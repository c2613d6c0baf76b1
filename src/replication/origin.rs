use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The installations that a mirrored change has passed, the one where it began first; none for
/// a change that a client has made here.
///
/// As text (in [`ORIGIN_HEADER`](crate::wire::ORIGIN_HEADER), and in parameters of jobs) their
/// names with commas between, and `;at=` with the milliseconds when the change was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Origin {
    passed: Vec<String>,
    /// By the clock of where it began; `None` when nobody knows.
    at: Option<Timestamp>,
}

impl Origin {
    /// Never fails: what is no name is left out, and a client gains nothing by a false one but
    /// that its own change is not mirrored to there.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(';');
        let names = parts.next().unwrap_or_default().split(',');
        let at = parts.find_map(|part| part.trim().strip_prefix("at=")?.parse().ok());
        let is_name = |name: &&str| {
            (1..=MAX_NAME_BYTES).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        Self {
            passed: names
                .map(str::trim)
                .filter(is_name)
                .map(str::to_owned)
                .collect(),
            at: at.map(Timestamp::from_millis),
        }
    }

    /// The origin of a change that was heard of at `now`: who makes it here makes it then.
    #[must_use]
    pub fn heard(mut self, now: Timestamp) -> Self {
        if self.passed.is_empty() {
            self.at = Some(now);
        }
        self
    }

    /// Whether another gateway has handed the change on.
    pub fn is_mirrored(&self) -> bool {
        !self.passed.is_empty()
    }

    /// When the change was made, if anybody knows.
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Whether the change came through `installation`, which has it therefore.
    pub fn has_passed(&self, installation: &str) -> bool {
        self.passed.iter().any(|name| name == installation)
    }

    /// Whether the change has come so far that it goes no further: it would go round in a
    /// circle of gateways that drop what they should hand on.
    pub fn is_spent(&self) -> bool {
        self.passed.len() >= MAX_PASSED
    }

    /// What `installation` says to whom it hands the change on.
    #[must_use]
    pub fn and(mut self, installation: &str) -> Self {
        self.passed.push(installation.to_owned());
        self
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.passed.join(","))?;
        match self.at {
            Some(at) => write!(f, ";at={}", at.millis()),
            None => Ok(()),
        }
    }
}

impl From<String> for Origin {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

/// Mirrors of mirrors are two or three deep.
const MAX_PASSED: usize = 8;
/// Names are 16 hexadecimal digits.
const MAX_NAME_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_reads_back_as_it_was_written() {
        let origin = Origin::default().and("aa").and("bb");
        assert_eq!(origin.to_string(), "aa,bb");
        assert_eq!(Origin::parse("aa,bb"), origin);
        assert!(origin.has_passed("aa") && origin.has_passed("bb"));
        assert!(!origin.has_passed("a") && !origin.has_passed(""));
        assert_eq!(Origin::parse(" aa , bb;later=1"), origin);
        assert_eq!(Origin::parse(", ä!,  ;at=soon"), Origin::default());
        let at = Timestamp::from_millis(12);
        let heard = Origin::default().heard(at);
        assert_eq!(
            (heard.to_string().as_str(), heard.at()),
            (";at=12", Some(at))
        );
        assert_eq!(
            Origin::parse(&heard.clone().and("aa").to_string()),
            heard.and("aa")
        );
        // Only where it begins does anybody know when.
        assert_eq!(origin.clone().heard(at), origin);
    }

    #[test]
    fn a_change_goes_no_further_than_so_many_gateways() {
        let passed = |count: usize| {
            let names = (0..count).map(|number| format!("gateway{number}"));
            names.fold(Origin::default(), |origin, name| origin.and(&name))
        };
        assert!(!passed(7).is_spent());
        assert!(passed(8).is_spent());
        let begun = Origin::default().heard(Timestamp::from_millis(i64::MAX));
        let longest = (0..8).fold(begun, |origin, _| origin.and(&"f".repeat(16)));
        assert!(longest.to_string().len() <= 255, "the proxy reads as much");
    }
}
