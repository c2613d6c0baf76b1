//! Bearer tokens: of ours and of others, with changes made to them, only what we have signed is
//! accepted.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use tidegate::{
    auth::bearer::{Expected, Verifier},
    clock::{ManualClock, SharedClock, Timestamp},
    oci::ActionSet,
    settings,
    token::{Algorithm, Config, Grant, Issuer, Keys},
};

fuzz_target!(|data: &[u8]| {
    let (first, edits) = data.split_first().unwrap_or((&0, &[]));
    let world = &*WORLD;
    let token = match usize::from(*first) {
        number if number < world.tokens.len() => edited(&world.tokens[number], edits),
        _ => edits.to_vec(),
    };
    let Ok(token) = str::from_utf8(&token) else {
        return;
    };
    let accepted = world.verifier.verify(token);
    let signed = token.rsplit_once('.').map(|(signed, _signature)| signed);
    let is_ours = world.ours.iter().any(|ours| signed == Some(ours));
    assert!(accepted.is_err() || is_ours, "{token}");
    let is_whole = world.tokens[..OURS].iter().any(|ours| ours == token);
    assert!(accepted.is_ok() || !is_whole, "{token}");
});

/// Each edit is four bytes: what to do, where (two bytes), and with what.
fn edited(token: &str, edits: &[u8]) -> Vec<u8> {
    let mut token = token.as_bytes().to_vec();
    for edit in edits.as_chunks::<4>().0 {
        let [kind, high, low, value] = *edit;
        if token.is_empty() {
            break;
        }
        let place = usize::from(u16::from_be_bytes([high, low])) % token.len();
        match kind % 5 {
            0 => token[place] = value,
            1 => token[place] ^= 1 << (value % 8),
            2 => token.insert(place, value),
            3 => {
                token.remove(place);
            }
            // A part of another token in its place.
            _ => {
                let other = &WORLD.tokens[usize::from(value) % WORLD.tokens.len()];
                let part = |text: &[u8], number: usize| {
                    let mut parts = text.split(|byte| *byte == b'.');
                    parts.nth(number).unwrap_or_default().to_vec()
                };
                let parts: Vec<Vec<u8>> = (0..3)
                    .map(|number| match number == place % 3 {
                        true => part(other.as_bytes(), number),
                        false => part(&token, number),
                    })
                    .collect();
                token = parts.join(&b'.');
            }
        }
    }
    token
}

struct World {
    verifier: Verifier,
    /// Ours that are valid, and then such as must not be.
    tokens: Vec<String>,
    /// The signed parts of the first [`OURS`].
    ours: Vec<String>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let at = |seconds| ManualClock::at(Timestamp::from_seconds(seconds));
    let (now, past) = (at(1_800_000_000), at(1_700_000_000));
    let keys = |algorithm| {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let clock: SharedClock = now.clone();
        Arc::new(Keys::load(folder.path(), algorithm, &clock).expect("new keys"))
    };
    let (ours, theirs) = (keys(Algorithm::Es256), keys(Algorithm::Es256));
    let config = Config::default();
    let other = |change: fn(&mut Config)| {
        let mut other = config.clone();
        change(&mut other);
        other
    };
    let issue = |keys: &Arc<Keys>, config: &Config, clock: &SharedClock, subject: &str| {
        let settings = settings::Reader::default();
        let issuer = Issuer::new(keys.clone(), config.clone(), settings, clock.clone());
        let grants = [Grant::repository("team/app", ActionSet::PULL)];
        let token = issuer.and_then(|issuer| issuer.issue_for_gateway(subject, &grants));
        token.expect("a token").text
    };
    let (now, past): (SharedClock, SharedClock) = (now.clone(), past);
    let tokens = vec![
        issue(&ours, &config, &now, "alice"),
        issue(&ours, &config, &now, ""),
        issue(&theirs, &config, &now, "admin"),
        issue(&ours, &config, &past, "alice"),
        issue(
            &ours,
            &other(|config| config.issuer.push('x')),
            &now,
            "alice",
        ),
        issue(
            &ours,
            &other(|config| config.service.push('x')),
            &now,
            "alice",
        ),
    ];
    let signed = |token: &String| token.rsplit_once('.').map(|(signed, _)| signed.to_owned());
    let expected = Expected {
        issuer: config.issuer.clone(),
        audience: config.service.clone(),
    };
    let verifiers = ours.verifiers(config.key_reference).expect("public keys");
    World {
        verifier: Verifier::new(verifiers, expected, now, 16),
        ours: tokens[..OURS].iter().filter_map(signed).collect(),
        tokens,
    }
});

/// How many of the tokens are valid.
const OURS: usize = 2;
