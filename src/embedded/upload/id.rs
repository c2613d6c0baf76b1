use crate::{
    oci::{Algorithm, RepositoryName, UploadId},
    secret::{random_bytes, sha256},
};

/// Makes an id that tells what a session must remember: `<random>.<repository>.<algorithm>`.
///
/// The repository stands there as half of its SHA-256, so that an upload belongs to one
/// repository without a second file to say so.
pub(super) fn new(name: &RepositoryName, algorithm: Algorithm) -> UploadId {
    let random = hex::encode(random_bytes::<16>());
    let text = format!("{random}.{}.{}", fingerprint(name), algorithm.name());
    #[expect(
        clippy::expect_used,
        reason = "hexadecimal digits, names of letters and dots"
    )]
    UploadId::parse(&text).expect("it has only allowed characters")
}

/// The algorithm the session hashes with; `None` when the id is not one of this repository.
pub(super) fn algorithm(name: &RepositoryName, id: &UploadId) -> Option<Algorithm> {
    let mut parts = id.as_str().split('.');
    let (_random, repository, algorithm) = (parts.next()?, parts.next()?, parts.next()?);
    let ours = repository == fingerprint(name) && parts.next().is_none();
    ours.then(|| algorithm.parse().ok()).flatten()
}

fn fingerprint(name: &RepositoryName) -> String {
    hex::encode(&sha256(name.as_str().as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_belongs_to_one_repository() {
        let (ours, other) = ("a/b".parse().unwrap(), "a/c".parse().unwrap());
        let id = new(&ours, Algorithm::Sha512);
        assert_eq!(algorithm(&ours, &id), Some(Algorithm::Sha512));
        assert_eq!(algorithm(&other, &id), None);
        for foreign in ["x", "a.b.c.d", &format!("{id}.x")] {
            let id = UploadId::parse(foreign).unwrap();
            assert_eq!(algorithm(&ours, &id), None, "{foreign}");
        }
    }
}
