use std::{fmt, path::Path, sync::Arc};

/// One directive, with what its includes hold in their place.
#[derive(Debug)]
pub(super) struct Directive {
    /// Counts directives in the order they are read.
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) block: Option<Vec<Self>>,
    pub(super) place: Place,
    /// Whether it is an `include` of nothing.
    pub(super) matches_no_file: bool,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<Path>,
    pub(super) line: u32,
}

impl Directive {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// The argument at `index`, empty where there is none.
    pub(super) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// What stands in its block.
    pub(super) fn inner(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    pub(super) fn children<'t>(&'t self, name: &'t str) -> impl Iterator<Item = &'t Self> {
        self.inner().iter().filter(move |inner| inner.is(name))
    }

    /// How many directives stand in its block, at any depth.
    pub(super) fn count_inner(&self) -> usize {
        let deeper = |inner: &Self| 1 + inner.count_inner();
        self.inner().iter().map(deeper).sum()
    }

    /// The first of this name in its block, at any depth.
    pub(super) fn find(&self, name: &str) -> Option<&Self> {
        self.inner().iter().find_map(|inner| {
            let is_it = inner.is(name).then_some(inner);
            is_it.or_else(|| inner.find(name))
        })
    }

    /// Whether it, or anything in its block, is such a directive.
    pub(super) fn any(&self, test: &impl Fn(&Self) -> bool) -> bool {
        test(self) || self.inner().iter().any(|inner| inner.any(test))
    }
}

/// As it stands in the file, shortened; credentials are left out.
impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.name.clone();
        for (index, arg) in self.args.iter().enumerate() {
            let secret = (index > 0 && self.arg(0).eq_ignore_ascii_case("authorization"))
                || ["Basic ", "Bearer "]
                    .iter()
                    .any(|scheme| arg.starts_with(scheme));
            text.push(' ');
            text.push_str(if secret { "…" } else { arg });
        }
        let shown: String = text
            .chars()
            .take(MAX_SHOWN_CHARACTERS)
            .flat_map(|c| {
                if c.is_control() {
                    c.escape_default().to_string()
                } else {
                    c.to_string()
                }
                .chars()
                .collect::<Vec<_>>()
            })
            .collect();
        let cut = text.chars().count() > MAX_SHOWN_CHARACTERS;
        write!(f, "{shown}{}", if cut { "…" } else { "" })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A report's line is read by people.
const MAX_SHOWN_CHARACTERS: usize = 72;
