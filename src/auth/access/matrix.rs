//! What each role may do in its project, and what everybody may do in a public one
//! (Harbor `src/common/rbac/project/rbac_role.go`, `rbac_util.go`).

use super::{AccessSet, Resource, Role, RoleSet, Verb};

/// What the roles allow together.
pub fn allowed(roles: RoleSet) -> AccessSet {
    roles.iter().fold(AccessSet::NONE, |set, role| {
        set.union(match role {
            Role::ProjectAdmin => &PROJECT_ADMIN,
            Role::Maintainer => &MAINTAINER,
            Role::Developer => &DEVELOPER,
            Role::Guest => &GUEST,
            Role::LimitedGuest => &LIMITED_GUEST,
        })
    })
}

/// What anybody, also anonymously, may do in a public project.
pub const fn public() -> &'static AccessSet {
    &PUBLIC
}

static PROJECT_ADMIN: AccessSet = set_of(Rank::Admin);
static MAINTAINER: AccessSet = set_of(Rank::Maintainer);
static DEVELOPER: AccessSet = set_of(Rank::Developer);
static GUEST: AccessSet = set_of(Rank::Guest);
static LIMITED_GUEST: AccessSet = set_of(Rank::LimitedGuest);

/// The roles are ordered: who is above may do all that those below may. Each rule names the
/// lowest rank that has it.
#[derive(Clone, Copy)]
enum Rank {
    LimitedGuest,
    Guest,
    Developer,
    Maintainer,
    Admin,
}

const fn set_of(rank: Rank) -> AccessSet {
    let mut set = AccessSet::NONE;
    let mut index = 0;
    while index < RULES.len() {
        let (resource, verb, lowest) = RULES[index];
        if rank as u8 >= lowest as u8 {
            set = set.with(resource, verb);
        }
        index += 1;
    }
    set
}

static PUBLIC: AccessSet = AccessSet::NONE
    .with(Resource::Project, Verb::Read)
    .with(Resource::Label, Verb::Read)
    .with(Resource::Label, Verb::List)
    .with(Resource::Repository, Verb::List)
    .with(Resource::Repository, Verb::Pull)
    .with(Resource::Scan, Verb::Read)
    .with(Resource::Scanner, Verb::Read)
    .with(Resource::Tag, Verb::List)
    .with(Resource::Artifact, Verb::Read)
    .with(Resource::Artifact, Verb::List)
    .with(Resource::ArtifactAddition, Verb::Read)
    .with(Resource::Accessory, Verb::List);

const A: Rank = Rank::Admin;
const M: Rank = Rank::Maintainer;
const D: Rank = Rank::Developer;
const G: Rank = Rank::Guest;
const L: Rank = Rank::LimitedGuest;

const RULES: &[(Resource, Verb, Rank)] = &[
    (Resource::Project, Verb::Read, L),
    (Resource::Project, Verb::Update, A),
    (Resource::Project, Verb::Delete, A),
    (Resource::Member, Verb::Create, A),
    (Resource::Member, Verb::Read, G),
    (Resource::Member, Verb::Update, A),
    (Resource::Member, Verb::Delete, A),
    (Resource::Member, Verb::List, G),
    (Resource::Metadata, Verb::Create, A),
    (Resource::Metadata, Verb::Read, M),
    (Resource::Metadata, Verb::Update, A),
    (Resource::Metadata, Verb::Delete, A),
    (Resource::Log, Verb::List, A),
    (Resource::Label, Verb::Create, M),
    (Resource::Label, Verb::Read, G),
    (Resource::Label, Verb::Update, M),
    (Resource::Label, Verb::Delete, M),
    (Resource::Label, Verb::List, G),
    (Resource::Quota, Verb::Read, L),
    (Resource::Repository, Verb::Create, D),
    (Resource::Repository, Verb::Read, L),
    (Resource::Repository, Verb::Update, D),
    (Resource::Repository, Verb::Delete, M),
    (Resource::Repository, Verb::List, L),
    (Resource::Repository, Verb::Pull, L),
    (Resource::Repository, Verb::Push, D),
    (Resource::TagRetention, Verb::Create, D),
    (Resource::TagRetention, Verb::Read, D),
    (Resource::TagRetention, Verb::Update, D),
    (Resource::TagRetention, Verb::Delete, D),
    (Resource::TagRetention, Verb::List, D),
    (Resource::TagRetention, Verb::Operate, D),
    (Resource::ImmutableTag, Verb::Create, M),
    (Resource::ImmutableTag, Verb::Update, M),
    (Resource::ImmutableTag, Verb::Delete, M),
    (Resource::ImmutableTag, Verb::List, M),
    (Resource::Configuration, Verb::Read, L),
    (Resource::Configuration, Verb::Update, A),
    (Resource::Robot, Verb::Create, A),
    (Resource::Robot, Verb::Read, G),
    (Resource::Robot, Verb::Update, A),
    (Resource::Robot, Verb::Delete, A),
    (Resource::Robot, Verb::List, G),
    (Resource::NotificationPolicy, Verb::Create, A),
    (Resource::NotificationPolicy, Verb::Update, A),
    (Resource::NotificationPolicy, Verb::Delete, A),
    (Resource::NotificationPolicy, Verb::List, M),
    (Resource::NotificationPolicy, Verb::Read, M),
    (Resource::Scan, Verb::Create, M),
    (Resource::Scan, Verb::Read, L),
    (Resource::Scan, Verb::Stop, M),
    (Resource::Sbom, Verb::Create, M),
    (Resource::Sbom, Verb::Stop, M),
    (Resource::Sbom, Verb::Read, L),
    (Resource::Scanner, Verb::Read, L),
    (Resource::Scanner, Verb::Create, A),
    (Resource::Artifact, Verb::Create, D),
    (Resource::Artifact, Verb::Read, L),
    (Resource::Artifact, Verb::Delete, M),
    (Resource::Artifact, Verb::List, L),
    (Resource::ArtifactAddition, Verb::Read, L),
    (Resource::Tag, Verb::List, L),
    (Resource::Tag, Verb::Create, D),
    (Resource::Tag, Verb::Delete, M),
    (Resource::Accessory, Verb::List, L),
    (Resource::ArtifactLabel, Verb::Create, D),
    (Resource::ArtifactLabel, Verb::Delete, D),
    (Resource::PreheatPolicy, Verb::Create, A),
    (Resource::PreheatPolicy, Verb::Read, A),
    (Resource::PreheatPolicy, Verb::Update, A),
    (Resource::PreheatPolicy, Verb::Delete, A),
    (Resource::PreheatPolicy, Verb::List, A),
    (Resource::ExportCve, Verb::Create, D),
    (Resource::ExportCve, Verb::Read, D),
    (Resource::ExportCve, Verb::List, D),
];
