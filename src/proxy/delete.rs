//! A manifest DELETE (end-9).

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Response, StatusCode};

use super::{
    ChangeKind, Inner, Outcome, Refusal, authorise::Admitted, conclude::outcome, tags::Tags,
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
        let _turn = self.turn_of_deletion(name, reference, &rules).await;
        let kind = self.deleted(name, reference, &rules).await?;
        let change = self
            .change(admitted, kind)
            .map(Arc::new)
            .ok_or_else(|| Refusal::new(ErrorCode::NotFound, "this is no manifest"))?;
        failpoint::hit("proxy.deletion_understood");
        self.guard_immutable(&change, &rules).await?;
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
            Reference::Digest(digest) => {
                let limit = self.parts.config.delete_tags_examined;
                let examined = if is_wanted { limit } else { 0 };
                ChangeKind::DeleteDigest {
                    tags: self.siblings(name, &digest, rules, examined).await?,
                    digest,
                }
            }
        })
    }

    /// The tags that point to a digest: a registry deletes them with it. Of those that no rule
    /// holds the first `examined` of the repository are looked at, for observers; where there are
    /// rules, each that they hold is looked at, on whatever page it stands.
    ///
    /// It must be known where an immutable tag points. Any other one is left out when the registry
    /// does not say.
    async fn siblings(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        rules: &Immutable,
        mut examined: usize,
    ) -> Result<Vec<Tag>, Refusal> {
        let mut tags = Tags::of(name, &self.parts.upstream);
        let mut pointing = Vec::new();
        while examined > 0 || !rules.is_empty() {
            let Some(mut page) = tags.next().await? else {
                break;
            };
            page.retain(|tag| {
                let is_examined = examined > 0;
                examined = examined.saturating_sub(1);
                is_examined || rules.holds(tag.as_str())
            });
            pointing.extend(self.pointing(name, digest, rules, page).await?);
        }
        pointing.sort();
        pointing.dedup();
        Ok(pointing)
    }

    /// Those of `tags` that point to a digest.
    async fn pointing(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        rules: &Immutable,
        tags: Vec<Tag>,
    ) -> Result<Vec<Tag>, Refusal> {
        let upstream = &self.parts.upstream;
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
