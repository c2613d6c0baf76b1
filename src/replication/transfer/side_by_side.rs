use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use crate::jobs::Failure;

/// Makes copies, at most `most` at once.
///
/// After a failure that the next attempt may mend no further one begins, but those under way go to
/// their end: what they bring need not be brought again. Any other failure ends all of them.
pub(super) async fn side_by_side<F>(copies: Vec<F>, most: usize) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let has_failed = &AtomicBool::new(false);
    let copies = copies.into_iter().map(|copy| async move {
        if has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        copy.await
    });
    let mut under_way = stream::iter(copies).buffer_unordered(most.max(1));
    let mut ended = Ok(());
    while let Some(copied) = under_way.next().await {
        match copied {
            Ok(()) => {}
            Err(failure @ Failure::Retryable { .. }) => {
                has_failed.store(true, Ordering::Relaxed);
                ended = ended.and(Err(failure));
            }
            Err(failure) => return Err(failure),
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use super::*;

    /// Runs copies that each take so many seconds and end so; the result, and which ended.
    async fn run(
        most: usize,
        copies: &[(u64, Result<(), Failure>)],
    ) -> (Result<(), Failure>, Vec<usize>) {
        let ended = &Mutex::new(Vec::new());
        let copies = copies.iter().cloned().enumerate();
        let copies = copies.map(|(number, (seconds, result))| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            ended.lock().unwrap().push(number);
            result
        });
        let result = side_by_side(copies.collect(), most).await;
        (result, ended.lock().unwrap().clone())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_goes_to_its_end_and_nothing_else_begins() {
        let broken = Failure::retryable("first");
        let copies = [
            (1, Err(broken.clone())),
            (2, Err(Failure::retryable("second"))),
            (3, Ok(())),
            (1, Ok(())),
        ];
        assert_eq!(run(3, &copies).await, (Err(broken), vec![0, 1, 2]));
        let whole = [(2, Ok(())), (1, Ok(()))];
        assert_eq!(run(0, &whole).await, (Ok(()), vec![0, 1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_no_attempt_mends_ends_all() {
        for failure in [
            Failure::permanent("no"),
            Failure::target_down("away"),
            Failure::Stopped,
        ] {
            let copies = [(1, Err(failure.clone())), (2, Ok(()))];
            assert_eq!(run(2, &copies).await, (Err(failure), vec![0]));
        }
    }
}
