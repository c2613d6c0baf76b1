//! Phase 6: the request is built anew from its parts, and the answer is cleaned on its way back.

mod location;
mod metered;
mod request;
mod response;
mod sending;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;

use super::{
    Inner, Refusal, authorise::Admitted, cache::Keepable, parse::Asked, quota::ReservedBlob,
    sessions::Session,
};
use crate::{oci::Route, wire::Body};

pub(super) use location::Origins;
#[cfg(feature = "fuzzing")]
pub(super) use location::Target;

impl Inner {
    /// Streams the request to the registry behind and its answer back.
    pub(super) async fn forward(
        &self,
        mut admitted: Admitted,
        body: Body,
    ) -> Result<Response<Body>, Refusal> {
        if let Some(answer) = self.kept(&admitted.asked) {
            let response = self.relay(&admitted, answer)?;
            self.note_pull(&admitted, &response);
            return Ok(response);
        }
        let bytes = body.size_hint().exact().unwrap_or_default();
        let reserved = self.reserve_blob(&mut admitted, bytes).await?;
        let asked = &admitted.asked;
        let followed = self.followed(&admitted, &body);
        let body = metered::body(body, reserved.as_ref().map(ReservedBlob::reservation));
        let (body, fault) = request::body(asked, body, followed.as_ref());
        let mut request = request::build(asked, &self.parts.address, body)?;
        if matches!(asked.method, Method::GET | Method::HEAD) {
            request.extensions_mut().insert(Keepable);
        }
        let answer = self.parts.upstream.send(request).await;
        if let Some(refusal) = fault.over_limit() {
            self.give_up_upload(asked);
            return Err(refusal);
        }
        let answer = answer.map_err(|error| fault.refusal().unwrap_or_else(|| error.into()))?;
        self.sizes.note(asked, &answer);
        if let Some(reserved) = reserved {
            self.conclude_reserved(asked, &reserved, &answer);
        }
        let response = self.relay(&admitted, answer)?;
        if let Some(followed) = followed {
            self.conclude_followed(&admitted, followed, &response);
        }
        self.note_session(&admitted, &response);
        self.note_pull(&admitted, &response);
        Ok(response)
    }

    fn kept(&self, asked: &Asked) -> Option<Response<Body>> {
        let cache = self.cache.as_ref()?;
        cache.kept(&asked.method, &asked.route, &asked.headers)
    }

    /// The request of a change: its user agent ends with the gateway's mark, by which the
    /// registry's notification of it is known.
    pub(super) fn build_change(&self, asked: &Asked, body: Body) -> Result<Request<Body>, Refusal> {
        let mut request = request::build(asked, &self.parts.address, body)?;
        let agent = asked.header(header::USER_AGENT.as_str()).unwrap_or("-");
        if let Ok(value) = HeaderValue::try_from(format!("{agent}{}", self.parts.mark)) {
            request.headers_mut().insert(header::USER_AGENT, value);
        }
        Ok(request)
    }

    /// What of the answer the client may see.
    pub(super) fn relay(
        &self,
        admitted: &Admitted,
        answer: Response<Body>,
    ) -> Result<Response<Body>, Refusal> {
        let origins = Origins {
            public: self.parts.address.origin(&admitted.asked.peer),
            upstream: self.parts.upstream.url.as_ref(),
        };
        response::clean(answer, &admitted.asked, &origins)
    }

    /// Remembers who began an upload session, and forgets sessions that are over.
    fn note_session(&self, admitted: &Admitted, response: &Response<Body>) {
        let asked = &admitted.asked;
        match (&asked.route, response.status()) {
            (Route::StartUpload { .. }, StatusCode::ACCEPTED) => {
                let location = response.headers().get(header::LOCATION);
                let begun = location
                    .and_then(|value| value.to_str().ok())
                    .and_then(|text| text.split('?').next())
                    .and_then(|path| Route::parse(&Method::PATCH, path, None).ok());
                if let Some(Route::Upload { name, id, .. }) = begun {
                    let session = Session::new(&admitted.actor.name, self.follow(admitted));
                    self.sessions.begin(name, id, session);
                }
            }
            (Route::Upload { name, id, .. }, StatusCode::CREATED) => self.sessions.end(name, id),
            (Route::Upload { name, id, .. }, StatusCode::NO_CONTENT)
                if asked.method == Method::DELETE =>
            {
                self.sessions.end(name, id);
            }
            _ => {}
        }
    }
}

/// The answer to `/v2/`: the registry speaks version 2 (end-1).
pub(super) fn pong() -> Response<Body> {
    let mut response = Response::new(Body::from("{}"));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        "docker-distribution-api-version",
        HeaderValue::from_static("registry/2.0"),
    );
    response
}
