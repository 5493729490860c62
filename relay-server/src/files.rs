//! Static files, so that one process runs a demo or a small app.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use std::path::Path;
use tower_http::services::ServeDir;

/// Files below `dir`; a folder is its `index.html`. What lies in a folder `assets` has a digest in its name and may be
/// kept for ever; everything else (pages, the service worker) is asked for again each time, so that a new build shows.
pub fn serve(dir: &Path) -> Router {
    Router::new().fallback_service(ServeDir::new(dir)).layer(axum::middleware::from_fn(
        async |request: axum::extract::Request, next: axum::middleware::Next| {
            let is_asset = request.uri().path().split('/').any(|segment| segment == "assets");
            with_headers(next.run(request).await, is_asset)
        },
    ))
}

fn with_headers(mut response: Response, is_asset: bool) -> Response {
    let kept =
        if is_asset && response.status().is_success() { "public, max-age=31536000, immutable" } else { "no-cache" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
