use super::*;
use crate::{
    auth::tests::fixtures,
    oci::{Decoration, Pattern},
};

fn selector(pattern: &str, decoration: Decoration) -> Selector {
    Selector {
        decoration,
        pattern: Pattern::parse(pattern).unwrap(),
    }
}

fn rule(repositories: &str, tags: &str, decoration: Decoration) -> Rule {
    Rule {
        repositories: vec![selector(repositories, Decoration::Matches)],
        tags: vec![selector(tags, decoration)],
    }
}

#[tokio::test]
async fn rules_hold_where_they_select_and_from_the_next_request_on() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        let holds = async |repository: &str, tag: &str| {
            let rules = auth.immutable(&repository.parse().unwrap()).await.unwrap();
            rules.holds(tag)
        };
        assert!(!holds("team/app", "v1").await);
        let release = rule("a*", "v*", Decoration::Matches);
        let id = auth
            .create_immutable_rule(project, &release, false)
            .await
            .unwrap();
        let twin = auth.create_immutable_rule(project, &release, true).await;
        assert!(matches!(twin, Err(Error::Conflict(_))));
        for (repository, tag, expected) in [
            ("team/app", "v1", true),
            ("team/app", "latest", false),
            ("team/app/part", "v1", false),
            ("team/tool", "v1", false),
            ("other/app", "v1", false),
        ] {
            assert_eq!(holds(repository, tag).await, expected, "{repository}:{tag}");
        }
        let all_but = rule("**", "dev*", Decoration::Excludes);
        auth.update_immutable_rule(project, id, (&all_but, false))
            .await
            .unwrap();
        assert!(holds("team/app/part", "latest").await && !holds("team/app", "dev1").await);
        auth.update_immutable_rule(project, id, (&all_but, true))
            .await
            .unwrap();
        assert!(!holds("team/app", "latest").await);
        let listed = auth.immutable_rules(project, &Listing::default()).await;
        assert!(listed.unwrap().items[0].disabled);
        auth.delete_immutable_rule(project, id).await.unwrap();
        let again = auth.delete_immutable_rule(project, id).await;
        assert!(matches!(again, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn a_rule_belongs_to_its_project() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let team = fixture.project("team", false).await;
        let other = fixture.project("other", false).await;
        let all = rule("**", "**", Decoration::Matches);
        let id = auth.create_immutable_rule(team, &all, false).await.unwrap();
        let refused = auth.delete_immutable_rule(other, id).await;
        assert!(matches!(refused, Err(Error::NotFound(_))));
        let refused = auth.update_immutable_rule(other, id, (&all, true)).await;
        assert!(matches!(refused, Err(Error::NotFound(_))));
        for n in 1..MAX_RULES {
            let more = rule("**", &format!("v{n}"), Decoration::Matches);
            auth.create_immutable_rule(team, &more, false)
                .await
                .unwrap();
        }
        let more = rule("**", "one-too-many", Decoration::Matches);
        let refused = auth.create_immutable_rule(team, &more, false).await;
        assert!(matches!(refused, Err(Error::Precondition(_))));
        auth.delete_project(team).await.unwrap();
        assert!(
            auth.immutable(&"team/app".parse().unwrap())
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn statements_prepare_on_both_databases() {
    store::testing::prepare(queries::ALL).await;
}
