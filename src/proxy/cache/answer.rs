use std::io;

use bytes::Bytes;
use http::{
    HeaderMap, Response,
    header::{CONNECTION, DATE, LINK, LOCATION, TRANSFER_ENCODING, VARY},
};
use http_body::Body as _;

use crate::wire::{Body, ExchangeError, collect};

/// A 200 that can be given again.
pub(super) struct Answer {
    headers: HeaderMap,
    /// `None` of a HEAD.
    body: Option<Bytes>,
    size_bytes: usize,
}

impl Answer {
    /// What is to be kept of a response, if it can be, and the response for whoever waits for it.
    ///
    /// Reads the body when it is small and its length is known; the response fails when that does
    /// not come whole.
    pub(super) async fn take(
        response: Response<Body>,
        is_head: bool,
    ) -> Result<(Option<Self>, Response<Body>), ExchangeError> {
        if !is_for_everybody(response.headers()) {
            return Ok((None, response));
        }
        if is_head {
            let answer = Self::new(response.headers(), None);
            return Ok((Some(answer), response));
        }
        let length = response.body().size_hint().exact();
        let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else {
            return Ok((None, response));
        };
        if length > LARGEST_BYTES {
            return Ok((None, response));
        }
        let (head, body) = response.into_parts();
        let body = collect(body, length).await.map_err(broken)?;
        if body.len() < length {
            return Err(broken(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        let answer = Self::new(&head.headers, Some(body.clone()));
        Ok((Some(answer), Response::from_parts(head, body.into())))
    }

    fn new(headers: &HeaderMap, body: Option<Bytes>) -> Self {
        let mut headers = headers.clone();
        headers.remove(DATE);
        let texts = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES);
        Self {
            size_bytes: texts.sum::<usize>() + body.as_ref().map_or(0, Bytes::len),
            headers,
            body,
        }
    }

    /// The answer once more; `None` when it was the one to a HEAD and the body is wanted.
    pub(super) fn response(&self, is_head: bool) -> Option<Response<Body>> {
        let body = match &self.body {
            _ if is_head => Body::Empty,
            Some(body) => Body::Full(body.clone()),
            None => return None,
        };
        let mut response = Response::new(body);
        *response.headers_mut() = self.headers.clone();
        Some(response)
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

/// Whether no header is made for the one who asked, or for his connection. The registry may name
/// itself in targets as the client calls it.
fn is_for_everybody(headers: &HeaderMap) -> bool {
    let chosen_by = headers.get_all(VARY).iter();
    let mut chosen_by = chosen_by.flat_map(|value| value.to_str().unwrap_or("*").split(','));
    let is_varied = chosen_by.any(|name| {
        let name = name.trim();
        !CHOOSING
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    });
    let personal = [LINK, LOCATION, CONNECTION, TRANSFER_ENCODING];
    !is_varied && !personal.iter().any(|name| headers.contains_key(name))
}

fn broken(source: impl Into<crate::wire::BoxError>) -> ExchangeError {
    ExchangeError::Interrupted {
        address: "the registry behind".into(),
        source: source.into(),
    }
}

/// What the key has, and the gateway's credential, which is always the same.
const CHOOSING: [&str; 3] = ["accept", "accept-encoding", "authorization"];
const LARGEST_BYTES: usize = 512 * 1024;
/// What a header takes in the map besides its text.
const HEADER_BYTES: usize = 64;
