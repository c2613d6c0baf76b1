use super::error::Problem;

/// One word or mark of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// Splits a file into tokens as nginx does (`ngx_conf_read_token` of nginx 1.22): quotes only
/// at the beginning of a word, comments only where a word could begin, `${name}` no block.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u32,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            line: 1,
        }
    }

    /// The line the next byte is on, counted from 1.
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    /// The next token and the line it begins on; `None` at the end of the file.
    pub(super) fn token(&mut self) -> Result<Option<(Token, u32)>, Problem> {
        self.skip_blank();
        let line = self.line;
        let Some(first) = self.peek() else {
            return Ok(None);
        };
        let mark = match first {
            b';' => Some(Token::End),
            b'{' => Some(Token::Open),
            b'}' => Some(Token::Close),
            _ => None,
        };
        if let Some(mark) = mark {
            self.advance();
            return Ok(Some((mark, line)));
        }
        let word = if matches!(first, b'"' | b'\'') {
            self.advance();
            self.quoted(first, line)?
        } else {
            self.bare(line)?
        };
        Ok(Some((Token::Word(word), line)))
    }

    /// Passes over a block of Lua whose `{` was just read, to behind its `}`. Braces in strings
    /// and comments do not count.
    pub(super) fn skip_lua(&mut self) -> Result<(), Problem> {
        let begun = self.line;
        let mut depth = 1_usize;
        while let Some(byte) = self.advance() {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 1 => return Ok(()),
                b'}' => depth -= 1,
                b'"' | b'\'' => self.skip_lua_string(byte),
                b'-' if self.peek() == Some(b'-') => {
                    self.advance();
                    if !self.skip_long_bracket() {
                        self.skip_line();
                    }
                }
                b'[' => {
                    self.at -= 1;
                    if !self.skip_long_bracket() {
                        self.at += 1;
                    }
                }
                _ => {}
            }
        }
        Err(Problem::at(begun, "this block has no end, expected `}`"))
    }

    fn skip_lua_string(&mut self, quote: u8) {
        while let Some(byte) = self.advance() {
            match byte {
                b'\\' => drop(self.advance()),
                _ if byte == quote => return,
                _ => {}
            }
        }
    }

    /// Passes over `[[…]]`, `[=[…]=]` and so on; false, and nothing read, where there is none.
    fn skip_long_bracket(&mut self) -> bool {
        let rest = &self.bytes[self.at..];
        let level = rest
            .iter()
            .skip(1)
            .take_while(|byte| **byte == b'=')
            .count();
        if rest.first() != Some(&b'[') || rest.get(level + 1) != Some(&b'[') {
            return false;
        }
        let end: Vec<u8> = [&b"]"[..], &vec![b'='; level], b"]"].concat();
        while self.at < self.bytes.len() && !self.bytes[self.at..].starts_with(&end) {
            self.advance();
        }
        self.at = (self.at + end.len()).min(self.bytes.len());
        true
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.advance();
        }
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => self.skip_line(),
                _ if is_blank(byte) => drop(self.advance()),
                _ => return,
            }
        }
    }

    /// To behind the closing quote, which must be followed by an end of the word.
    fn quoted(&mut self, quote: u8, begun: u32) -> Result<String, Problem> {
        let start = self.at;
        loop {
            match self.advance() {
                None => {
                    let quote = char::from(quote);
                    return Err(Problem::at(
                        begun,
                        format!("this quoted word has no end, expected {quote}"),
                    ));
                }
                Some(b'\\') => drop(self.advance()),
                Some(byte) if byte == quote => break,
                Some(_) => {}
            }
        }
        let word = unescape(&self.bytes[start..self.at - 1], begun)?;
        match self.peek() {
            Some(b';' | b'{' | b')') | None => Ok(word),
            Some(byte) if is_blank(byte) => Ok(word),
            Some(_) => Err(Problem::at(
                self.line,
                "expected a blank, `;` or `{` behind the closing quote",
            )),
        }
    }

    fn bare(&mut self, begun: u32) -> Result<String, Problem> {
        let start = self.at;
        let mut behind_dollar = false;
        while let Some(byte) = self.peek() {
            let ends = is_blank(byte) || byte == b';' || (byte == b'{' && !behind_dollar);
            if ends {
                break;
            }
            behind_dollar = byte == b'$' || (byte == b'{' && behind_dollar);
            self.advance();
            if byte == b'\\' {
                self.advance();
            }
        }
        unescape(&self.bytes[start..self.at], begun)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn advance(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += u32::from(byte == b'\n');
        Some(byte)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A word without its escapes: `\"`, `\'` and `\\` are the character, `\t`, `\r` and `\n` what
/// they are in C, and before anything else a backslash stays. Bytes that are no UTF-8 become U+FFFD.
fn unescape(raw: &[u8], line: u32) -> Result<String, Problem> {
    if raw.len() > MAX_WORD_BYTES {
        return Err(Problem::at(
            line,
            format!("this word has more than {MAX_WORD_BYTES} bytes; a quote may be missing"),
        ));
    }
    let mut word = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            word.push(byte);
            continue;
        }
        match bytes.next() {
            Some(quote @ (b'"' | b'\'' | b'\\')) => word.push(quote),
            Some(b't') => word.push(b'\t'),
            Some(b'r') => word.push(b'\r'),
            Some(b'n') => word.push(b'\n'),
            Some(other) => word.extend([b'\\', other]),
            None => word.push(b'\\'),
        }
    }
    Ok(String::from_utf8_lossy(&word).into_owned())
}

/// The size of nginx's own buffer for a word (`NGX_CONF_BUFFER`).
const MAX_WORD_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some((token, _)) = lexer.token().unwrap() {
            all.push(match token {
                Token::Word(word) => format!("<{word}>"),
                Token::End => ";".to_owned(),
                Token::Open => "{".to_owned(),
                Token::Close => "}".to_owned(),
            });
        }
        all
    }

    #[test]
    fn words_are_split_as_nginx_splits_them() {
        for (text, expected) in [
            ("a b;", "<a> <b> ;"),
            ("a{b c;}", "<a> { <b> <c> ; }"),
            ("a # b;\nc;", "<a> <c> ;"),
            ("a b#c;", "<a> <b#c> ;"),
            ("a \"b ; { }\" 'c\"';", "<a> <b ; { }> <c\"> ;"),
            ("a b\"c d\";", "<a> <b\"c> <d\"> ;"),
            ("a ${b}c {", "<a> <${b}c> {"),
            ("a $b{", "<a> <$b> {"),
            (
                "a \\\" \\; '\\'' \"\\n\" ^\\.x$;",
                "<a> <\"> <\\;> <'> <\n> <^\\.x$> ;",
            ),
            ("if ($a = \"b\") {", "<if> <($a> <=> <b> <)> {"),
            ("a '';", "<a> <> ;"),
            ("location ~ \\.php$ {}", "<location> <~> <\\.php$> { }"),
        ] {
            assert_eq!(words(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn lines_are_counted() {
        let mut lexer = Lexer::new(b"a\n\"b\nc\" # d\n;");
        let mut lines = Vec::new();
        while let Some((_, line)) = lexer.token().unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, [1, 2, 4]);
    }

    #[test]
    fn what_has_no_end_is_named_by_its_beginning() {
        for (text, line, expected) in [
            ("a\n\n'b;\nc", 3, "expected '"),
            ("a \"b\"c;", 1, "closing quote"),
        ] {
            let mut lexer = Lexer::new(text.as_bytes());
            let problem = loop {
                match lexer.token() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{text} was read"),
                    Err(problem) => break problem,
                }
            };
            assert_eq!(problem.line, line, "{text}");
            assert!(problem.text.contains(expected), "{}", problem.text);
        }
        let long = format!("a {};", "b".repeat(5000));
        let mut lexer = Lexer::new(long.as_bytes());
        lexer.token().unwrap();
        assert!(lexer.token().unwrap_err().text.contains("4096"));
        let mut lexer = Lexer::new(b"f\xfcr;");
        let (token, _) = lexer.token().unwrap().unwrap();
        assert_eq!(token, Token::Word("f\u{fffd}r".to_owned()));
    }

    #[test]
    fn lua_is_passed_over_whole() {
        for body in [
            "}",
            " local a = { b = {} } }",
            " a = \"}\" .. '}\\'}' }",
            " -- }\n }",
            " --[[ } \n } ]] }",
            " a = [==[ } ]] ]==] .. b[1] }",
        ] {
            let text = format!("{body} next;");
            let mut lexer = Lexer::new(text.as_bytes());
            lexer.skip_lua().unwrap();
            let (token, _) = lexer.token().unwrap().unwrap();
            assert_eq!(token, Token::Word("next".to_owned()), "{body}");
        }
        assert!(Lexer::new(b" a = '").skip_lua().is_err());
    }
}
