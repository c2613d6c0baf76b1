use super::{executions, intents, policies, registries, transfer};
use crate::store::testing;

#[tokio::test]
async fn every_statement_is_valid_on_both_databases() {
    for statements in [
        executions::queries::ALL,
        intents::queries::ALL,
        policies::queries::ALL,
        registries::queries::ALL,
        transfer::queries::ALL,
    ] {
        testing::prepare(statements).await;
    }
}
