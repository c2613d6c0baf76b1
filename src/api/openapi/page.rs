//! The page that shows the document. It needs nothing from elsewhere, so it works where there is
//! no way to the internet.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, header};

use super::{Answer, Success};

/// `GET /api/docs`.
pub(in crate::api) async fn page() -> File {
    File("text/html; charset=utf-8", include_str!("page/page.html"))
}

/// `GET /api/docs/page.js`.
pub(in crate::api) async fn script() -> File {
    File(
        "text/javascript; charset=utf-8",
        include_str!("page/page.js"),
    )
}

/// `GET /api/docs/page.css`.
pub(in crate::api) async fn style() -> File {
    File("text/css; charset=utf-8", include_str!("page/page.css"))
}

/// Its media type and its text.
pub(in crate::api) struct File(&'static str, &'static str);

impl IntoResponse for File {
    fn into_response(self) -> Response {
        let headers: [(HeaderName, &str); 4] = [
            (header::CONTENT_TYPE, self.0),
            (header::CONTENT_SECURITY_POLICY, ONLY_OURS),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (headers, self.1).into_response()
    }
}

impl Answer for File {
    fn success() -> Success {
        Success::other(&["text/html", "text/javascript", "text/css"])
    }
}

/// The page loads and asks this gateway alone, and nobody may put it in a frame.
const ONLY_OURS: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
