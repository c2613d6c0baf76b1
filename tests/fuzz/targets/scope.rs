//! Scopes: what is printed reads back as it was, and grants nothing that was not asked for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::oci::Scope;

fuzz_target!(|text: &str| {
    let Some(scope) = Scope::parse(text) else {
        return;
    };
    let printed = scope.to_string();
    assert_eq!(Scope::parse(&printed).as_ref(), Some(&scope), "{printed}");
    let asked: Vec<&str> = text
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .split(',')
        .collect();
    assert_eq!(scope.wildcard, asked.contains(&"*"));
    for action in scope.actions.iter() {
        assert!(scope.wildcard || asked.contains(&action.as_str()));
    }
    assert!(text.contains(&scope.name));
});
