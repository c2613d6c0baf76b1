use std::fmt;

use super::{
    draft::{Draft, Verdict},
    tree::Directive,
};

/// What became of one directive, or of a whole block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `file:line`
    place: String,
    directive: String,
    /// How many stand in its block and are not told by themselves.
    inner: usize,
    verdict: Verdict,
    /// `key = value` of what was translated.
    keys: String,
}

impl Line {
    /// Whether something is left for a person to do.
    pub fn is_left(&self) -> bool {
        match &self.verdict {
            Verdict::Translated { left, .. } => !left.is_empty(),
            Verdict::NotNeeded(_) => false,
            Verdict::NotTranslated(_) => true,
        }
    }

    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.directive)?;
        if self.inner > 0 {
            write!(f, " with the {} in it", self.inner)?;
        }
        match &self.verdict {
            Verdict::Translated { note, left, .. } => {
                write!(f, ": translated to {}", self.keys)?;
                if !note.is_empty() {
                    write!(f, "; {note}")?;
                }
                if !left.is_empty() {
                    write!(f, "; left to do: {left}")?;
                }
                Ok(())
            }
            Verdict::NotNeeded(why) => write!(f, ": not needed: {why}"),
            Verdict::NotTranslated(why) => write!(f, ": not translated: {why}"),
        }
    }
}

/// A line for each directive; blocks of which no part was looked at are one.
pub(super) fn lines(top: &[Directive], draft: &Draft) -> Vec<Line> {
    let mut lines = Vec::new();
    for directive in top {
        let has_verdicts = directive
            .inner()
            .iter()
            .any(|inner| draft.verdict(inner).is_some());
        let verdict = draft.verdict(directive).cloned();
        let verdict = verdict.unwrap_or_else(|| Verdict::NotTranslated("it stands nowhere".into()));
        let keys = match &verdict {
            Verdict::Translated { keys, .. } => draft.shown(keys),
            Verdict::NotNeeded(_) | Verdict::NotTranslated(_) => String::new(),
        };
        lines.push(Line {
            place: directive.place.to_string(),
            directive: directive.to_string(),
            inner: if has_verdicts {
                0
            } else {
                directive.count_inner()
            },
            verdict,
            keys,
        });
        if has_verdicts {
            lines.extend(self::lines(directive.inner(), draft));
        }
    }
    lines
}
