use serde_json::{Value, json};

use crate::webhook::Event;

/// Harbor's message in Slack's blocks.
pub(super) fn message(event: &Event, data: &Value) -> Value {
    let (at, operator) = (event.at(), escaped(&event.operator));
    let seconds = at.seconds();
    let details = escaped(&serde_json::to_string_pretty(data).unwrap_or_default());
    let details: String = details.chars().take(MAX_DETAIL_CHARS).collect();
    json!({"blocks": [
        section("*Harbor webhook events*"),
        section(&format!("*event_type:* {}", event.kind.name())),
        section(&format!("*occur_at:* <!date^{seconds}^{{date}} at {{time}}|{at}>")),
        section(&format!("*operator:* {operator}")),
        section("*event_data:*"),
        section(&format!("```{details}```")),
    ]})
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Slack refuses a section's text of more than 3000.
const MAX_DETAIL_CHARS: usize = 2900;
