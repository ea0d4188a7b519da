//! A trial: tries on an image of one's own what cannot be proven without one, and collects the
//! evidence.
//!
//! Goldsmith's tests have no image of Windows. So what they cannot prove is a list of steps here,
//! which the owner of an image carries out on it: [`run`] starts a machine of the image, does what a
//! build does, with the same functions, and writes an archive to send.
//!
//! Rules:
//! - Steps depend on what they need, not on the step before: one that fails stops only those.
//! - Everything is released, and the archive written, however the trial ends.
//! - The image is not written to. No secret is in the archive: [`secrets`].

mod archive;
mod bed;
mod exchange;
mod report;
mod run;
mod secrets;
mod steps;

use std::{path::PathBuf, time::Duration};

use sources::ResolvedEntry;

pub use exchange::Exchange;
pub use report::{Outcome, Report, StepReport};
pub use run::run;

/// An image to try.
#[derive(Debug, Clone)]
pub enum Image {
    /// A checked disk image of this host.
    Disk {
        /// The file.
        path: PathBuf,
        /// Its format: goldsmith's name.
        format: String,
        /// The size that a guest sees, in bytes.
        bytes: u64,
    },
    /// An image of the catalogue, which the trial fetches or makes.
    Catalogue(Box<ResolvedEntry>),
}

/// The parameters of a trial.
#[derive(Debug, Clone)]
pub struct Trial {
    /// What the report calls the image.
    pub title: String,
    /// The image. It is not written to.
    pub image: Image,
    /// Whether it boots by UEFI.
    pub is_uefi: bool,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// How long a guest may take from power-on to its first answer.
    pub boot_timeout: Duration,
    /// Whether Windows Update installs what it finds.
    pub updates: bool,
    /// Whether the image is also tried with a TPM and Secure Boot.
    pub trusted: bool,
    /// The archive to write.
    pub archive: PathBuf,
    /// What was found about the host, for the report.
    pub findings: serde_json::Value,
}
