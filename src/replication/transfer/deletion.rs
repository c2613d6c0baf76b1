//! What becomes of the destination when the source has nothing.

use super::copy::Copy;
use crate::{
    jobs::Failure,
    oci::Reference,
    registry::{Deletion, Kind},
};

/// Deletes the reference at the destination if the policy says so.
///
/// A tag is deleted alone, never by its digest, which other tags may share. A registry that
/// cannot do that is reported as such.
pub(super) async fn follow(copy: &Copy<'_>, reference: &Reference) -> Result<(), Failure> {
    let end = &copy.destination;
    let name = &end.repository;
    if !copy.policy.spec.deletion {
        copy.log
            .line("finished: nothing to do, for the policy does not replicate deletions");
        return Ok(());
    }
    match end.client.delete_manifest(name, reference).await {
        Ok(Deletion::Deleted) => copy.log.line(format!(
            "finished: {name} {reference} deleted at the destination"
        )),
        Ok(Deletion::Absent) => copy.log.line(format!(
            "finished: the destination has no {name} {reference}"
        )),
        Err(error) if error.kind() == Kind::Unsupported => {
            let what = match reference {
                Reference::Tag(_) => "a tag without its digest",
                Reference::Digest(_) => "manifests",
            };
            return Err(Failure::permanent(format!(
                "unsupported: the destination cannot delete {what} ({error})"
            )));
        }
        Err(error) => return Err(end.failure(&error)),
    }
    Ok(())
}
