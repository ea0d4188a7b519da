//! The life of a run: its causes, its execution, its events for followers, and the removal of its traces.
//!
//! ```text
//! trigger    versions of sources and schedules that begin runs
//! worker     the choice of the next run, its execution by an Executor, its end in one commit
//! following  its events and its log, as they come
//! retention  the removal of its row, logs and operations once their time is over
//! ```
//!
//! The rows of a run and of its template are the resource types' (`providers::image_builder`), below this.

pub mod following;
pub mod retention;
pub mod trigger;
pub mod worker;
