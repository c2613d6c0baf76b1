use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::oci::{Decoration, InvalidPattern, Manifest, Pattern, Reference, media_type};

/// One condition of a policy; an artifact must meet all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawFilter", into = "RawFilter")]
pub enum Filter {
    /// The full repository name, project included.
    Name(Pattern),
    /// The tag; an artifact without one counts as the empty text.
    Tag(Pattern, Decoration),
    Resource(Resource),
    /// The names of labels, all of which the artifact must bear; with `excludes`, not all.
    Label(Vec<String>, Decoration),
}

/// What an artifact is to Harbor's resource filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A container image, or an index of such.
    Image,
    /// Everything else that has a manifest.
    Artifact,
}

/// A filter as Harbor's API writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReplicationFilter")]
pub struct RawFilter {
    #[serde(rename = "type", default)]
    #[schemars(extend("enum" = ["name", "tag", "resource", "label"]))]
    pub kind: String,
    /// The names of labels for the type label, text for the others.
    #[serde(default)]
    #[schemars(
        extend("type" = ["string", "array", "null"], "items" = {"type": "string"}),
        example = "**"
    )]
    pub value: Value,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["", "matches", "excludes"]))]
    pub decoration: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    #[error("`{0}` is not a filter type: name, tag, label or resource")]
    Type(String),
    #[error("a {0} filter's value must be text")]
    Value(String),
    #[error("a label filter's value must be a list of labels' names")]
    Label,
    #[error("`{0}` is not a decoration: matches or excludes")]
    Decoration(String),
    #[error("a {0} filter takes no `excludes`")]
    Undecorated(String),
    #[error("`{0}` is not a resource: image or artifact")]
    Resource(String),
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
}

impl Filter {
    pub fn accepts_repository(&self, name: &str) -> bool {
        match self {
            Self::Name(pattern) => pattern.matches(name),
            Self::Tag(..) | Self::Resource(_) | Self::Label(..) => true,
        }
    }

    pub fn accepts_reference(&self, reference: &Reference) -> bool {
        let tag = match reference {
            Reference::Tag(tag) => tag.as_str(),
            Reference::Digest(_) => "",
        };
        match self {
            Self::Tag(pattern, decoration) => decoration.accepts(pattern, tag),
            Self::Name(_) | Self::Resource(_) | Self::Label(..) => true,
        }
    }

    pub fn accepts_resource(&self, resource: Resource) -> bool {
        match self {
            Self::Resource(wanted) => *wanted == resource,
            Self::Name(_) | Self::Tag(..) | Self::Label(..) => true,
        }
    }

    /// `borne`: the names of the labels that the artifact bears.
    pub fn accepts_labels(&self, borne: &[String]) -> bool {
        match self {
            Self::Label(wanted, decoration) => {
                let bears_all = wanted.iter().all(|name| borne.contains(name));
                bears_all == (*decoration == Decoration::Matches)
            }
            Self::Name(_) | Self::Tag(..) | Self::Resource(_) => true,
        }
    }
}

impl Resource {
    /// An index counts as an image: its children are read only when it is copied.
    pub fn of(manifest: &Manifest) -> Self {
        let config = manifest.artifact_type.as_deref();
        let is_index = media_type::is_index(&manifest.media_type);
        match config {
            None if is_index => Self::Image,
            Some(media_type::OCI_CONFIG | DOCKER_CONFIG) => Self::Image,
            _ => Self::Artifact,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Artifact => "artifact",
        }
    }
}

impl TryFrom<RawFilter> for Filter {
    type Error = InvalidFilter;

    fn try_from(raw: RawFilter) -> Result<Self, InvalidFilter> {
        let decoration = match raw.decoration.as_str() {
            "" | "matches" => Decoration::Matches,
            "excludes" => Decoration::Excludes,
            other => return Err(InvalidFilter::Decoration(other.to_owned())),
        };
        if raw.kind == "label" {
            return labels(raw.value).map(|names| Self::Label(names, decoration));
        }
        if decoration == Decoration::Excludes && matches!(&*raw.kind, "name" | "resource") {
            return Err(InvalidFilter::Undecorated(raw.kind));
        }
        let Value::String(value) = raw.value else {
            return Err(InvalidFilter::Value(raw.kind));
        };
        match raw.kind.as_str() {
            "name" => Ok(Self::Name(Pattern::parse(&value)?)),
            "tag" => Ok(Self::Tag(Pattern::parse(&value)?, decoration)),
            "resource" => match value.as_str() {
                "image" => Ok(Self::Resource(Resource::Image)),
                "artifact" => Ok(Self::Resource(Resource::Artifact)),
                _ => Err(InvalidFilter::Resource(value)),
            },
            _ => Err(InvalidFilter::Type(raw.kind)),
        }
    }
}

impl From<Filter> for RawFilter {
    fn from(filter: Filter) -> Self {
        let word = |decoration| match decoration {
            Decoration::Matches => "matches",
            Decoration::Excludes => "excludes",
        };
        let (kind, value, decoration) = match filter {
            Filter::Name(pattern) => ("name", pattern.to_string().into(), ""),
            Filter::Tag(pattern, decoration) => {
                ("tag", pattern.to_string().into(), word(decoration))
            }
            Filter::Resource(resource) => ("resource", resource.name().into(), ""),
            Filter::Label(names, decoration) => ("label", names.into(), word(decoration)),
        };
        Self {
            kind: kind.to_owned(),
            value,
            decoration: decoration.to_owned(),
        }
    }
}

/// At least one name: a list without any would filter nothing.
fn labels(value: Value) -> Result<Vec<String>, InvalidFilter> {
    match serde_json::from_value::<Vec<String>>(value) {
        Ok(names) if !names.is_empty() => Ok(names),
        _ => Err(InvalidFilter::Label),
    }
}

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filter(value: Value) -> Result<Filter, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn filters_read_and_write_harbors_form() {
        for raw in [
            json!({"type": "name", "value": "library/**"}),
            json!({"type": "tag", "value": "v*", "decoration": "matches"}),
            json!({"type": "tag", "value": "*-rc", "decoration": "excludes"}),
            json!({"type": "resource", "value": "image"}),
            json!({"type": "label", "value": ["a", "b"], "decoration": "matches"}),
            json!({"type": "label", "value": ["a"], "decoration": "excludes"}),
        ] {
            let parsed = filter(raw.clone()).unwrap();
            assert_eq!(serde_json::to_value(parsed).unwrap(), raw);
        }
    }

    #[test]
    fn bad_filters_are_refused_with_a_reason() {
        for (raw, reason) in [
            (
                json!({"type": "colour", "value": "red"}),
                "not a filter type",
            ),
            (json!({"type": "name", "value": 3}), "must be text"),
            (json!({"type": "label", "value": "a"}), "a list of labels"),
            (json!({"type": "label", "value": [1]}), "a list of labels"),
            (json!({"type": "label", "value": []}), "a list of labels"),
            (
                json!({"type": "tag", "value": "a", "decoration": "x"}),
                "not a decoration",
            ),
            (
                json!({"type": "name", "value": "a", "decoration": "excludes"}),
                "no `excludes`",
            ),
            (
                json!({"type": "resource", "value": "chart"}),
                "not a resource",
            ),
            (json!({"type": "name", "value": "{"}), "close its `{`"),
        ] {
            let error = filter(raw).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn all_labels_of_a_filter_must_be_there() {
        let borne = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (labels, accepted) in [
            (borne(&[]), false),
            (borne(&["a"]), false),
            (borne(&["a", "b"]), true),
            (borne(&["c", "b", "a"]), true),
            (borne(&["A", "b"]), false),
        ] {
            for (decoration, expected) in [("matches", accepted), ("excludes", !accepted)] {
                let raw = json!({"type": "label", "value": ["a", "b"], "decoration": decoration});
                let filter = filter(raw).unwrap();
                assert_eq!(filter.accepts_labels(&labels), expected, "{labels:?}");
            }
        }
    }

    #[test]
    fn untagged_artifacts_are_matched_as_the_empty_tag() {
        let untagged: Reference = crate::oci::Digest::sha256(b"x").as_str().parse().unwrap();
        let tag = |value: &str, decoration: &str| {
            filter(json!({"type": "tag", "value": value, "decoration": decoration})).unwrap()
        };
        assert!(tag("**", "matches").accepts_reference(&untagged));
        assert!(tag("", "matches").accepts_reference(&untagged));
        assert!(!tag("v*", "matches").accepts_reference(&untagged));
        assert!(tag("v*", "excludes").accepts_reference(&untagged));
        assert!(tag("v*", "matches").accepts_reference(&"v1".parse().unwrap()));
        assert!(!tag("v*", "excludes").accepts_reference(&"v1".parse().unwrap()));
    }
}
