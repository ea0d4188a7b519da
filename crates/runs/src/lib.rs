//! All that happens to a run: what begins it, who carries it out, who follows it, and when its traces go.
//!
//! ```text
//! trigger    versions of sources and schedules that begin runs
//! worker     who is next, carried out by an Executor, ended in one commit
//! following  its events and its log, as they come
//! retention  its row, its logs and its operations, until their time is over
//! ```
//!
//! The rows of a run and of its template are the resource types' (`providers::image_builder`), below this.

pub mod following;
pub mod retention;
pub mod trigger;
pub mod worker;
