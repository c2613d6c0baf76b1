//! What receivers are sent: Harbor's default payload, `CloudEvents` 1.0, and Slack's blocks.

mod slack;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::{Event, NotifyType, PayloadFormat, Policy, Target};
use crate::oci::RepositoryName;

/// What of a payload the event does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub is_public: bool,
    /// Host and port by which clients know the registry, where that is configured.
    pub host: Option<&'a str>,
}

/// The bytes of a delivery, with their type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    pub content_type: &'static str,
    pub body: String,
}

/// What a target of a policy is sent of an event.
pub(super) fn compose(
    event: &Event,
    setting: Setting<'_>,
    policy: &Policy,
    target: &Target,
) -> Payload {
    let data = event_data(event, setting);
    match (target.notify_type, target.format) {
        (NotifyType::Slack, _) => Payload {
            content_type: "application/json",
            body: slack::message(event, &data).to_string(),
        },
        (NotifyType::Http, PayloadFormat::Default) => Payload {
            content_type: "application/json",
            body: json!({
                "type": event.kind.name(),
                "occur_at": event.at().seconds(),
                "operator": event.operator,
                "event_data": data,
            })
            .to_string(),
        },
        (NotifyType::Http, PayloadFormat::CloudEvents) => Payload {
            content_type: "application/cloudevents+json",
            body: cloud_event(event, &data, policy).to_string(),
        },
    }
}

/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>
fn cloud_event(event: &Event, data: &Value, policy: &Policy) -> Value {
    let mut members = json!({
        "specversion": "1.0",
        "id": event.id,
        "source": format!("/projects/{}/webhook/policies/{}", policy.project, policy.id),
        "type": event.kind.cloud_event(),
        "datacontenttype": "application/json",
        "time": event.at(),
        "data": data,
        "operator": event.operator,
    });
    if !event.request_id.is_empty()
        && let Some(members) = members.as_object_mut()
    {
        members.insert("requestid".to_owned(), json!(event.request_id));
    }
    members
}

/// Harbor's `event_data`.
fn event_data(event: &Event, setting: Setting<'_>) -> Value {
    let mut data = Map::new();
    if let Some(repository) = &event.repository {
        let resources = event.resources.iter().map(|resource| {
            // Where there is no tag Harbor shows the digest in its place.
            let reference = resource.tag.as_ref().or(resource.digest.as_ref());
            let mut shown = Map::new();
            if let Some(digest) = &resource.digest {
                shown.insert("digest".to_owned(), json!(digest));
            }
            if let Some(reference) = reference {
                let url = resource_url(repository, reference, setting.host);
                shown.insert("tag".to_owned(), json!(reference));
                shown.insert("resource_url".to_owned(), json!(url));
            }
            Value::Object(shown)
        });
        data.insert("resources".to_owned(), resources.collect());
        data.insert("repository".to_owned(), shown(repository, setting));
    }
    data.extend(event.details.clone());
    Value::Object(data)
}

fn shown(repository: &RepositoryName, setting: Setting<'_>) -> Value {
    json!({
        "name": repository.within_project(),
        "namespace": repository.project().unwrap_or_default(),
        "repo_full_name": repository,
        "repo_type": if setting.is_public { "public" } else { "private" },
    })
}

fn resource_url(repository: &RepositoryName, reference: &str, host: Option<&str>) -> String {
    let separator = if reference.contains(':') { '@' } else { ':' };
    let host = host.map(|host| format!("{host}/")).unwrap_or_default();
    format!("{host}{repository}{separator}{reference}")
}
