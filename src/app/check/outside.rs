//! Asks the gateway at the address that its clients use, and tells what a proxy on the way does to
//! requests that it should not.

use anyhow::{Context, bail, ensure};
use http::{
    StatusCode,
    header::{LOCATION, WWW_AUTHENTICATE},
};

use super::{
    Finding,
    client::{Answer, Client, Sent},
    part,
};
use crate::server::{ExternalUrl, Forwarded, Seen};

/// Looks at everything that the way to `url` may break. `ca_certificate`, PEM, is believed besides
/// the system's.
pub(super) async fn all(url: &ExternalUrl, ca_certificate: Option<String>) -> Vec<Finding> {
    let client = match Client::new(url, ca_certificate) {
        Ok(client) => client,
        Err(error) => return vec![part("external address", Err(error))],
    };
    let ping = match ping(&client).await {
        Ok(answer) => answer,
        Err(error) => return vec![part("external address", Err(error))],
    };
    let (bodies, headers, paths) = tokio::join!(
        large_bodies(&client),
        long_headers(&client),
        escaped_paths(&client),
    );
    vec![
        part("external address", Ok(url.origin().to_owned())),
        part("address of the token service", token_service(url, &ping)),
        part("forwarded headers", forwarded(url, &ping)),
        part("large bodies", bodies),
        part("long headers", headers),
        part("escaped paths", paths),
    ]
}

/// The first request of every client; what answers it is a Tidegate.
async fn ping(client: &Client) -> anyhow::Result<Answer> {
    let answer = client.get("/v2/").await?;
    if let Some(location) = answer.header(LOCATION) {
        bail!("{client} sends clients on to {location}; name that address in server.external_url");
    }
    ensure!(
        !is_gateway_error(answer.status),
        "what answers at {client} does not reach Tidegate (status {}); its address for Tidegate must \
         be that of server.listen, with https:// unless tls.mode is off",
        answer.status,
    );
    ensure!(
        answer.seen.is_some(),
        "what answers at {client} with status {} is no Tidegate, or it keeps the header \
         Tidegate-Seen to itself",
        answer.status,
    );
    Ok(answer)
}

/// Where docker is sent to sign in.
fn token_service(url: &ExternalUrl, ping: &Answer) -> anyhow::Result<String> {
    let told = ping.header(WWW_AUTHENTICATE).unwrap_or_default();
    let realm = told
        .split_once("realm=\"")
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or_default();
    let expected = format!("{}/service/token", url.origin());
    if realm == expected {
        return Ok(expected);
    }
    bail!(
        "clients are sent to {realm:?} instead of {expected} to sign in; set server.external_url = \
         \"{}\" and start Tidegate anew, or have the proxy tell: {HEADERS}",
        url.origin(),
    )
}

/// Whether the gateway knows by which address it was called.
fn forwarded(url: &ExternalUrl, ping: &Answer) -> anyhow::Result<String> {
    let seen = ping.seen.as_ref().context("the answer lost its header")?;
    let Seen {
        scheme,
        host,
        forwarded,
    } = seen;
    ensure!(
        *forwarded != Forwarded::Ignored,
        "a proxy sends X-Forwarded-… headers, but its address is not in server.trusted_proxies, so that \
         limits and logs have the proxy's address for every client; the access log shows it as remote",
    );
    let (expected_scheme, expected_host) = url.origin().split_once("://").unwrap_or_default();
    ensure!(
        scheme == expected_scheme,
        "requests arrive as {scheme}:// instead of {expected_scheme}://; the proxy must set \
         X-Forwarded-Proto: {HEADERS}",
    );
    ensure!(
        host.eq_ignore_ascii_case(expected_host) || is_with_default_port(host, url),
        "requests arrive for the host {host:?} instead of {expected_host:?}; the proxy must pass Host on as \
         it is, with its port: {HEADERS}",
    );
    Ok(match forwarded {
        Forwarded::Believed => "from a trusted proxy".to_owned(),
        _ => "none".to_owned(),
    })
}

/// `host:443` is `host` of `https://`.
fn is_with_default_port(host: &str, url: &ExternalUrl) -> bool {
    let (scheme, expected) = url.origin().split_once("://").unwrap_or_default();
    let port = if scheme == "https" { ":443" } else { ":80" };
    host.strip_suffix(port)
        .is_some_and(|name| name.eq_ignore_ascii_case(expected))
}

/// Announces a layer and begins to send it: Tidegate asks who is there first.
async fn large_bodies(client: &Client) -> anyhow::Result<String> {
    let headers = format!("Content-Length: {LAYER_BYTES}\r\n");
    let target = "POST /v2/tidegate-check/probe/blobs/uploads/";
    let answer = client.ask(target, &headers, Sent::EndlessBody).await;
    let answer = answer.context(
        "a push is not answered before its body was sent, so the proxy keeps whole layers before it passes \
         them on; nginx: proxy_request_buffering off; HAProxy: no option http-buffer-request",
    )?;
    ensure!(
        answer.status != StatusCode::PAYLOAD_TOO_LARGE || answer.seen.is_some(),
        "the proxy refuses large layers (413); nginx: client_max_body_size 0; Caddy: no request_body \
         max_size; a cloud balancer may have a limit that cannot be changed",
    );
    answer.by_tidegate(StatusCode::UNAUTHORIZED)?;
    Ok("passed on as they come".to_owned())
}

/// A token for many repositories is as long as this.
async fn long_headers(client: &Client) -> anyhow::Result<String> {
    let token = "a".repeat(TOKEN_BYTES);
    let header = format!("Authorization: Bearer {token}\r\n");
    let answer = client.ask("GET /v2/", &header, Sent::Nothing).await?;
    answer.by_tidegate(StatusCode::UNAUTHORIZED).with_context(|| {
        format!(
            "a token of {TOKEN_BYTES} bytes does not get through; nginx: large_client_header_buffers 4 32k; \
             HAProxy: tune.bufsize 32768"
        )
    })?;
    Ok(format!("a token of {TOKEN_BYTES} bytes gets through"))
}

/// Tidegate refuses both paths as they are. Put right by somebody, they would be some
/// repository's, which needs a token.
async fn escaped_paths(client: &Client) -> anyhow::Result<String> {
    for path in [
        "/v2/tidegate-check%2Fprobe/tags/list",
        "/v2//tidegate-check/probe/tags/list",
    ] {
        let answer = client.get(path).await?;
        ensure!(
            answer.status != StatusCode::UNAUTHORIZED || answer.seen.is_none(),
            "the proxy changes paths: {path} arrives as another; nginx: no path behind the address of \
             proxy_pass, not even a slash, and merge_slashes off",
        );
    }
    Ok("arrive as they are".to_owned())
}

impl Answer {
    fn header(&self, name: http::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Fails unless Tidegate itself has given this status.
    fn by_tidegate(&self, status: StatusCode) -> anyhow::Result<()> {
        ensure!(
            self.seen.is_some(),
            "the proxy answers {} itself",
            self.status
        );
        ensure!(
            self.status == status,
            "Tidegate answers {} instead of {status}",
            self.status
        );
        Ok(())
    }
}

fn is_gateway_error(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What a proxy that ends TLS has to be told.
const HEADERS: &str = "nginx: proxy_set_header Host $http_host, X-Forwarded-Host $http_host, \
     X-Forwarded-Proto $scheme, X-Forwarded-For $proxy_add_x_forwarded_for; and its address must be in \
     server.trusted_proxies";
/// More than any limit that somebody would set for layers on purpose.
const LAYER_BYTES: u64 = 64 << 30;
/// More than nginx takes unless it is told to, less than `HAProxy` does.
const TOKEN_BYTES: usize = 12 << 10;
