use super::{execute, executions, intents, places, policies, registries, standing, uploads};
use crate::store::testing;

#[tokio::test]
async fn every_statement_is_valid_on_both_databases() {
    for statements in [
        execute::queries::ALL,
        executions::queries::ALL,
        intents::queries::ALL,
        policies::queries::ALL,
        registries::queries::ALL,
        places::queries::ALL,
        uploads::queries::ALL,
        standing::queries::ALL,
    ] {
        testing::prepare(statements).await;
    }
}
