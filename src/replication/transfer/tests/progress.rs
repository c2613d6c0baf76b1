//! How far a copy is, while it runs.

use crate::{
    jobs::Progress,
    replication::testing::{Reply, Rig, eventually, push, push_image},
    store::testing::databases,
};

#[tokio::test]
async fn a_copy_says_how_far_it_is() {
    let (known, new) = ("at the destination already", "not yet there");
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.work();
        push_image(&rig.local, "library/app", "v1", &[known]).await;
        rig.happen(&push("library/app", "v1")).await;
        rig.settled().await;

        rig.remote
            .script(|ask| ask.is_upload_of_data().then_some(Reply::Silence));
        push_image(&rig.local, "library/app", "v2", &[known, new]).await;
        rig.happen(&push("library/app", "v2")).await;
        let execution = rig.all_executions().await[0].id;
        let job = rig.tasks(execution).await[0].job_id;
        let progress = eventually(async || rig.jobs.job(job).await.unwrap().progress).await;
        let config = serde_json::json!({"layers": [known, new]}).to_string();
        let expected = Progress {
            bytes: known.len() as u64,
            total_bytes: (known.len() + new.len() + config.len()) as u64,
            parts: 1,
            total_parts: 3,
        };
        assert_eq!(progress, expected);

        rig.remote.mend();
        rig.settled().await;
        assert_eq!(rig.jobs.job(job).await.unwrap().progress, None);
        assert!(rig.remote.digest("library/app", "v2").await.is_some());
    }
}
