//! Limits streamed responses, each of which keeps a file open.

use arm::{ApiError, Caller};
use axum::{
    body::{Body, HttpBody},
    response::Response,
};
use futures_util::StreamExt;

use super::{Site, reply};
use crate::limits::Stream;

/// A place for another stream of the caller, or the error.
pub(super) fn open(site: &Site, caller: &Caller) -> Result<Stream, ApiError> {
    let budgets = &site.budgets;
    budgets.streams.open(&caller.object_id).ok_or_else(|| {
        let (each, all) = (budgets.settings.streams_per_principal, budgets.settings.streams);
        reply::too_many(format!(
            "Too many streams are open: the limit is {each} for each principal, and {all} in total. Finish reading or close open streams."
        ))
    })
}

/// The response, counted until its body ends or is dropped.
pub(super) fn until_end(response: Response, open: Stream) -> Response {
    // A body in memory keeps no file open.
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
