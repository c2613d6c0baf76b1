//! The users of an `htpasswd` file, as Apache writes it and nginx reads it: a line for each,
//! `name:hash`, what is behind another colon left out; blank lines and those that begin with `#`
//! are none.

use std::collections::BTreeMap;

/// A user of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1.
    pub line: usize,
    pub name: String,
    pub hash: String,
}

/// A line that is no user, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub line: usize,
    pub text: String,
}

/// The users in the order of the file. Of several lines with one name the first counts, as it
/// does for nginx and Apache.
pub fn parse(bytes: &[u8]) -> Vec<Result<Entry, Problem>> {
    let mut seen = BTreeMap::new();
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    lines
        .filter_map(|(index, bytes)| {
            let line = index + 1;
            let read = entry(bytes).transpose()?;
            let read = read.and_then(|(name, hash)| match seen.insert(name.clone(), line) {
                Some(first) => Err(format!("{name} is on line {first} already, which counts")),
                None => Ok(Entry { line, name, hash }),
            });
            Some(read.map_err(|text| Problem { line, text }))
        })
        .collect()
}

fn entry(bytes: &[u8]) -> Result<Option<(String, String)>, String> {
    let text = str::from_utf8(bytes).map_err(|_bytes| "it is not UTF-8 text".to_owned())?;
    let text = text.trim_end_matches('\r');
    if text.trim().is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let Some((name, rest)) = text.split_once(':') else {
        return Err("expected name:hash".to_owned());
    };
    let hash = rest.split([':', '#']).next().unwrap_or_default();
    Ok(Some((name.to_owned(), hash.trim_end().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_users_or_say_why_not() {
        let text =
            b"# made by hand\nalice:$apr1$a$b\r\n\nbob:{SHA}x:Bob B.\ncarl\nalice:y\n\xff:z\n\
            d e:$2y$05$x # comment\n:empty";
        let read = parse(text);
        let shown: Vec<String> = read
            .iter()
            .map(|one| match one {
                Ok(Entry { line, name, hash }) => format!("{line} {name} {hash}"),
                Err(Problem { line, text }) => format!("{line}! {text}"),
            })
            .collect();
        assert_eq!(
            shown,
            [
                "2 alice $apr1$a$b",
                "4 bob {SHA}x",
                "5! expected name:hash",
                "6! alice is on line 2 already, which counts",
                "7! it is not UTF-8 text",
                "8 d e $2y$05$x",
                "9  empty",
            ]
        );
        assert!(parse(b"").is_empty());
    }
}
