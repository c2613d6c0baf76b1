//! What becomes of the destination when the source has nothing.

use super::copy::Copy;
use crate::{
    failpoint,
    jobs::Failure,
    oci::Reference,
    registry::{Deletion, Error, Kind},
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
    let deletion = end.client.delete_manifest(name, reference).await;
    failpoint::hit("replication.manifest_deleted");
    match deletion {
        Ok(Deletion::Deleted) => copy.log.line(format!(
            "finished: {name} {reference} deleted at the destination"
        )),
        Ok(Deletion::Absent) => copy.log.line(format!(
            "finished: the destination has no {name} {reference}"
        )),
        Err(error) if error.kind() == Kind::Unsupported => {
            unsupported(copy, reference, &error).await?;
        }
        Err(error) => return Err(end.failure(&error)),
    }
    Ok(())
}

/// A destination that cannot delete a tag, as distribution 2.8, refuses that of one it does not
/// have as well: only what it has must stay.
async fn unsupported(
    copy: &Copy<'_>,
    reference: &Reference,
    refusal: &Error,
) -> Result<(), Failure> {
    let end = &copy.destination;
    let name = &end.repository;
    let held = end.client.head_manifest(name, reference).await;
    if held.map_err(|error| end.failure(&error))?.is_none() {
        let line = format!("finished: the destination has no {name} {reference}");
        copy.log.line(line);
        return Ok(());
    }
    let what = match reference {
        Reference::Tag(_) => "a tag without its digest",
        Reference::Digest(_) => "manifests",
    };
    let message = format!("unsupported: the destination cannot delete {what} ({refusal})");
    Err(Failure::permanent(message))
}
