use std::collections::BTreeMap;

use http::Method;

use crate::harness::{Answer, Broken};

/// What one worker of a load does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Push,
    Pull,
    Login,
    List,
}

/// Why a round of work did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The gateway has said no in the form of its interface, and when to come back.
    Refused(String),
    /// There was no connection, or it broke.
    Broken(String),
    /// The body of an answer ended too early, and this could be told.
    Cut(String),
    /// The token is not taken any more, and it is said where to get another.
    Challenged(String),
    /// Whatever a client cannot make sense of.
    Wrong(String),
}

/// A push whose manifest was answered with 201.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub repository: &'static str,
    pub tag: String,
    pub digest: String,
}

/// What became of a load.
#[derive(Debug, Default)]
pub struct Book {
    /// Rounds that went well.
    pub done: BTreeMap<Work, usize>,
    pub trouble: Vec<(Work, Trouble)>,
    pub pushed: Vec<Pushed>,
}

impl Book {
    pub fn done(&self, work: Work) -> usize {
        self.done.get(&work).copied().unwrap_or(0)
    }

    pub fn troubles_of(&self, work: Work) -> Vec<&Trouble> {
        let of_work = self.trouble.iter().filter(|(whose, _)| *whose == work);
        of_work.map(|(_, trouble)| trouble).collect()
    }

    /// Fails the test when there was any trouble at all.
    #[track_caller]
    pub fn was_untroubled(&self) {
        assert!(self.trouble.is_empty(), "{:#?}", self.trouble);
    }

    /// Fails the test when there was other trouble than refusals and bodies that were cut with the
    /// connection to what has failed.
    #[track_caller]
    pub fn was_clear(&self) {
        self.had_only(|trouble| matches!(trouble, Trouble::Refused(_) | Trouble::Cut(_)));
    }

    /// Fails the test when somebody got an answer that made no sense; for a gateway that has ended
    /// meanwhile.
    #[track_caller]
    pub fn made_sense(&self) {
        let is_odd =
            |trouble: &Trouble| matches!(trouble, Trouble::Wrong(_) | Trouble::Challenged(_));
        self.had_only(|trouble| !is_odd(trouble));
    }

    #[track_caller]
    fn had_only(&self, allowed: impl Fn(&Trouble) -> bool) {
        let odd = self.trouble.iter().filter(|(_, trouble)| !allowed(trouble));
        let odd: Vec<_> = odd.collect();
        assert!(odd.is_empty(), "{odd:#?}");
    }
}

/// The answer, if it has the expected status; else what to think of it.
pub fn judge(
    what: (&Method, &str),
    answer: Result<Answer, Broken>,
    expected: u16,
) -> Result<Answer, Trouble> {
    let (method, path) = what;
    match answer {
        Ok(answer) if answer.status == expected => Ok(answer),
        Ok(answer) => {
            let told = format!("{method} {path}: {} {}", answer.status, answer.text());
            Err(if is_clear(&answer) {
                Trouble::Refused(told)
            } else if is_challenge(&answer) {
                Trouble::Challenged(told)
            } else {
                Trouble::Wrong(told)
            })
        }
        Err(broken) => {
            let told = format!("{method} {path}: {}", broken.why);
            Err(match broken.status {
                None => Trouble::Broken(told),
                Some(_) => Trouble::Cut(told),
            })
        }
    }
}

/// Whether a client is told that the request was good, in its interface's error JSON, with the time
/// to try again, and without a word of what goes on inside.
fn is_clear(answer: &Answer) -> bool {
    if !TEMPORARY.contains(&answer.status.as_u16()) {
        return false;
    }
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(&answer.body) else {
        return false;
    };
    let of_token_service = (&body["error"], &body["error_description"]);
    let of_others = (&body["errors"][0]["code"], &body["errors"][0]["message"]);
    let is_said = [of_token_service, of_others].iter().any(|(code, message)| {
        let is_text =
            |value: &serde_json::Value| value.as_str().is_some_and(|text| !text.is_empty());
        is_text(code) && is_text(message)
    });
    let comes_back = answer.header("retry-after").parse::<u32>().is_ok();
    let text = answer.text();
    is_said && comes_back && INNER.iter().all(|inner| !text.contains(inner))
}

fn is_challenge(answer: &Answer) -> bool {
    answer.status == 401
        && answer
            .header("www-authenticate")
            .starts_with("Bearer realm=")
}

/// Too many requests; the gateway, what is behind it, or its disk cannot at the moment.
const TEMPORARY: [u16; 4] = [429, 502, 503, 504];

/// Words of operating systems and databases.
const INNER: [&str; 6] = ["os error", "sqlx", "sqlite", "SQLite", "postgres", "panick"];
