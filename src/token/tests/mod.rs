//! What the room promises, driven through [`super::Service::handle`].

mod trust;

use std::{net::IpAddr, sync::Arc};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{Request, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use super::{Algorithm, Config, Issuer, KeyReference, Keys, Metrics, Service};
use crate::{
    auth::{
        self, Auth, Role,
        bearer::{Claims, Expected, Verifier},
        projects::{Metadata, NewProject},
        users::{NewUser, Profile},
    },
    clock::{ManualClock, SharedClock, Timestamp},
    secret::Secret,
    settings,
    store::testing::{self, TestDb},
    wire::{Body, Peer, collect},
};

const PASSWORD: &str = "Harbor12345";
/// containerd's media type, with its parameter.
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// A token service; `alice` is maintainer of the private project `team`, `open` is public.
struct World {
    service: Service,
    verifier: Verifier,
    auth: Auth,
    settings: settings::Reader,
    _directory: tempfile::TempDir,
    _db: TestDb,
}

impl World {
    async fn new() -> Self {
        Self::with(testing::sqlite().await, Config::default()).await
    }

    async fn with(db: TestDb, config: Config) -> Self {
        let _installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let clock: SharedClock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
        let auth = populated(&db, &clock).await;
        let settings = settings::Reader::default();
        let directory = tempfile::tempdir().unwrap();
        let keys = Keys::load(directory.path(), config.algorithm, &clock).unwrap();
        let expected = Expected {
            issuer: config.issuer.clone(),
            audience: config.service.clone(),
        };
        let public = keys.verifiers(config.key_reference).unwrap();
        let verifier = Verifier::new(public, expected, clock.clone(), 10);
        let issuer = Issuer::new(Arc::new(keys), config, settings.clone(), clock).unwrap();
        Self {
            service: Service::new(issuer, auth.clone(), Metrics::default()),
            verifier,
            auth,
            settings,
            _directory: directory,
            _db: db,
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).extension(Peer {
            address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
            scheme: "https",
            host: "reg.example".into(),
        });
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (head, body) = self.service.handle(request).await.into_parts();
        let body = collect(body, 1 << 20).await.unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn query(&self, who: &str, query: &str) -> Answer {
        let path = format!("/service/token?{query}");
        match who {
            "" => self.send("GET", &path, &[], "").await,
            name => {
                let basic = basic(name, PASSWORD);
                self.send("GET", &path, &[("authorization", basic.as_str())], "")
                    .await
            }
        }
    }

    async fn form(&self, form: &str) -> Answer {
        self.send("POST", "/service/token", &[("content-type", FORM)], form)
            .await
    }

    fn claims(&self, answer: &Answer) -> Arc<Claims> {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let token = answer.json["access_token"].as_str().unwrap();
        assert_eq!(answer.json["token"], token);
        self.verifier.verify(token).unwrap()
    }

    /// The access of the token in an answer, its entries written as scopes.
    fn access(&self, answer: &Answer) -> String {
        let claims = self.claims(answer);
        let entries = claims.access.iter().map(|access| {
            let actions = access.actions.join(",");
            format!("{}:{}:{actions}", access.resource_type, access.name)
        });
        entries.collect::<Vec<_>>().join(" ")
    }
}

async fn populated(db: &TestDb, clock: &SharedClock) -> Auth {
    let config = auth::Config {
        admin_password: Some(Secret::new(PASSWORD)),
        failures_per_account: 3,
        ..auth::Config::default()
    };
    let auth = Auth::new((**db).clone(), clock.clone(), config);
    auth.bootstrap().await.unwrap();
    let admin = auth.principal("admin").await.unwrap().unwrap();
    for (name, public) in [("team", "false"), ("open", "true")] {
        let project = NewProject {
            name: name.into(),
            metadata: Metadata::from([("public".into(), public.into())]),
            storage_limit: None,
        };
        auth.create_project(&admin, project).await.unwrap();
    }
    let alice = NewUser {
        name: "alice".into(),
        password: Secret::new(PASSWORD),
        profile: Profile::default(),
    };
    let alice = auth.create_user(alice).await.unwrap();
    let team = auth.project_named("team").await.unwrap().id;
    auth.add_member(team, alice, Role::Developer).await.unwrap();
    auth
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    json: Value,
    text: String,
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Who (`-`: nobody), the query, and the token's access, each entry written as a scope.
const GRANTED: &str = "
alice ; ;
alice ; scope=repository:team/a:push,pull ; repository:team/a:pull,push
alice ; scope=repository:team/a:pull,push,delete ; repository:team/a:pull,push
alice ; scope=repository:team/a:* ; repository:team/a:pull,push
alice ; scope=repository:team/a:pull,push&scope=repository:team/b:pull ; repository:team/a:pull,push repository:team/b:pull
alice ; scope=repository:team/a:pull+repository:team/a:pull,push+repository:open/a:push,pull ; repository:team/a:pull,push repository:open/a:pull
alice ; scope=repository:nowhere/a:pull ; repository:nowhere/a:
alice ; scope=repository:Not/A/Name:pull ; repository:Not/A/Name:
alice ; scope=repository(plugin):team/a:pull ; repository:team/a:pull
alice ; scope=garbage&scope=repository:team/a:pull ; repository:team/a:pull
alice ; scope=repository:team/a:metadata_read ; repository:team/a:
alice ; scope=vault:keys:pull ; vault:keys:
alice ; scope=registry:catalog:* ; registry:catalog:
admin ; scope=registry:catalog:* ; registry:catalog:*
admin ; scope=repository:team/a:* ; repository:team/a:pull,push,delete
- ; scope=repository:team/a:pull&scope=repository:open/a:pull,push ; repository:team/a: repository:open/a:pull
- ; ;
";

#[tokio::test]
async fn a_token_holds_what_was_asked_and_is_allowed_for_each_repository() {
    let world = World::new().await;
    for case in GRANTED.lines().filter(|line| !line.is_empty()) {
        let columns: Vec<_> = case.split(';').map(str::trim).collect();
        let [who, query, expected] = columns[..] else {
            panic!("{case}");
        };
        let who = who.trim_start_matches('-');
        let answer = world.query(who, query).await;
        assert_eq!(world.access(&answer), expected, "{case}");
        assert_eq!(world.claims(&answer).sub, who, "{case}");
    }
}

#[tokio::test]
async fn an_answer_has_what_clients_read() {
    let world = World::new().await;
    let answer = world
        .query("alice", "service=tidegate&account=alice&client_id=docker")
        .await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json["expires_in"], 1800);
    assert_eq!(answer.json["issued_at"], "2027-01-15T08:00:00Z");
    assert!(answer.json.get("refresh_token").is_none());
    assert!(answer.json.get("scope").is_none());
    let claims = world.claims(&answer);
    assert_eq!(
        (claims.exp, claims.nbf, claims.iat),
        (1_800_001_800, 1_800_000_000, 1_800_000_000)
    );
    assert_eq!(
        (claims.iss.as_str(), claims.aud.as_str()),
        ("tidegate", "tidegate")
    );
    let again = world.claims(&world.query("alice", "").await);
    assert_ne!(claims.jti, again.jti);
    let old_path = world.send("GET", "/auth/token", &[], "").await;
    assert_eq!(old_path.status, 200);
}

/// Method, path, a header, the body; the status, the registry's code and the OAuth2 error.
const REFUSED: &str = r"
GET ; /service/token ; authorization: WRONG ; ; 401 UNAUTHORIZED invalid_grant
GET ; /service/token ; authorization: Basic ! ; ; 401 UNAUTHORIZED invalid_grant
GET ; /service/token?account=bob ; authorization: RIGHT ; ; 401 UNAUTHORIZED invalid_grant
GET ; /service/token?service=other ; authorization: RIGHT ; ; 400 UNSUPPORTED invalid_request
POST ; /service/token ; content-type: FORM ; grant_type=password&username=alice&password=x ; 401 UNAUTHORIZED invalid_grant
POST ; /service/token ; content-type: FORM ; grant_type=client_credentials ; 400 UNSUPPORTED unsupported_grant_type
POST ; /service/token ; content-type: text/plain ; grant_type=password ; 400 UNSUPPORTED invalid_request
PUT ; /service/token ; accept: */* ; ; 405 UNSUPPORTED invalid_request
GET ; /service/token/x ; accept: */* ; ; 404 UNSUPPORTED invalid_request
";

#[tokio::test]
async fn refusals_are_read_by_docker_and_by_oauth_clients() {
    let world = World::new().await;
    for case in REFUSED.lines().filter(|line| !line.is_empty()) {
        let columns: Vec<_> = case.split(';').map(str::trim).collect();
        let [method, path, header, body, expected] = columns[..] else {
            panic!("{case}");
        };
        let (name, value) = header.split_once(": ").unwrap();
        let value = value
            .replace("WRONG", &basic("alice", "wrong"))
            .replace("RIGHT", &basic("alice", PASSWORD))
            .replace("FORM", FORM);
        let answer = world.send(method, path, &[(name, &value)], body).await;
        let (code, error) = (&answer.json["errors"][0]["code"], &answer.json["error"]);
        let (code, error) = (code.as_str().unwrap(), error.as_str().unwrap());
        assert_eq!(
            format!("{} {code} {error}", answer.status.as_u16()),
            expected,
            "{case}"
        );
        let message = &answer.json["errors"][0]["message"];
        assert_eq!(*message, answer.json["error_description"], "{case}");
        let challenged = answer.headers.contains_key("www-authenticate");
        assert_eq!(challenged, answer.status == 401, "{case}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{case}");
    }
}

#[tokio::test]
async fn too_many_wrong_passwords_are_told_when_to_come_back() {
    let world = World::new().await;
    let wrong = basic("alice", "wrong");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = world
            .send("GET", "/service/token", &[("authorization", &wrong)], "")
            .await;
        statuses.push(answer.status.as_u16());
        if answer.status == 429 {
            assert_eq!(answer.json["errors"][0]["code"], "TOOMANYREQUESTS");
            let after: u64 = answer.headers["retry-after"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!(after >= 1);
        }
    }
    assert_eq!(statuses, [401, 401, 401, 429]);
}

#[tokio::test]
async fn forms_with_a_password_get_what_containerd_needs() {
    let world = World::new().await;
    let form = format!(
        "client_id=containerd-client&grant_type=password&service=tidegate&username=alice&password={PASSWORD}\
         &scope=repository%3Ateam%2Fa%3Apull+repository%3Ateam%2Fa%3Apull%2Cpush+repository%3Ax%2Fy%3Apull"
    );
    let answer = world.form(&form).await;
    assert_eq!(
        answer.json["scope"],
        "repository:team/a:pull,push repository:x/y:"
    );
    assert_eq!(
        world.access(&answer),
        "repository:team/a:pull,push repository:x/y:"
    );
    assert!(answer.json.get("refresh_token").is_none());
    let offline = world.form(&format!("{form}&access_type=offline")).await;
    assert!(offline.json["refresh_token"].is_string());
}

#[tokio::test]
async fn a_refresh_token_stands_for_the_password_until_that_changes() {
    for db in testing::databases().await {
        let world = World::with(db, Config::default()).await;
        let login = world
            .query("alice", "offline_token=true&client_id=docker")
            .await;
        let refresh = login.json["refresh_token"].as_str().unwrap().to_owned();
        let form = format!(
            "client_id=docker&grant_type=refresh_token&refresh_token={refresh}\
             &scope=repository%3Ateam%2Fa%3Apush%2Cpull&service=tidegate"
        );
        let answer = world.form(&form).await;
        assert_eq!(world.claims(&answer).sub, "alice");
        assert_eq!(world.access(&answer), "repository:team/a:pull,push");
        assert_eq!(answer.json["refresh_token"], refresh.as_str());
        let unknown = world.form("grant_type=refresh_token&refresh_token=x").await;
        assert_eq!(
            (unknown.status.as_u16(), &unknown.json["error"]),
            (401, &json!("invalid_grant"))
        );
        let alice = world.auth.user_named("alice").await.unwrap().id;
        world
            .auth
            .set_password(alice, &Secret::new("Another12345"))
            .await
            .unwrap();
        assert_eq!(world.form(&form).await.status, 401);
    }
}

#[tokio::test]
async fn refresh_tokens_are_given_only_to_who_asks_and_may() {
    let world = World::new().await;
    assert!(
        world
            .query("", "offline_token=true")
            .await
            .json
            .get("refresh_token")
            .is_none()
    );
    assert!(
        world
            .query("alice", "offline_token=1")
            .await
            .json
            .get("refresh_token")
            .is_none()
    );
    let config = Config {
        refresh_tokens: false,
        ..Config::default()
    };
    let without = World::with(testing::sqlite().await, config).await;
    let answer = without.query("alice", "offline_token=true").await;
    assert!(answer.json.get("refresh_token").is_none());
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_header_names_the_key_as_registries_look_for_it() {
    for (algorithm, reference) in [
        (Algorithm::Es256, KeyReference::X5c),
        (Algorithm::Es256, KeyReference::Jwks),
        (Algorithm::Rs256, KeyReference::X5c),
        (Algorithm::Rs256, KeyReference::Libtrust),
    ] {
        let config = Config {
            algorithm,
            key_reference: reference,
            ..Config::default()
        };
        let world = World::with(testing::sqlite().await, config).await;
        let answer = world.query("alice", "").await;
        world.claims(&answer);
        let header = answer.json["token"]
            .as_str()
            .unwrap()
            .split('.')
            .next()
            .unwrap();
        let header: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        let jwks = world.send("GET", "/service/token/jwks", &[], "").await.json;
        let key = &jwks["keys"][0];
        assert_eq!(header["alg"], algorithm.name());
        match reference {
            KeyReference::X5c => {
                assert_eq!(header["x5c"], key["x5c"]);
                assert_eq!(header["kid"], key["kid"]);
            }
            KeyReference::Jwks => {
                assert_eq!((&header["kid"], header.get("x5c")), (&key["kid"], None));
            }
            KeyReference::Libtrust => {
                assert_eq!(header["kid"].as_str().unwrap().matches(':').count(), 11);
            }
        }
        let certificate = world
            .send("GET", "/service/token/certificate", &[], "")
            .await
            .text;
        let body: String = certificate
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        assert_eq!(key["x5c"][0], body);
    }
}

#[tokio::test]
async fn a_lifetime_is_never_shorter_than_clients_believe() {
    let config = Config {
        lifetime_seconds: Some(5),
        ..Config::default()
    };
    let world = World::with(testing::sqlite().await, config).await;
    assert_eq!(world.query("alice", "").await.json["expires_in"], 60);
}

#[tokio::test]
async fn a_lifetime_follows_the_settings_unless_it_is_configured() {
    let configured = Config {
        lifetime_seconds: Some(90),
        ..Config::default()
    };
    for (config, before, after) in [(Config::default(), 1800, 300), (configured, 90, 90)] {
        let world = World::with(testing::sqlite().await, config).await;
        assert_eq!(world.query("alice", "").await.json["expires_in"], before);
        world.settings.set(settings::Values {
            token_expiration: 5,
            ..settings::Values::default()
        });
        assert_eq!(world.query("alice", "").await.json["expires_in"], after);
    }
}
