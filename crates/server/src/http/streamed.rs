//! Answers that go on for a while and hold a file: counted as long as they last.

use arm::{ApiError, Caller};
use axum::{
    body::{Body, HttpBody},
    response::Response,
};
use futures_util::StreamExt;

use super::{Site, reply};
use crate::limits::Stream;

/// One more for that caller, or the refusal.
pub(super) fn open(site: &Site, caller: &Caller) -> Result<Stream, ApiError> {
    let budgets = &site.budgets;
    budgets.streams.open(&caller.object_id).ok_or_else(|| {
        let (each, all) = (budgets.settings.streams_per_principal, budgets.settings.streams);
        reply::too_many(format!(
            "Too many answers are being streamed: {each} to one principal at most, and {all} in all. Read those that are open to their end, or close them."
        ))
    })
}

/// The answer, with its body counted until it has ended or is dropped.
pub(super) fn until_end(response: Response, open: Stream) -> Response {
    // What is in memory holds nothing.
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let _until_dropped = &open;
            chunk
        }))
    })
}
