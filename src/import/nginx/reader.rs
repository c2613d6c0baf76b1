use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{Error, Problem},
    glob,
    lexer::{Lexer, Token},
    tree::{Directive, Place},
};

/// Reads a configuration with all that it includes.
#[derive(Debug)]
pub(super) struct Reader {
    /// What relative paths begin at.
    folder: PathBuf,
    /// The files being read, the outermost first.
    stack: Vec<PathBuf>,
    bytes_left: u64,
    files_left: usize,
    directives: usize,
}

impl Reader {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            stack: Vec::new(),
            bytes_left: MAX_BYTES,
            files_left: MAX_FILES,
            directives: 0,
        }
    }

    /// The directives of a file, those of included files in the place of each `include`, which
    /// itself stays, too.
    pub(super) fn file(&mut self, path: &Path) -> Result<Vec<Directive>, Error> {
        let bytes = self.bytes(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        self.stack.push(path.to_owned());
        let mut source = Source {
            path: Arc::from(path),
            lexer: Lexer::new(&bytes),
        };
        let read = self.block(&mut source, 0)?;
        self.stack.pop();
        Ok(read)
    }

    fn bytes(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let refused = |text: String| Err(io::Error::other(text));
        if self.files_left == 0 {
            return refused(format!("more than {MAX_FILES} files are included"));
        }
        // A device or a pipe may never end.
        if !path.metadata()?.is_file() {
            return refused("it is not a file".to_owned());
        }
        let mut bytes = Vec::new();
        let mut file = File::open(path)?.take(self.bytes_left + 1);
        let length = file.read_to_end(&mut bytes)? as u64;
        if length > self.bytes_left {
            return refused(format!(
                "the files have more than {MAX_BYTES} bytes together"
            ));
        }
        self.bytes_left -= length;
        self.files_left -= 1;
        Ok(bytes)
    }

    /// To the end of the block, or of the file at depth 0.
    fn block(&mut self, source: &mut Source<'_>, depth: usize) -> Result<Vec<Directive>, Error> {
        let begun = source.lexer.line();
        if depth > MAX_DEPTH {
            let text = format!("blocks are nested more than {MAX_DEPTH} deep");
            return Err(source.error(Problem::at(begun, text)));
        }
        let mut directives = Vec::new();
        loop {
            match source.token()? {
                Some((Token::Word(name), line)) => {
                    let mut directive = self.directive(source, depth, (name, line))?;
                    let mut included = Vec::new();
                    if directive.is("include") {
                        let paths = self.paths(&directive)?;
                        directive.matches_no_file = paths.is_empty();
                        included = self.included(&directive, paths)?;
                    }
                    directives.push(directive);
                    directives.extend(included);
                }
                Some((Token::Close, _)) if depth > 0 => return Ok(directives),
                None if depth == 0 => return Ok(directives),
                Some((_, line)) => {
                    let text = "expected the name of a directive";
                    return Err(source.error(Problem::at(line, text)));
                }
                None => {
                    let text = "the block that begins here has no end, expected `}`";
                    return Err(source.error(Problem::at(begun, text)));
                }
            }
        }
    }

    fn directive(
        &mut self,
        source: &mut Source<'_>,
        depth: usize,
        (name, line): (String, u32),
    ) -> Result<Directive, Error> {
        let id = self.directives;
        self.directives += 1;
        if id >= MAX_DIRECTIVES {
            let text = format!("there are more than {MAX_DIRECTIVES} directives");
            return Err(source.error(Problem::at(line, text)));
        }
        let mut args = Vec::new();
        let block = loop {
            match source.token()? {
                Some((Token::Word(word), _)) => args.push(word),
                Some((Token::End, _)) => break None,
                Some((Token::Open, _)) if name.ends_with("_by_lua_block") => {
                    let skipped = source.lexer.skip_lua();
                    skipped.map_err(|problem| source.error(problem))?;
                    break Some(Vec::new());
                }
                Some((Token::Open, _)) => break Some(self.block(source, depth + 1)?),
                Some((Token::Close, _)) | None => {
                    let text = format!("`{name}` has no end, expected `;` or a block");
                    return Err(source.error(Problem::at(line, text)));
                }
            }
        };
        Ok(Directive {
            id,
            name,
            args,
            block,
            place: Place {
                file: source.path.clone(),
                line,
            },
            matches_no_file: false,
        })
    }

    /// The files that an `include` means.
    fn paths(&self, include: &Directive) -> Result<Vec<PathBuf>, Error> {
        let failed = |text| Error::on(&include.place, text);
        let [pattern] = include.args.as_slice() else {
            return Err(failed("expected one path behind `include`".to_owned()));
        };
        if self.stack.len() > MAX_INCLUDES_DEEP {
            let text = format!("files include each other more than {MAX_INCLUDES_DEEP} deep");
            return Err(failed(text));
        }
        let find = |wanted: &Path| {
            let found = glob::paths(wanted, MAX_FILES);
            found.map_err(|source| failed(format!("cannot read {pattern}: {source}")))
        };
        let is_there = |paths: &[PathBuf]| paths.iter().any(|path| path.exists());
        let wanted = self.folder.join(pattern);
        let paths = find(&wanted)?;
        match wanted.strip_prefix(NGINX_FOLDER) {
            // Copied from elsewhere, perhaps out of a container.
            Ok(inner) if !is_there(&paths) => {
                let copied = find(&self.folder.join(inner))?;
                Ok(if is_there(&copied) { copied } else { paths })
            }
            _ => Ok(paths),
        }
    }

    fn included(
        &mut self,
        include: &Directive,
        paths: Vec<PathBuf>,
    ) -> Result<Vec<Directive>, Error> {
        let failed = |text| Error::on(&include.place, text);
        let mut directives = Vec::new();
        for path in paths {
            if self.stack.contains(&path) {
                let text = format!("{} includes itself", path.display());
                return Err(failed(text));
            }
            let read = self.file(&path).map_err(|error| match error {
                Error::Read { path, source } => {
                    failed(format!("cannot read {}: {source}", path.display()))
                }
                other => other,
            });
            directives.extend(read?);
        }
        Ok(directives)
    }
}

/// A file while it is read.
struct Source<'a> {
    path: Arc<Path>,
    lexer: Lexer<'a>,
}

impl Source<'_> {
    fn token(&mut self) -> Result<Option<(Token, u32)>, Error> {
        self.lexer.token().map_err(|problem| self.error(problem))
    }

    fn error(&self, problem: Problem) -> Error {
        Error::Syntax {
            path: self.path.to_path_buf(),
            line: problem.line,
            text: problem.text,
        }
    }
}

/// Where distributions and containers have nginx's files.
const NGINX_FOLDER: &str = "/etc/nginx";
/// Configurations of large hosters have a few megabytes.
const MAX_BYTES: u64 = 16 << 20;
const MAX_FILES: usize = 1000;
const MAX_DIRECTIVES: usize = 100_000;
/// nginx itself has no such limit; what people write is five deep.
const MAX_DEPTH: usize = 32;
const MAX_INCLUDES_DEEP: usize = 16;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Vec<Directive>, Error> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Reader::new(folder.path()).file(&folder.path().join(files[0].0))
    }

    fn outline(directives: &[Directive]) -> String {
        let one = |directive: &Directive| match &directive.block {
            Some(block) => format!("{directive} {{{}}}", outline(block)),
            None => directive.to_string(),
        };
        directives.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn included_files_stand_in_the_place_of_their_include() {
        let read = read(&[
            (
                "nginx.conf",
                "a; http { include sites/*.conf; include none/*.conf; b; }",
            ),
            ("sites/2.conf", "two { include more; }"),
            ("sites/1.conf", "one 1;"),
            ("sites/.hidden.conf", "hidden;"),
            ("sites/other", "other;"),
            ("more", "three;"),
        ])
        .unwrap();
        assert_eq!(
            outline(&read),
            "a; http {include sites/*.conf; one 1; two {include more; three}; \
             include none/*.conf; b}"
        );
        let http = &read[1];
        assert_eq!(http.count_inner(), 7);
        let three = http.inner()[2].inner()[1].place.to_string();
        assert!(three.ends_with("/more:1"), "{three}");
    }

    #[test]
    fn errors_name_file_and_line_and_what_was_expected() {
        for (text, line, expected) in [
            ("a;\n}", 2, "expected the name of a directive"),
            ("a;\n;", 2, "expected the name of a directive"),
            ("a\nb {\n c;", 2, "expected `}`"),
            ("a {\n b }", 2, "`b` has no end, expected `;`"),
            ("\na b", 2, "`a` has no end"),
            ("include a b;", 1, "expected one path"),
            ("include missing.conf;", 1, "missing.conf"),
            ("\ninclude nginx.conf;", 2, "includes itself"),
            ("content_by_lua_block {\n", 1, "expected `}`"),
        ] {
            let error = read(&[("nginx.conf", text)]).unwrap_err().to_string();
            let place = format!("nginx.conf:{line}: ");
            assert!(
                error.contains(&place) && error.contains(expected),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn bombs_end_with_an_error() {
        let error = read(&[("nginx.conf", &"a {".repeat(100_000))]).unwrap_err();
        assert!(error.to_string().contains("32 deep"), "{error}");
        let twice = "include b; include b;";
        let error = read(&[
            ("a", twice),
            ("b", "include c; include c;"),
            ("c", "include a;"),
        ]);
        assert!(error.unwrap_err().to_string().contains("includes itself"));
        let chain: Vec<(String, String)> = (0..30)
            .map(|n| (n.to_string(), format!("include {0}; include {0};", n + 1)))
            .collect();
        let chain: Vec<(&str, &str)> = chain
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let error = read(&chain).unwrap_err().to_string();
        assert!(error.contains("16 deep"), "{error}");
        let doubling: Vec<(String, String)> = (0..14)
            .map(|n| (n.to_string(), format!("include {0}; include {0};", n + 1)))
            .chain([("14".to_owned(), "a;".to_owned())])
            .collect();
        let doubling: Vec<(&str, &str)> = doubling
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let error = read(&doubling).unwrap_err().to_string();
        assert!(error.contains("1000 files"), "{error}");
        let error = read(&[("a", "include /dev/zero;")]).unwrap_err();
        assert!(error.to_string().contains("not a file"), "{error}");
        let many = "a;".repeat(100_001);
        let error = read(&[("a", &many)]).unwrap_err().to_string();
        assert!(error.contains("100000 directives"), "{error}");
        let large = format!("a {};", " b".repeat(9 << 20));
        let error = read(&[("a", &large)]).unwrap_err().to_string();
        assert!(error.contains("16777216 bytes"), "{error}");
    }

    #[test]
    fn lua_blocks_are_not_read() {
        let read = read(&[("a", "x_by_lua_block { if a then b = { \"}\" } end } c;")]);
        assert_eq!(outline(&read.unwrap()), "x_by_lua_block {}; c");
    }
}
