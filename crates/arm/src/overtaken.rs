//! Requests that another writer overtakes: it changes a row after the request read it and before the request commits.
//! Often the service is that writer, as when it records the end of a run or of a copy.

use crate::{ApiError, Reply};

/// Attempts at one request. Each failed one means that another writer got something done.
const ATTEMPTS: usize = 8;

/// Answers a request. An overtaken attempt has written nothing, and the next one reads the rows again: it checks anew
/// what is allowed and whether the request's precondition holds.
///
/// # Errors
/// Those of the last attempt; `Conflict` if other writers overtook every attempt.
pub async fn retry_overtaken<F>(mut attempt: impl FnMut() -> F) -> Result<Reply, ApiError>
where
    F: Future<Output = Result<Reply, ApiError>>,
{
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if error.is_overtaken => {}
            answered => return answered,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use http::StatusCode;

    use super::*;

    /// The attempts until the answer, and its status.
    async fn attempts(mut answer: impl FnMut(usize) -> Result<Reply, ApiError>) -> (usize, u16) {
        let mut count = 0;
        let answered = retry_overtaken(|| {
            count += 1;
            ready(answer(count))
        })
        .await;
        let status = answered.map_or_else(|error| error.status, |reply| reply.status);
        (count, status.as_u16())
    }

    #[tokio::test]
    async fn overtaken_attempt_is_repeated_a_bounded_number_of_times() {
        let stale = || Err(db::Error::Stale { key: "k".into() }.into());
        let done = || Ok(Reply::empty(StatusCode::OK));
        assert_eq!(attempts(|n| if n < 3 { stale() } else { done() }).await, (3, 200));
        assert_eq!(attempts(|_| stale()).await, (ATTEMPTS, 409));
        assert_eq!(attempts(|_| Err(ApiError::conflict("Conflict", "exists"))).await, (1, 409));
    }
}
