use super::Provider;

/// What differs about a provider, apart from code.
#[derive(Debug, Clone, Copy)]
pub struct Traits {
    /// Harbor's name of the type.
    pub name: &'static str,
    pub addresses: Addresses,
    pub access_key: AccessKey,
    pub lists: Listed,
    /// Why manifests cannot be deleted through the registry API; absent where they can.
    pub keeps_manifests: Option<&'static str>,
    /// Whether blobs can come in chunks of any size from the first try on (OCI distribution-spec
    /// end-5).
    pub takes_chunks: bool,
}

/// Where registries of a type are. Each address has a name to show.
#[derive(Debug, Clone, Copy)]
pub enum Addresses {
    Any,
    One(&'static str, &'static str),
    Known(&'static [(&'static str, &'static str)]),
}

/// What stands as user name.
#[derive(Debug, Clone, Copy)]
pub enum AccessKey {
    Any,
    /// Always this; the secret is a file.
    KeyFile(&'static str),
}

/// How a registry's repositories are listed.
#[derive(Debug, Clone, Copy)]
pub enum Listed {
    /// `GET /v2/_catalog`, though many allow it to few.
    Catalog,
    /// Harbor's own API, which shows each account what it may see.
    HarborProjects,
    /// Not at all, and what to do instead.
    Nothing(&'static str),
}

impl Provider {
    /// The provider's line of the table.
    pub const fn traits(self) -> &'static Traits {
        match self {
            Self::AwsEcr => &AWS_ECR,
            Self::AzureAcr => &AZURE_ACR,
            Self::DockerHub => &DOCKER_HUB,
            Self::DockerRegistry => &DOCKER_REGISTRY,
            Self::GithubGhcr => &GITHUB_GHCR,
            Self::Gitlab => &GITLAB,
            Self::GoogleGcr => &GOOGLE_GCR,
            Self::Harbor => &HARBOR,
            Self::JfrogArtifactory => &JFROG_ARTIFACTORY,
            Self::Quay => &QUAY,
        }
    }
}

const DOCKER_REGISTRY: Traits = Traits {
    name: "docker-registry",
    addresses: Addresses::Any,
    access_key: AccessKey::Any,
    lists: Listed::Catalog,
    keeps_manifests: None,
    takes_chunks: true,
};

const AWS_ECR: Traits = Traits {
    name: "aws-ecr",
    keeps_manifests: Some("Amazon ECR deletes images through its own API only"),
    // Loses all but the first.
    takes_chunks: false,
    ..DOCKER_REGISTRY
};

const AZURE_ACR: Traits = Traits {
    name: "azure-acr",
    ..DOCKER_REGISTRY
};

const DOCKER_HUB: Traits = Traits {
    name: "docker-hub",
    addresses: Addresses::One("hub.docker.com", "https://hub.docker.com"),
    lists: Listed::Nothing(
        "Docker Hub does not list its repositories; give the policy a name filter without wildcards",
    ),
    keeps_manifests: Some("Docker Hub deletes tags through its own website only"),
    ..DOCKER_REGISTRY
};

const GITHUB_GHCR: Traits = Traits {
    name: "github-ghcr",
    addresses: Addresses::One("ghcr.io", "https://ghcr.io"),
    lists: Listed::Nothing(
        "GitHub does not list its repositories; give the policy a name filter without wildcards",
    ),
    keeps_manifests: Some("GitHub deletes packages through its own API only"),
    // Limits their size, and does not say to what.
    takes_chunks: false,
    ..DOCKER_REGISTRY
};

const GITLAB: Traits = Traits {
    name: "gitlab",
    lists: Listed::Nothing(
        "GitLab does not list its repositories; give the policy a name filter without wildcards",
    ),
    ..DOCKER_REGISTRY
};

const GOOGLE_GCR: Traits = Traits {
    name: "google-gcr",
    addresses: Addresses::Known(&[
        ("gcr.io", "https://gcr.io"),
        ("us.gcr.io", "https://us.gcr.io"),
        ("eu.gcr.io", "https://eu.gcr.io"),
        ("asia.gcr.io", "https://asia.gcr.io"),
    ]),
    access_key: AccessKey::KeyFile("_json_key"),
    lists: Listed::Catalog,
    keeps_manifests: None,
    takes_chunks: false,
};

const HARBOR: Traits = Traits {
    name: "harbor",
    lists: Listed::HarborProjects,
    ..DOCKER_REGISTRY
};

const JFROG_ARTIFACTORY: Traits = Traits {
    name: "jfrog-artifactory",
    takes_chunks: false,
    ..DOCKER_REGISTRY
};

const QUAY: Traits = Traits {
    name: "quay",
    addresses: Addresses::Known(&[("quay.io", "https://quay.io")]),
    ..DOCKER_REGISTRY
};
