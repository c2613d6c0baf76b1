use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// The files a pattern of `include` means, sorted, as glob(3) finds them: `*`, `?` and `[…]`
/// within a name, a dot at its beginning only where the pattern has one. No match is no error;
/// a pattern without wildcards is the path itself.
pub(super) fn paths(pattern: &Path, limit: usize) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        let is_wild = matches!(component, Component::Normal(_)) && name.contains(['*', '?', '[']);
        if is_wild {
            found = found
                .iter()
                .map(|folder| matches(folder, &name, limit))
                .collect::<io::Result<Vec<_>>>()?
                .concat();
        } else {
            for path in &mut found {
                path.push(component);
            }
        }
        if found.len() > limit {
            return Err(io::Error::other(format!(
                "it means more than {limit} files"
            )));
        }
    }
    if found.len() == 1 && found[0] == pattern {
        return Ok(found);
    }
    found.retain(|path| path.exists());
    Ok(found)
}

fn matches(folder: &Path, pattern: &str, limit: usize) -> io::Result<Vec<PathBuf>> {
    let pattern = literal_braces(pattern);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries.take(limit * 10) {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let is_hidden = text.starts_with('.') && !pattern.starts_with('.');
        if !is_hidden && fast_glob::glob_match(&pattern, &*text) {
            found.push(folder.join(&name));
        }
    }
    found.sort();
    Ok(found)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Braces and a leading `!` mean themselves in glob(3).
fn literal_braces(pattern: &str) -> String {
    let mut literal = String::with_capacity(pattern.len());
    for (index, character) in pattern.chars().enumerate() {
        if matches!(character, '{' | '}') || (character == '!' && index == 0) {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal
}
