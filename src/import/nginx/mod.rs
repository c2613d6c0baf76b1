//! An nginx configuration becomes a `tidegate.toml`, with a verdict on every directive.
//!
//! `reader.rs` reads the files into a tree (`tree.rs`) as nginx reads them (`lexer.rs`);
//! `site.rs` finds the server that is the registry by following requests through it
//! (`route.rs`); `translate/` turns what counts for them into keys (`draft.rs`).
//! Facts are nginx 1.22's (nginx.org/en/docs, and its source where that is named).

mod draft;
mod error;
mod glob;
mod lexer;
mod listen;
mod location;
mod reader;
mod report;
mod route;
mod site;
#[cfg(test)]
mod tests;
mod translate;
mod tree;
mod units;
mod variables;

use std::path::{Path, PathBuf};

pub use draft::Verdict;
pub use error::Error;
pub use report::Line;

use draft::Draft;
use reader::Reader;
use site::Site;
use translate::Translation;

/// What the caller says besides the file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A name in `server_name`; needed where several servers could be the registry.
    pub server_name: Option<String>,
    /// The registry's address, instead of what `proxy_pass` says.
    pub upstream: Option<String>,
    /// What relative paths begin at. Without it, the folder above the file that has a
    /// `nginx.conf`, or else the file's own.
    pub folder: Option<PathBuf>,
}

/// An imported site.
#[derive(Debug)]
pub struct Imported {
    /// The `tidegate.toml`.
    pub toml: String,
    /// What became of each directive, in the order they are read.
    pub report: Vec<Line>,
}

/// Reads `file` with what it includes, and translates the registry's site in it.
pub fn import(file: &Path, options: &Options) -> Result<Imported, Error> {
    let folder = match &options.folder {
        Some(folder) => folder.clone(),
        None => folder_of(file),
    };
    let top = Reader::new(&folder).file(file)?;
    let site = Site::find(&top, options.server_name.as_deref())?;
    let (name, place) = (site::names(site.server).next(), site.server.place.clone());
    let mut translation = Translation {
        site,
        folder: &folder,
        upstream: options.upstream.as_deref(),
        draft: Draft::default(),
    };
    translation.run(&top)?;
    let draft = translation.draft;
    let name = name.map_or(String::new(), |name| format!("{name}, "));
    // A comment of TOML ends with its line, and has no other such characters.
    let origin = format!("{name}{place}").replace(char::is_control, " ");
    Ok(Imported {
        toml: format!(
            "# Made by `tidegate import nginx` from the site {origin}.\n\
             # `tidegate check` says whether it is fit; tidegate.example.toml has every key.\n{}",
            draft.toml()
        ),
        report: report::lines(&top, &draft),
    })
}

/// nginx's own folder: the nearest above the file with an `nginx.conf`.
fn folder_of(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let own = absolute.parent().unwrap_or(Path::new("/"));
    let mut above = own.ancestors().take(NGINX_FOLDERS_ABOVE);
    let nginx = above.find(|folder| folder.join("nginx.conf").is_file());
    nginx.unwrap_or(own).to_owned()
}

/// `sites-enabled/registry` lies one below; nobody puts a site deeper than two.
const NGINX_FOLDERS_ABOVE: usize = 3;
