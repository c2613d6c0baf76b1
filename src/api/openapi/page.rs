//! The page that shows the document. It needs nothing from elsewhere, so it works where there is
//! no way to the internet.

use axum::response::IntoResponse;
use http::{HeaderName, header};

/// `GET /api/docs`.
pub(in crate::api) async fn page() -> impl IntoResponse {
    file("text/html; charset=utf-8", include_str!("page/page.html"))
}

/// `GET /api/docs/page.js`.
pub(in crate::api) async fn script() -> impl IntoResponse {
    file(
        "text/javascript; charset=utf-8",
        include_str!("page/page.js"),
    )
}

/// `GET /api/docs/page.css`.
pub(in crate::api) async fn style() -> impl IntoResponse {
    file("text/css; charset=utf-8", include_str!("page/page.css"))
}

fn file(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, ONLY_OURS),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

/// The page loads and asks this gateway alone, and nobody may put it in a frame.
const ONLY_OURS: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
