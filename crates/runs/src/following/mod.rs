//! Follows an active run: its events as they come, and its log.
//!
//! Both are read from the run's folder, so that late and returning readers get everything.

mod tail;

use std::time::Duration;

use arm::ApiError;
use db::{ResourceKey, Run};
use futures_util::{Stream, stream};
use providers::image_builder::runs;
use service::{App, run_folder};
use tokio::fs::File;

use self::tail::Tail;
pub use service::app::feeds::Feeds;

/// The longest wait before the file is read again without a notification.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The events of a run as JSON texts, each with the id to continue after; ends with the run. `after` is
/// the id of the last event that the reader has, 0 for all.
pub fn events(app: &App, run_id: &str, after: u64) -> impl Stream<Item = (u64, String)> + use<> {
    let path = run_folder::of(&app.settings().layout, run_id).join(run_folder::EVENTS);
    let state = Following {
        app: app.clone(),
        run_id: run_id.to_owned(),
        tail: Tail::new(path, after),
        is_last: false,
    };
    stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((event, state))
    })
}

struct Following {
    app: App,
    run_id: String,
    tail: Tail,
    /// The run is over: no further events come.
    is_last: bool,
}

impl Following {
    async fn next(&mut self) -> Option<(u64, String)> {
        loop {
            // Before the file is read, so that nothing is written unnoticed in between.
            let news = self.app.feeds().watch(&self.run_id);
            match self.tail.next().await {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err(e) => {
                    tracing::warn!(run = %self.run_id, error = %images::error::chain(&e), "the run's events cannot be read");
                    return None;
                }
            }
            if self.is_last || self.app.shutdown().is_cancelled() {
                return None;
            }
            // A database that does not answer now may do so later.
            if let Ok(is_over) = self.app.store().is_over(&self.run_id).await
                && is_over.unwrap_or(true)
            {
                self.is_last = true;
                continue;
            }
            self.wait(news).await;
        }
    }

    async fn wait(&self, news: Option<tokio::sync::watch::Receiver<u64>>) {
        let changed = async {
            match news {
                Some(mut news) => drop(news.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = self.app.shutdown().cancelled() => {}
        }
    }
}

/// The scope in which a run is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The runs of a template.
    Template(ResourceKey),
    /// All runs of a subscription, also of deleted templates.
    Subscription(String),
}

/// `GET …/imageTemplates/{t}/runs/{id}/events`: the [`events`] of that run. `last_event_id` is the header
/// `Last-Event-ID`, or the parameter `after`.
///
/// # Errors
/// 404 if there is no such run, 400 if the id is not one of ours.
pub async fn events_of(
    app: &App,
    whose: &Whose,
    run_id: &str,
    last_event_id: Option<&str>,
) -> Result<impl Stream<Item = (u64, String)> + use<>, ApiError> {
    let run = run_of(app, whose, run_id).await?;
    let after = match last_event_id.map(str::trim).filter(|id| !id.is_empty()) {
        None => 0,
        Some(id) => id.parse::<u64>().map_err(|_| {
            ApiError::bad_request(
                "InvalidParameter",
                format!("The event id '{id}' is not one that was sent: it must be a number. Leave it out to get all events."),
            )
            .target("Last-Event-ID")
        })?,
    };
    Ok(events(app, &run.id, after))
}

/// `GET …/imageTemplates/{t}/runs/{id}/log`: a log as far as it is written; `name` is
/// `customization.log` or another that the run has.
///
/// # Errors
/// 404 if there is no such run, or it has no such log yet.
pub async fn log(app: &App, whose: &Whose, run_id: &str, name: &str) -> Result<File, ApiError> {
    let run = run_of(app, whose, run_id).await?;
    let none = || {
        ApiError::absent(
            "BlobNotFound",
            format!("The run '{run_id}' has no {name}: nothing was written there so far."),
        )
    };
    if !run_folder::is_log(name) {
        return Err(none());
    }
    let path = run_folder::of(&app.settings().layout, &run.id).join(name);
    match File::open(&path).await {
        Ok(file) => Ok(file),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(none()),
        Err(e) => Err(ApiError::failed(&e)),
    }
}

/// The run, if it is one of those. Its folder is named by the row, never by the caller.
///
/// # Errors
/// 404 if there is no such run.
pub async fn run_of(app: &App, whose: &Whose, run_id: &str) -> Result<Run, ApiError> {
    let run = app.store().run(&run_id.to_lowercase()).await?;
    match whose {
        Whose::Template(template) => run.filter(|run| run.template == *template).ok_or_else(|| {
            ApiError::absent(
                "ResourceNotFound",
                format!("The run '{run_id}' of the image template '{template}' was not found."),
            )
        }),
        Whose::Subscription(id) => run
            .filter(|run| run.subscription.eq_ignore_ascii_case(id))
            .ok_or_else(|| runs::not_found(run_id)),
    }
}

#[cfg(test)]
mod tests;
