//! What becomes of the destination when the source has nothing.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{copy::Copy, failure::from_store};
use crate::{
    failpoint,
    jobs::Failure,
    oci::{Digest, Manifest, Reference, Tag, media_type},
    registry::{Deletion, Error, Kind},
    replication::{Operation, places::Belief},
};

/// Deletes the reference at the destination if the policy says so.
///
/// A tag is deleted alone. Where the registry cannot do that, its digest is deleted unless
/// something else needs it. What could not be done is returned, in words that begin with
/// `unsupported:`; another attempt would change nothing.
///
/// Nobody knows any more which labels an absent artifact bore. A policy that asks for them follows
/// when the deletion was `wished`, for which they were looked at, or when the destination is known
/// to hold what was brought there.
pub(super) async fn follow(
    copy: &Copy<'_>,
    reference: &Reference,
    wished: Operation,
) -> Result<Option<String>, Failure> {
    if !copy.policy.spec.deletion {
        copy.log
            .line("finished: nothing to do, for the policy does not replicate deletions");
        return Ok(None);
    }
    if copy.policy.spec.asks_for_labels()
        && wished != Operation::Deletion
        && !is_held(copy, reference).await?
    {
        copy.log
            .line("finished: nothing to do, for the policy is not known to have brought it there");
        return Ok(None);
    }
    let undone = match (delete(copy, reference).await?, reference) {
        (Ok(()), _) => None,
        (Err(refusal), Reference::Digest(_)) => Some(unsupported("manifests", &refusal)),
        (Err(refusal), Reference::Tag(tag)) => instead(copy, tag, &refusal).await?,
    };
    if let Some(undone) = &undone {
        copy.log.line(format!("finished: {undone}"));
    }
    Ok(undone)
}

async fn is_held(copy: &Copy<'_>, reference: &Reference) -> Result<bool, Failure> {
    let place = copy.destination.place();
    let belief = copy.shared.places.reference(place, reference).await;
    let belief = belief.map_err(|error| from_store(&error))?;
    Ok(matches!(belief, Belief::Held { .. }))
}

/// Deletes what is there; the registry's refusal when it cannot.
async fn delete(copy: &Copy<'_>, reference: &Reference) -> Result<Result<(), Error>, Failure> {
    let end = &copy.destination;
    let name = &end.repository;
    forget(copy, reference).await?;
    let deletion = end.client.delete_manifest(name, reference).await;
    failpoint::hit("replication.manifest_deleted");
    // Once more, for who has copied it meanwhile.
    forget(copy, reference).await?;
    match deletion {
        Ok(Deletion::Deleted) => copy.log.line(format!(
            "finished: {name} {reference} deleted at the destination"
        )),
        Ok(Deletion::Absent) => copy.log.line(format!(
            "finished: the destination has no {name} {reference}"
        )),
        Err(error) if error.kind() == Kind::Unsupported => return Ok(Err(error)),
        Err(error) => return Err(end.failure(&error)),
    }
    Ok(Ok(()))
}

async fn forget(copy: &Copy<'_>, reference: &Reference) -> Result<(), Failure> {
    let place = copy.destination.place();
    let forgotten = copy.shared.places.forget_reference(place, reference).await;
    forgotten.map_err(|error| from_store(&error))
}

/// What can be done where a tag cannot be deleted alone, as at distribution 2.8, which says so
/// of tags that it does not have as well.
async fn instead(copy: &Copy<'_>, tag: &Tag, refusal: &Error) -> Result<Option<String>, Failure> {
    let end = &copy.destination;
    let name = &end.repository;
    let Some(held) = end.head(&Reference::Tag(tag.clone())).await? else {
        let line = format!("finished: the destination has no {name} {tag}");
        copy.log.line(line);
        return Ok(None);
    };
    if let Some(other) = other_user(copy, tag, &held.digest).await? {
        let what = format!("a tag without its digest, which {other} needs");
        return Ok(Some(unsupported(&what, refusal)));
    }
    let line = format!(
        "delete: the destination deletes no tags; {} goes",
        held.digest
    );
    copy.log.line(line);
    let digest = Reference::Digest(held.digest);
    let deleted = delete(copy, &digest).await?;
    Ok(deleted
        .err()
        .map(|refusal| unsupported("manifests", &refusal)))
}

/// Another tag of the repository that points to the digest, or to an index that lists it.
async fn other_user(
    copy: &Copy<'_>,
    tag: &Tag,
    digest: &Digest,
) -> Result<Option<String>, Failure> {
    let end = &copy.destination;
    let tags = end.client.all_tags(&end.repository, MAX_TAGS).await;
    let tags = match tags {
        Ok(tags) => tags,
        Err(Error::Malformed { .. }) => {
            return Ok(Some(format!("one of more than {MAX_TAGS} tags perhaps")));
        }
        Err(error) => return Err(end.failure(&error)),
    };
    let others = tags.into_iter().filter(|other| other != tag);
    let users = stream::iter(others)
        .map(|other| async move {
            let needs = needs(copy, &other, digest).await?;
            Ok::<_, Failure>(needs.then(|| other.to_string()))
        })
        .buffer_unordered(LOOKUPS_AT_ONCE)
        .try_filter_map(|user| async { Ok(user) });
    std::pin::pin!(users).try_next().await
}

async fn needs(copy: &Copy<'_>, tag: &Tag, digest: &Digest) -> Result<bool, Failure> {
    let end = &copy.destination;
    let Some(head) = end.head(&Reference::Tag(tag.clone())).await? else {
        return Ok(false);
    };
    if head.digest == *digest {
        return Ok(true);
    }
    if !media_type::is_index(&head.media_type) {
        return Ok(false);
    }
    match end.manifest(&head.digest).await {
        Ok(index) => Ok(Manifest::parse(&index.media_type, &index.bytes)
            .is_ok_and(|index| index.children.iter().any(|child| child.digest == *digest))),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(end.failure(&error)),
    }
}

fn unsupported(what: &str, refusal: &Error) -> String {
    format!("unsupported: the destination cannot delete {what} ({refusal})")
}

/// Each is asked for; a repository with more is left as it is.
const MAX_TAGS: usize = 2000;
const LOOKUPS_AT_ONCE: usize = 8;
