use std::collections::BTreeMap;

/// What variables hold for one request, as far as that is known before there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    /// Nobody knows what the variable holds from here on.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The text with the values of `$name` and `${name}`; or the first name whose value is not
    /// known, or with which the text would become longer than any URL.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, from) = rest.split_at(dollar);
            expanded.push_str(before);
            let (name, behind) = name(&from[1..]);
            if name.is_empty() {
                expanded.push('$');
            } else {
                let value = self.0.get(name).ok_or_else(|| format!("${name}"))?;
                expanded.push_str(value);
            }
            if expanded.len() > MAX_VALUE_BYTES {
                return Err(format!("${name}"));
            }
            rest = behind;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

/// More than nginx takes as a request line. A variable that is set to twice itself again and
/// again would fill the memory.
const MAX_VALUE_BYTES: usize = 16 << 10;

/// The variable's name at the beginning of the text, and what is behind it.
fn name(text: &str) -> (&str, &str) {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let end = inner
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(inner.len());
    let (name, behind) = inner.split_at(end);
    match (text.starts_with('{'), behind.strip_prefix('}')) {
        (false, _) => (name, behind),
        (true, Some(behind)) => (name, behind),
        (true, None) => ("", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_expanded_and_others_named() {
        let mut variables = Variables::default();
        variables.set("backend", "10.0.0.1".to_owned());
        variables.set("1", "v2".to_owned());
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("http://$backend:5000/$1/", Ok("http://10.0.0.1:5000/v2/")),
            ("${backend}x$", Ok("10.0.0.1x$")),
            ("a${broken", Ok("a${broken")),
            ("$backendx", Err("$backendx")),
            ("$$host", Err("$host")),
        ] {
            let expanded = variables.expand(text);
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(expanded, expected, "{text}");
        }
        for _doubling in 0..100 {
            match variables.expand("$backend$backend") {
                Ok(twice) => variables.set("backend", twice),
                Err(name) => assert_eq!(name, "$backend"),
            }
        }
        assert!(variables.expand("$backend$backend$backend").is_err());
        variables.forget("1");
        assert!(variables.expand("$1").is_err());
    }
}
