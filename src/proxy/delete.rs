//! A manifest DELETE (end-9).

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Response, StatusCode};

use super::{
    ChangeKind, Inner, Outcome, Refusal, authorise::Admitted, conclude::outcome,
    untag::is_unsupported,
};
use crate::{
    auth::immutable::Immutable,
    failpoint,
    oci::{Digest, ErrorCode, Reference, RepositoryName, Route, Tag},
    registry::Deletion,
    wire::{Body, ExchangeError},
};

impl Inner {
    /// Runs to its end even if the client goes away.
    pub(super) async fn delete(
        self: Arc<Self>,
        admitted: Admitted,
    ) -> Result<Response<Body>, Refusal> {
        let inner = Arc::clone(&self);
        let exchange = self
            .parts
            .tasks
            .spawn(async move { inner.commit_delete(&admitted).await });
        exchange.await.unwrap_or_else(|_panicked| {
            Err(Refusal::new(
                ErrorCode::Unknown,
                "the delete could not be finished",
            ))
        })
    }

    /// Looks up what goes while it is still there, writes it down, and deletes it.
    async fn commit_delete(&self, admitted: &Admitted) -> Result<Response<Body>, Refusal> {
        let Route::Manifest {
            name, reference, ..
        } = &admitted.asked.route
        else {
            return Err(Refusal::new(ErrorCode::NotFound, "this is no manifest"));
        };
        let rules = self.parts.auth.immutable(name).await?;
        let kind = self.deleted(name, reference, &rules).await?;
        let change = self
            .change(admitted, kind)
            .map(Arc::new)
            .ok_or_else(|| Refusal::new(ErrorCode::NotFound, "this is no manifest"))?;
        failpoint::hit("proxy.deletion_understood");
        let _turn = self.guard_immutable(&change, &rules).await?;
        self.parts.observer.begin(&change);
        let ticket = match self.intend(&change).await {
            Ok(ticket) => ticket,
            Err(refusal) => {
                let status = refusal.code().status();
                self.conclude(&change, None, &Outcome::Refused { status })
                    .await;
                return Err(refusal);
            }
        };
        let request = self.build_change(&admitted.asked, Body::Empty)?;
        let mut answer = self.parts.upstream.send(request).await;
        if let (Reference::Tag(tag), Ok(refused)) = (reference, &answer)
            && is_unsupported(refused)
        {
            answer = self.answer_untagged(name, tag, answer).await;
        }
        failpoint::hit("proxy.deletion_answered");
        self.conclude(&change, ticket, &outcome(&change, &answer))
            .await;
        failpoint::hit("proxy.deletion_concluded");
        self.relay(admitted, answer?)
    }

    /// Deletes the tag otherwise; when that cannot be, the registry's own `refusal` stands.
    async fn answer_untagged(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        refusal: Result<Response<Body>, ExchangeError>,
    ) -> Result<Response<Body>, ExchangeError> {
        let status = match self.untag(name, tag).await {
            Ok(Some(Deletion::Deleted)) => StatusCode::ACCEPTED,
            Ok(Some(Deletion::Absent)) => StatusCode::NOT_FOUND,
            Ok(None) => return refusal,
            Err(error) => {
                return Err(ExchangeError::Interrupted {
                    address: "the registry behind".into(),
                    source: error.into(),
                });
            }
        };
        let mut answer = Response::new(Body::Empty);
        *answer.status_mut() = status;
        if status == StatusCode::NOT_FOUND {
            let body = ErrorCode::ManifestUnknown.body("the tag does not exist");
            *answer.body_mut() = Body::from(body);
        }
        Ok(answer)
    }

    /// What goes, in the detail that an observer wants and that the rules for tags need.
    async fn deleted(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        rules: &Immutable,
    ) -> Result<ChangeKind, Refusal> {
        let is_wanted = self.parts.observer.wants(name);
        Ok(match reference.clone() {
            Reference::Tag(tag) => ChangeKind::DeleteTag {
                digest: if is_wanted {
                    self.parts.upstream.digest_if_said(name, &tag).await?
                } else {
                    None
                },
                tag,
            },
            Reference::Digest(digest) => ChangeKind::DeleteDigest {
                tags: if is_wanted || !rules.is_empty() {
                    self.siblings(name, &digest, rules).await?
                } else {
                    Vec::new()
                },
                digest,
            },
        })
    }

    /// The tags that point to a digest: a registry deletes them with it. Of a repository with
    /// more tags than `delete_tags_examined` the first are looked at.
    ///
    /// It must be known where an immutable tag points. Any other one, of which observers would
    /// hear, is left out when the registry does not say.
    async fn siblings(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        rules: &Immutable,
    ) -> Result<Vec<Tag>, Refusal> {
        let upstream = &self.parts.upstream;
        let tags = upstream
            .tags(name, self.parts.config.delete_tags_examined)
            .await?;
        let examined = stream::iter(tags).map(|tag| async move {
            let points_to = if rules.holds(tag.as_str()) {
                upstream.digest(name, &tag).await?
            } else {
                upstream.digest_if_said(name, &tag).await?
            };
            Ok::<_, Refusal>((tag, points_to))
        });
        let pointing =
            examined.buffer_unordered(LOOKUPS_AT_ONCE).try_filter_map(
                |(tag, points_to)| async move {
                    Ok((points_to.as_ref() == Some(digest)).then_some(tag))
                },
            );
        pointing.try_collect().await
    }
}

/// Enough to hide the way to the registry, few enough to leave room for pulls.
const LOOKUPS_AT_ONCE: usize = 16;
