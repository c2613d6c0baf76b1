//! What each provider is known to answer, replayed: token services, listings, deletions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    alice, client, name,
    peer::{Peer, Reply, Seen, answer},
    plain_endpoint, tag,
};
use crate::{
    clock::{Clock, Timestamp},
    oci::Digest,
    registry::{
        Account, Client, Config, Credential, Endpoint, Error, Kind, PageOf, Provider, Remote,
        credential::{Api, Authorizer, Ecr, Tokens},
        guard::{Guard, SystemNames},
    },
    secret::Secret,
};

const FIRST: PageOf = PageOf::First { items: 10 };

fn endpoint(provider: Provider, peer: &Peer, username: &str, password: &str) -> Endpoint {
    Endpoint {
        provider,
        credential: Some(Credential::Basic {
            username: username.into(),
            password: Secret::new(password),
        }),
        ..plain_endpoint(&peer.address)
    }
}

/// A registry that wants `Bearer good`; `reply` says what it does then, and what `/token` says.
async fn registry(reply: fn(&Seen) -> String) -> Peer {
    Peer::start(move |seen| {
        let is_token = seen.has(" /token");
        if is_token || seen.has("authorization: bearer good") {
            return Reply::Keep(reply(seen));
        }
        let host = header(&seen.text, "host");
        let challenge = format!(
            "WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"registry\"\r\n"
        );
        Reply::Keep(answer("401 Unauthorized", &challenge, ""))
    })
    .await
}

fn header(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    });
    line.unwrap_or_default()
}

fn head_of_manifest() -> String {
    let digest = format!("Docker-Content-Digest: {}\r\n", Digest::sha256(b"x"));
    answer("200 OK", &digest, "")
}

const GOOD: &str = r#"{"token":"good","access_token":"good","expires_in":300}"#;

fn unsupported(error: &Error, words: &str) {
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn docker_hub_has_official_images_but_neither_list_nor_deletion() {
    let peer = registry(|seen| {
        if seen.has(" /token") {
            return answer("200 OK", "", GOOD);
        }
        assert!(
            seen.starts_with("HEAD /v2/library/alpine/manifests/3 "),
            "{}",
            seen.text
        );
        head_of_manifest()
    })
    .await;
    let hub = client(&endpoint(Provider::DockerHub, &peer, "me", "token"));
    let (alpine, reference) = (name("alpine"), tag("3"));
    assert!(
        hub.head_manifest(&alpine, &reference)
            .await
            .unwrap()
            .is_some()
    );
    let token = peer
        .seen()
        .into_iter()
        .find(|text| text.starts_with("GET /token"));
    let token = token.unwrap();
    assert!(
        token.contains("scope=repository%3Alibrary%2Falpine%3Apull"),
        "{token}"
    );
    let asked = peer.seen().len();
    unsupported(&hub.catalog(&FIRST).await.unwrap_err(), "name filter");
    let deleted = hub.delete_manifest(&alpine, &reference).await;
    unsupported(&deleted.unwrap_err(), "website");
    assert_eq!(peer.seen().len(), asked, "neither needed a request");
}

#[tokio::test]
async fn a_key_file_signs_in_at_google() {
    let peer = registry(|seen| {
        if !seen.has(" /token") {
            return head_of_manifest();
        }
        // base64 of `_json_key:{"type": "service_account"}`
        let expected = "Basic X2pzb25fa2V5OnsidHlwZSI6ICJzZXJ2aWNlX2FjY291bnQifQ==";
        assert_eq!(header(&seen.text, "authorization"), expected);
        answer("200 OK", "", GOOD)
    })
    .await;
    let key = r#"{"type": "service_account"}"#;
    let google = client(&endpoint(Provider::GoogleGcr, &peer, "_json_key", key));
    let head = google.head_manifest(&name("p/r/app"), &tag("1")).await;
    assert!(head.unwrap().is_some());
}

#[tokio::test]
async fn azure_takes_a_refresh_token_as_well_as_a_password() {
    let reply = |seen: &Seen| {
        if !seen.has(" /token") {
            return head_of_manifest();
        }
        if seen.starts_with("POST") {
            assert!(
                seen.has("grant_type=refresh_token&refresh_token=r3fresh&"),
                "{}",
                seen.text
            );
            return answer("200 OK", "", r#"{"access_token":"good"}"#);
        }
        assert!(seen.has("authorization: basic "), "{}", seen.text);
        answer("200 OK", "", r#"{"access_token":"good"}"#)
    };
    for (username, password, method) in [
        (
            "00000000-0000-0000-0000-000000000000",
            "r3fresh",
            "POST /token",
        ),
        ("principal", "password", "GET /token"),
    ] {
        let peer = registry(reply).await;
        let azure = client(&endpoint(Provider::AzureAcr, &peer, username, password));
        let head = azure.head_manifest(&name("app"), &tag("1")).await;
        assert!(head.unwrap().is_some());
        assert_eq!(peer.count(method), 1, "{:?}", peer.seen());
    }
}

#[tokio::test]
async fn the_registries_of_github_and_gitlab_do_not_list_and_say_what_to_do() {
    let peer = registry(|_seen| answer("403 Forbidden", "", "")).await;
    for (provider, words) in [
        (Provider::GithubGhcr, "GitHub does not list"),
        (Provider::Gitlab, "GitLab does not list"),
    ] {
        let client = client(&endpoint(provider, &peer, "me", "pat"));
        let error = client.catalog(&FIRST).await.unwrap_err();
        unsupported(&error, words);
        unsupported(&error, "name filter without wildcards");
    }
    let github = client(&endpoint(Provider::GithubGhcr, &peer, "me", "pat"));
    let deleted = github.delete_manifest(&name("me/app"), &tag("1")).await;
    unsupported(&deleted.unwrap_err(), "its own API");
    assert!(peer.seen().is_empty());
}

#[tokio::test]
async fn quay_accepts_a_manifest_and_deletes_with_a_scope_that_it_can_read() {
    let peer = registry(|seen| {
        if seen.has(" /token") {
            // Quay refuses a scope with the word `delete`.
            assert!(!seen.has("delete"), "{}", seen.text);
            return answer("200 OK", "", r#"{"token":"good"}"#);
        }
        if seen.starts_with("PUT") {
            let digest = Digest::sha256(b"{}");
            let headers = format!("Docker-Content-Digest: {digest}\r\n");
            return answer("202 Accepted", &headers, "");
        }
        answer("202 Accepted", "", "")
    })
    .await;
    let quay = client(&endpoint(Provider::Quay, &peer, "org+robot", "secret"));
    super::put_v1(&quay, "org/app", "{}".into()).await.unwrap();
    let deleted = quay.delete_manifest(&name("org/app"), &tag("v1")).await;
    deleted.unwrap();
}

#[tokio::test]
async fn artifactory_lives_below_a_path_and_issues_tokens_by_get() {
    let peer = registry(|seen| {
        if seen.has(" /token") {
            // Artifactory answers 401 to a POST here.
            assert!(seen.starts_with("GET "), "{}", seen.text);
            return answer("200 OK", "", r#"{"token":"good","expires_in":3600}"#);
        }
        assert!(
            seen.has(" /artifactory/api/docker/local/v2/_catalog"),
            "{}",
            seen.text
        );
        let link = "Link: </artifactory/api/docker/local/v2/_catalog?last=b&n=2>; rel=\"next\"\r\n";
        if seen.has("last=b") {
            return answer("200 OK", "", r#"{"repositories":["c"]}"#);
        }
        answer("200 OK", link, r#"{"repositories":["a","b"]}"#)
    })
    .await;
    let url = format!("http://{}/artifactory/api/docker/local", peer.address);
    let artifactory = client(&Endpoint {
        provider: Provider::JfrogArtifactory,
        credential: Some(alice("wonderland")),
        ..Endpoint::new(url.parse().unwrap())
    });
    assert_eq!(repositories(&artifactory).await, ["a", "b", "c"]);
}

async fn repositories(client: &Client) -> Vec<String> {
    let (mut names, mut page) = (Vec::new(), FIRST);
    loop {
        let listing = client.catalog(&page).await.unwrap();
        names.extend(listing.items.iter().map(ToString::to_string));
        match listing.next {
            Some(next) => page = PageOf::Next(next),
            None => return names,
        }
    }
}

#[tokio::test]
async fn harbor_lists_what_the_account_may_see() {
    let peer = Peer::start(|seen| {
        if seen.starts_with("GET /v2/ ") {
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{}/service/token\",service=\"harbor-registry\"\r\n",
                header(&seen.text, "host")
            );
            return Reply::Keep(answer("401 Unauthorized", &challenge, ""));
        }
        assert!(seen.starts_with("GET /api/v2.0/repositories?page="), "{}", seen.text);
        assert!(seen.has("authorization: basic "), "{}", seen.text);
        Reply::Keep(if seen.has("page=1&") {
            let links = "Link: </api/v2.0/repositories?page=1&page_size=100>; rel=\"prev\" , \
                         </api/v2.0/repositories?page=2&page_size=100>; rel=\"next\"\r\n";
            answer("200 OK", links, r#"[{"name":"library/a","id":1},{"name":"team/b/c"}]"#)
        } else {
            answer("200 OK", "", r#"[{"name":"team/d"}]"#)
        })
    })
    .await;
    let harbor = client(&endpoint(Provider::Harbor, &peer, "robot$mirror", "secret"));
    assert_eq!(
        repositories(&harbor).await,
        ["library/a", "team/b/c", "team/d"]
    );
}

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    /// 2015-08-30T12:36:00Z
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_440_938_160)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

fn ecr(peer: &Peer, key: &str) -> Client {
    let api = Api {
        uri: format!("http://{}/", peer.address).parse().unwrap(),
        region: "eu-central-1".into(),
        account: Account {
            key: key.into(),
            secret: Secret::new("wJalrXUtnFEMI"),
        },
        clock: Arc::new(Fixed),
    };
    let endpoint = Endpoint {
        provider: Provider::AwsEcr,
        ..plain_endpoint(&peer.address)
    };
    let authorizer = Authorizer::Ecr(Ecr::new(api, Tokens::new(1)));
    let config = Config::default();
    let guard = Guard::new(&endpoint, &config, Arc::new(SystemNames));
    let remote = Remote::with_authorizer(&endpoint, authorizer, guard, &config);
    Client::new(remote.unwrap().exchange())
}

/// `AWS:password` in base64, good for twelve hours.
const PASSWORD: &str = r#"{"authorizationData":[{"authorizationToken":"QVdTOnBhc3N3b3Jk","expiresAt":1.44098136E9,"proxyEndpoint":"https://1234.dkr.ecr.eu-central-1.amazonaws.com"}]}"#;

#[tokio::test]
async fn an_access_key_buys_a_password_and_makes_the_repository_at_ecr() {
    let is_made = AtomicBool::new(false);
    let peer = Peer::start(move |seen| {
        if seen.has("x-amz-target: AmazonEC2ContainerRegistry_V20150921.") {
            let credential = "Credential=AKIDEXAMPLE/20150830/eu-central-1/ecr/aws4_request";
            let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-target";
            assert!(seen.has(credential) && seen.has(signed), "{}", seen.text);
            if seen.has("GetAuthorizationToken") {
                return Reply::Keep(answer("200 OK", "", PASSWORD));
            }
            assert!(seen.text.ends_with(r#"{"repositoryName":"team/app"}"#), "{}", seen.text);
            is_made.store(true, Ordering::SeqCst);
            return Reply::Keep(answer("200 OK", "", "{}"));
        }
        assert_eq!(header(&seen.text, "authorization"), "Basic QVdTOnBhc3N3b3Jk");
        Reply::Keep(if seen.starts_with("POST") && !is_made.load(Ordering::SeqCst) {
            let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'team/app' does not exist"}]}"#;
            answer("404 Not Found", "", body)
        } else if seen.starts_with("POST") {
            answer("202 Accepted", "Location: /v2/team/app/blobs/uploads/1\r\n", "")
        } else {
            answer("201 Created", "", "")
        })
    })
    .await;
    let (ecr, app) = (ecr(&peer, "AKIDEXAMPLE"), name("team/app"));
    for content in ["one", "two"] {
        let digest = Digest::sha256(content.as_bytes());
        ecr.put_blob(&app, &digest, 3, content.into())
            .await
            .unwrap();
    }
    let asked = peer.seen();
    let of = |operation: &str| asked.iter().filter(|text| text.contains(operation)).count();
    assert_eq!(
        (of("GetAuthorizationToken"), of("CreateRepository")),
        (1, 1)
    );
    let deleted = ecr.delete_manifest(&app, &tag("v1")).await;
    unsupported(&deleted.unwrap_err(), "its own API");
}

#[tokio::test]
async fn a_wrong_access_key_is_told_in_the_words_of_amazon() {
    let peer = Peer::start(|_seen| {
        let body = r#"{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}"#;
        Reply::Keep(answer("400 Bad Request", "", body))
    })
    .await;
    let error = ecr(&peer, "AKIDWRONG").ping().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
    assert!(
        error.to_string().contains("security token included"),
        "{error}"
    );
}
