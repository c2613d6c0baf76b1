//! What was deleted here must not come back from a mirror that has not heard of it yet.

use std::time::Duration;

use super::{Wish, queries};
use crate::{
    clock::Timestamp,
    oci::Reference,
    replication::{Change, ChangeKind, Error, Operation, Shared},
    store::Tx,
};

/// Remembers the tags that `wishes` say are deleted.
pub(super) async fn bury(tx: &mut Tx, wishes: &[&Wish], now: Timestamp) -> Result<(), Error> {
    for wish in wishes {
        if let (Operation::Deletion, Reference::Tag(tag)) = (wish.operation, &wish.reference) {
            // A time to come would keep out pushes that are yet to be made.
            let at = wish.origin.at().map_or(now, |at| at.min(now));
            queries::bury(tx, &wish.repository, tag, at).await?;
        }
    }
    Ok(())
}

/// Refuses a mirrored push of a tag that was deleted here after the push was made there, by the
/// clocks of the two. A push that does not say when it was made is as old as can be.
pub(super) async fn check(shared: &Shared, change: &Change) -> Result<(), Error> {
    let ChangeKind::Push {
        reference: Reference::Tag(tag),
        ..
    } = &change.kind
    else {
        return Ok(());
    };
    let made = change.origin.at().unwrap_or(Timestamp::from_millis(0));
    match queries::is_buried(&shared.db, &change.repository, tag, made).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::Superseded {
            repository: change.repository.to_string(),
            tag: tag.to_string(),
        }),
        Err(error) => {
            tracing::debug!(%error, "whether a mirrored tag was deleted here is not known");
            Ok(())
        }
    }
}

/// Forgets what mirrors have heard of long ago.
pub(super) async fn sweep(shared: &Shared, now: Timestamp) -> Result<(), Error> {
    Ok(queries::forget_buried(&shared.db, now.minus(KEPT)).await?)
}

/// A mirror that is away for longer may bring back what was deleted meanwhile.
const KEPT: Duration = Duration::from_hours(24);
