//! Every operation as everybody: what the document says about who may, the handlers enforce.

mod body;
mod permission;

use http::Method;
use serde_json::{Value, json};

use super::{ADMIN, Answer, Api, NOBODY, Who, openapi::operations};
use crate::{auth::Role, store::testing::sqlite};
use body::body;
use permission::{Caller, Permission, outcome};

/// One operation, as the document shows it.
struct Asked<'a> {
    document: &'a Value,
    method: Method,
    path: &'a str,
    operation: &'a Value,
}

#[tokio::test]
async fn every_operation_is_for_whom_the_document_says() {
    let api = Api::over(sqlite().await).await;
    let walk = Walk::prepare(&api).await;
    let document = api.get("/api/openapi.json", NOBODY).await.json();
    let mut wrong = Vec::new();
    let mut walked = 0;
    for (path, method, operation) in operations(&document) {
        if !path.starts_with("/api/") {
            continue;
        }
        let asked = Asked {
            document: &document,
            method: method.to_ascii_uppercase().parse().unwrap(),
            path,
            operation,
        };
        wrong.extend(walk.all_callers(&asked).await);
        walked += 1;
    }
    assert!(walked >= 80, "only {walked} operations were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Walk<'a> {
    api: &'a Api,
    private_id: i64,
}

impl<'a> Walk<'a> {
    /// Users in every role of a private project, and a public project that they do not belong to.
    /// All projects hold a repository, so that nobody can delete them.
    async fn prepare(api: &'a Api) -> Self {
        let private_id = api.project(PRIVATE, "false").await;
        api.project(PUBLIC, "true").await;
        api.project(ANOTHER, "false").await;
        api.behind
            .hold(&["private/app", "public/app", "another/app"])
            .await;
        for role in Role::ALL {
            api.user(Some(user(role))).await;
            api.member(PRIVATE, Some(user(role)), role.id()).await;
        }
        api.user(STRANGER).await;
        Self { api, private_id }
    }

    /// Asks as everybody and returns a sentence for each answer that should be another.
    async fn all_callers(&self, asked: &Asked<'_>) -> Vec<String> {
        let name = asked.name();
        let Some(permission) = Permission::of(asked) else {
            return vec![format!(
                "{name} does not say who may use it: put .open(), .signed_in(), .administrator(), \
                 .needs(…), .needs_in_project(…), .needs_at_home(…), .needs_or_oneself(…) or \
                 .by_case(…) behind its route"
            )];
        };
        let mut wrong = Vec::new();
        for (caller, project) in CALLERS {
            let Some(who) = self.sign_in(*caller, project, &permission).await else {
                continue;
            };
            let answer = self.ask(asked, project, who).await;
            let wanted = permission.outcome(*caller, project);
            let found = outcome(&answer);
            if answer.status >= 500 || found != wanted {
                let text = String::from_utf8_lossy(&answer.body);
                wrong.push(format!(
                    "{name} in {project} as {}: {wanted:?} is wanted, not {} {text}",
                    caller.name(),
                    answer.status
                ));
            }
        }
        wrong
    }

    /// The credentials of a caller; none when there can be no such caller.
    async fn sign_in(&self, caller: Caller, project: &str, permission: &Permission) -> Option<Who> {
        let leak = |text: &str| -> &'static str { String::leak(text.to_owned()) };
        let (level, kind, namespace, access) = match caller {
            Caller::Administrator => return Some(ADMIN),
            Caller::Member(role) => return Some(Some(user(role))),
            Caller::Stranger => return Some(STRANGER),
            Caller::Anonymous => return Some(NOBODY),
            Caller::OtherRobot => ("project", "project", PRIVATE, permission.useless()),
            Caller::ProjectRobot => ("project", "project", PRIVATE, permission.in_project()?),
            Caller::RobotOfAnother => ("project", "project", ANOTHER, permission.in_project()?),
            Caller::SystemRobot => match (permission.in_system(), permission.in_project()) {
                (Some(access), _) => ("system", "system", "/", access),
                (None, Some(access)) => ("system", "project", project, access),
                (None, None) => return None,
            },
        };
        let access = json!([{"resource": access.0, "action": access.1}]);
        let permissions = json!([{"kind": kind, "namespace": namespace, "access": access}]);
        let made = self.robot(level, permissions).await;
        let text = |field: &str| leak(made[field].as_str().unwrap());
        Some(Some((text("name"), text("secret"))))
    }

    async fn robot(&self, level: &str, permissions: Value) -> Value {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("r{number}");
        let body = json!({
            "name": name, "level": level, "duration": 1, "permissions": permissions,
        });
        self.api.post("/robots", ADMIN, body).await.json()
    }

    async fn ask(&self, asked: &Asked<'_>, project: &str, who: Who) -> Answer {
        let mut path = String::new();
        for segment in asked.path.split('/').skip(1) {
            path.push('/');
            match segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
            {
                Some("id") if asked.path.contains("/retentions/") => {
                    path.push_str(&self.retention().await);
                }
                Some(name) => path.push_str(&self.parameter(name, project).await),
                None => path.push_str(segment),
            }
        }
        path.push_str(&self.query(asked));
        let body = body(asked, self.private_id);
        let send = self.api.send(asked.method.clone(), &path, who, body);
        send.await
    }

    /// Projects are there, and a new robot; of everything else there is none with this id.
    async fn parameter(&self, name: &str, project: &str) -> String {
        match name {
            "project_name_or_id" | "project_name" => project.to_owned(),
            "robot_id" => {
                let access = json!([{"resource": "repository", "action": "pull"}]);
                let permission = json!({"kind": "project", "namespace": PRIVATE, "access": access});
                let robot = self.robot("project", json!([permission])).await;
                robot["id"].to_string()
            }
            "label_id" => self.label().await.to_string(),
            _ => ABSENT.to_owned(),
        }
    }

    /// A label of the private project, made where it is missing.
    async fn label(&self) -> i64 {
        let query = format!("/labels?scope=p&project_id={}", self.private_id);
        let listed = self.api.get(&query, ADMIN).await.json();
        if let Some(id) = listed[0]["id"].as_i64() {
            return id;
        }
        let label = json!({"name": "label", "scope": "p", "project_id": self.private_id});
        self.api.post("/labels", ADMIN, label).await.id()
    }

    /// The retention policy of the private project, made unless it is there.
    async fn retention(&self) -> String {
        let policy = body::retention(self.private_id);
        self.api.post("/retentions", ADMIN, policy).await;
        let path = format!("/projects/{PRIVATE}/metadatas/retention_id");
        let setting = self.api.get(&path, ADMIN).await.json();
        setting["retention_id"].as_str().unwrap().to_owned()
    }

    fn query(&self, asked: &Asked<'_>) -> String {
        match asked.name().as_str() {
            "GET /api/v2.0/robots" => {
                format!("?q=Level%3Dproject,ProjectID%3D{}", self.private_id)
            }
            "GET /api/v2.0/labels" => format!("?scope=p&project_id={}", self.private_id),
            "GET /api/v1/replication/wait" => {
                "?repository=private/app&reference=absent&timeout=0".to_owned()
            }
            _ => String::new(),
        }
    }
}

#[tokio::test]
async fn everybody_may_read_and_change_themselves_only() {
    let api = Api::over(sqlite().await).await;
    let alice = api.user(super::ALICE).await;
    let bob = api.user(super::BOB).await;
    for (id, status) in [(alice, 200), (bob, 403)] {
        let path = format!("/users/{id}");
        assert_eq!(api.get(&path, super::ALICE).await.status, status);
        let profile = json!({"comment": "hello"});
        assert_eq!(api.put(&path, super::ALICE, profile).await.status, status);
    }
}

#[tokio::test]
async fn projects_that_are_not_there_look_like_hidden_ones() {
    let api = Api::over(sqlite().await).await;
    api.user(super::ALICE).await;
    let document = api.get("/api/openapi.json", NOBODY).await.json();
    for (path, method, operation) in operations(&document) {
        if operation["x-permission"]["scope"] != "project" {
            continue;
        }
        let asked = Asked {
            document: &document,
            method: method.to_ascii_uppercase().parse().unwrap(),
            path,
            operation,
        };
        let path = path.replace("{project_name_or_id}", "nowhere");
        let path = path
            .replace("{project_name}", "nowhere")
            .replace(['{', '}'], "");
        for (who, status) in [(ADMIN, 404), (super::ALICE, 403), (NOBODY, 401)] {
            let answer = api
                .send(asked.method.clone(), &path, who, body(&asked, 1))
                .await;
            assert_eq!(answer.status, status, "{method} {path} {who:?} {answer:?}");
        }
    }
}

impl Asked<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

const fn user(role: Role) -> (&'static str, &'static str) {
    (role.as_str(), "Walker12345")
}

const STRANGER: Who = Some(("stranger", "Walker12345"));
const PRIVATE: &str = "private";
const PUBLIC: &str = "public";
const ANOTHER: &str = "another";
/// Of nothing.
const ABSENT: &str = "999999";

/// Who asks, about what is in which project.
const CALLERS: &[(Caller, &str)] = &[
    (Caller::Administrator, PRIVATE),
    (Caller::Member(Role::ProjectAdmin), PRIVATE),
    (Caller::Member(Role::Maintainer), PRIVATE),
    (Caller::Member(Role::Developer), PRIVATE),
    (Caller::Member(Role::Guest), PRIVATE),
    (Caller::Member(Role::LimitedGuest), PRIVATE),
    (Caller::Stranger, PRIVATE),
    (Caller::Anonymous, PRIVATE),
    (Caller::ProjectRobot, PRIVATE),
    (Caller::SystemRobot, PRIVATE),
    (Caller::RobotOfAnother, PRIVATE),
    (Caller::OtherRobot, PRIVATE),
    (Caller::Stranger, PUBLIC),
    (Caller::Anonymous, PUBLIC),
    (Caller::Member(Role::ProjectAdmin), PUBLIC),
];
