use serde_json::{Value, json};

use super::{Payload, Setting, compose};
use crate::{
    auth::ProjectId,
    clock::Timestamp,
    webhook::{Event, EventType, NotifyType, PayloadFormat, Policy, PolicyId, Resource, Target},
};

fn event() -> Event {
    let at = Timestamp::from_seconds(1_800_000_000);
    let mut event = Event::new(EventType::DeleteArtifact, "team", "<alice>", at);
    event.id = "msg_1".to_owned();
    event.request_id = "r1".to_owned();
    event.repository = Some("team/deep/app".parse().unwrap());
    let digest = Some("sha256:abc".to_owned());
    event.resources = vec![
        Resource {
            digest: digest.clone(),
            tag: Some("v1".to_owned()),
        },
        Resource { digest, tag: None },
    ];
    event
}

fn composed(event: &Event, notify_type: NotifyType, format: PayloadFormat) -> Payload {
    let at = Timestamp::from_seconds(1);
    let target = Target {
        notify_type,
        address: "https://example.com".to_owned(),
        format,
        skip_cert_verify: false,
        auth_header: None,
        secret: None,
    };
    let policy = Policy {
        id: PolicyId(5),
        project: ProjectId(3),
        name: "tell".to_owned(),
        description: String::new(),
        creator: String::new(),
        enabled: true,
        event_types: Vec::new(),
        targets: Vec::new(),
        created: at,
        updated: at,
    };
    let setting = Setting {
        is_public: false,
        host: Some("registry.example.com:8443"),
    };
    compose(event, setting, &policy, &target)
}

fn data() -> Value {
    json!({
        "resources": [
            {
                "digest": "sha256:abc", "tag": "v1",
                "resource_url": "registry.example.com:8443/team/deep/app:v1",
            },
            {
                "digest": "sha256:abc", "tag": "sha256:abc",
                "resource_url": "registry.example.com:8443/team/deep/app@sha256:abc",
            },
        ],
        "repository": {
            "name": "deep/app", "namespace": "team", "repo_full_name": "team/deep/app",
            "repo_type": "private",
        },
    })
}

#[test]
fn the_default_payload_is_harbors() {
    let payload = composed(&event(), NotifyType::Http, PayloadFormat::Default);
    assert_eq!(payload.content_type, "application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&payload.body).unwrap(),
        json!({
            "type": "DELETE_ARTIFACT", "occur_at": 1_800_000_000, "operator": "<alice>",
            "event_data": data(),
        })
    );
}

#[test]
fn a_cloud_event_has_the_attributes_of_version_1() {
    let payload = composed(&event(), NotifyType::Http, PayloadFormat::CloudEvents);
    assert_eq!(payload.content_type, "application/cloudevents+json");
    assert_eq!(
        serde_json::from_str::<Value>(&payload.body).unwrap(),
        json!({
            "specversion": "1.0", "id": "msg_1", "requestid": "r1",
            "source": "/projects/3/webhook/policies/5", "type": "harbor.artifact.deleted",
            "datacontenttype": "application/json", "time": "2027-01-15T08:00:00Z",
            "operator": "<alice>", "data": data(),
        })
    );
}

#[test]
fn details_of_other_rooms_stand_beside_what_is_known() {
    let mut event = Event::new(
        EventType::TagRetention,
        "team",
        "",
        Timestamp::from_seconds(1),
    );
    let details = json!({"total": 3});
    event
        .details
        .insert("retention".to_owned(), details.clone());
    let payload = composed(&event, NotifyType::Http, PayloadFormat::Default);
    let body: Value = serde_json::from_str(&payload.body).unwrap();
    assert_eq!(body["event_data"], json!({"retention": details}));
}

#[test]
fn slack_gets_blocks_in_which_nothing_is_markup_by_accident() {
    let mut event = event();
    let payload = composed(&event, NotifyType::Slack, PayloadFormat::Default);
    let body: Value = serde_json::from_str(&payload.body).unwrap();
    let texts: Vec<&str> = body["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["text"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts[1], "*event_type:* DELETE_ARTIFACT");
    let time = "*occur_at:* <!date^1800000000^{date} at {time}|2027-01-15T08:00:00Z>";
    assert_eq!(texts[2], time);
    assert_eq!(texts[3], "*operator:* &lt;alice&gt;");
    assert!(texts[5].starts_with("```{") && texts[5].ends_with("```"));
    let many = std::iter::repeat_n(event.resources[0].clone(), 200);
    event.resources.extend(many);
    let payload = composed(&event, NotifyType::Slack, PayloadFormat::Default);
    let body: Value = serde_json::from_str(&payload.body).unwrap();
    let longest = body["blocks"][5]["text"]["text"].as_str().unwrap();
    assert!(longest.chars().count() <= 3000, "Slack's limit");
}
