use super::*;

/// Harbor's whole matrix, role by role, written out.
const PROJECT_ADMIN: &str = "project:read project:update project:delete
    member:create member:read member:update member:delete member:list
    metadata:create metadata:read metadata:update metadata:delete
    log:list
    label:create label:read label:update label:delete label:list
    quota:read
    repository:create repository:read repository:update repository:delete repository:list
    repository:pull repository:push
    tag-retention:create tag-retention:read tag-retention:update tag-retention:delete
    tag-retention:list tag-retention:operate
    immutable-tag:create immutable-tag:update immutable-tag:delete immutable-tag:list
    configuration:read configuration:update
    robot:create robot:read robot:update robot:delete robot:list
    notification-policy:create notification-policy:update notification-policy:delete
    notification-policy:list notification-policy:read
    scan:create scan:read scan:stop
    sbom:create sbom:stop sbom:read
    scanner:read scanner:create
    artifact:create artifact:read artifact:delete artifact:list
    artifact-addition:read
    tag:list tag:create tag:delete
    accessory:list
    artifact-label:create artifact-label:delete
    preheat-policy:create preheat-policy:read preheat-policy:update preheat-policy:delete
    preheat-policy:list
    export-cve:create export-cve:read export-cve:list";

const MAINTAINER: &str = "project:read
    member:read member:list
    metadata:read
    label:create label:read label:update label:delete label:list
    quota:read
    repository:create repository:read repository:update repository:delete repository:list
    repository:pull repository:push
    tag-retention:create tag-retention:read tag-retention:update tag-retention:delete
    tag-retention:list tag-retention:operate
    immutable-tag:create immutable-tag:update immutable-tag:delete immutable-tag:list
    configuration:read
    robot:read robot:list
    notification-policy:list notification-policy:read
    scan:create scan:read scan:stop
    sbom:create sbom:stop sbom:read
    scanner:read
    artifact:create artifact:read artifact:delete artifact:list
    artifact-addition:read
    tag:list tag:create tag:delete
    accessory:list
    artifact-label:create artifact-label:delete
    export-cve:create export-cve:read export-cve:list";

const DEVELOPER: &str = "project:read
    member:read member:list
    label:read label:list
    quota:read
    repository:create repository:read repository:update repository:list
    repository:pull repository:push
    tag-retention:create tag-retention:read tag-retention:update tag-retention:delete
    tag-retention:list tag-retention:operate
    configuration:read
    robot:read robot:list
    scan:read sbom:read scanner:read
    artifact:create artifact:read artifact:list
    artifact-addition:read
    tag:list tag:create
    accessory:list
    artifact-label:create artifact-label:delete
    export-cve:create export-cve:read export-cve:list";

const GUEST: &str = "project:read
    member:read member:list
    label:read label:list
    quota:read
    repository:read repository:list repository:pull
    configuration:read
    robot:read robot:list
    scan:read sbom:read scanner:read
    artifact:read artifact:list artifact-addition:read
    tag:list accessory:list";

const LIMITED_GUEST: &str = "project:read
    quota:read
    repository:read repository:list repository:pull
    configuration:read
    scan:read sbom:read scanner:read
    artifact:read artifact:list artifact-addition:read
    tag:list accessory:list";

const PUBLIC: &str = "project:read
    label:read label:list
    repository:list repository:pull
    scan:read scanner:read
    tag:list
    artifact:read artifact:list artifact-addition:read
    accessory:list";

fn listed(text: &str) -> AccessSet {
    text.split_whitespace()
        .map(|pair| {
            let (resource, verb) = pair.split_once(':').unwrap();
            (
                Resource::parse(resource).unwrap(),
                Verb::parse(verb).unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_role_may_do_exactly_what_harbors_matrix_says() {
    let cases = [
        (Role::ProjectAdmin, PROJECT_ADMIN, 75),
        (Role::Maintainer, MAINTAINER, 53),
        (Role::Developer, DEVELOPER, 36),
        (Role::Guest, GUEST, 20),
        (Role::LimitedGuest, LIMITED_GUEST, 14),
    ];
    for (role, expected, rules) in cases {
        let expected = listed(expected);
        let actual = allowed(RoleSet::NONE.with(role));
        for resource in Resource::ALL {
            for verb in Verb::ALL {
                assert_eq!(
                    actual.contains(*resource, *verb),
                    expected.contains(*resource, *verb),
                    "{role}: {resource}:{verb}"
                );
            }
        }
        assert_eq!(actual.iter().count(), rules, "{role}");
    }
}

#[test]
fn public_projects_show_exactly_what_harbor_shows() {
    assert_eq!(*public(), listed(PUBLIC));
    assert_eq!(public().iter().count(), 12);
}

#[test]
fn no_role_may_do_nothing_and_several_are_united() {
    assert_eq!(allowed(RoleSet::NONE), AccessSet::NONE);
    let both = RoleSet::from_iter([Role::Guest, Role::Maintainer]);
    assert_eq!(allowed(both), listed(GUEST).union(&listed(MAINTAINER)));
}

#[test]
fn role_ids_are_harbors() {
    let ids: Vec<_> = Role::ALL
        .iter()
        .map(|role| (role.id(), role.as_str()))
        .collect();
    assert_eq!(
        ids,
        [
            (1, "projectAdmin"),
            (2, "developer"),
            (3, "guest"),
            (4, "maintainer"),
            (5, "limitedGuest"),
        ]
    );
    for role in Role::ALL {
        assert_eq!(Role::from_id(role.id()), Some(role));
    }
    for unknown in [-1, 0, 6, 257] {
        assert_eq!(Role::from_id(unknown), None);
    }
}

#[test]
fn grantable_permissions_name_each_pair_once() {
    for (rules, pairs) in [(GRANTABLE_IN_SYSTEM, 70), (GRANTABLE_IN_PROJECT, 72)] {
        let all = rules
            .iter()
            .flat_map(|(resource, verbs)| verbs.iter().map(|verb| (*resource, *verb)));
        let set: AccessSet = all.clone().collect();
        assert_eq!(set.iter().count(), all.count());
        assert_eq!(set.iter().count(), pairs);
    }
}

#[test]
fn words_are_read_as_they_are_written() {
    for resource in Resource::ALL {
        assert_eq!(Resource::parse(resource.as_str()), Some(*resource));
        let json = serde_json::to_string(resource).unwrap();
        assert_eq!(serde_json::from_str::<Resource>(&json).unwrap(), *resource);
    }
    for verb in Verb::ALL {
        assert_eq!(Verb::parse(verb.as_str()), Some(*verb));
    }
    let error = serde_json::from_str::<Verb>("\"fly\"").unwrap_err();
    assert!(error.to_string().contains("`fly` is not a known Verb"));
}
