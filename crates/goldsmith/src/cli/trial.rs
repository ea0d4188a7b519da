//! The command line of trials.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use crate::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Trial {
    /// Try an image of Windows: boot, scripts, restarts, seals, updates, Sysprep. Every step passes,
    /// fails or is skipped, and the evidence goes into one archive to attach to a report
    Windows(TrialWindows),
}

#[derive(Debug, Args)]
pub(crate) struct TrialWindows {
    /// A generalized image: a disk file (qcow2, raw, VHD, VMDK), an image of the store, or
    /// publisher:offer:sku:version of the catalogue; it stays unchanged
    pub(crate) image: String,
    /// The archive to write [default: goldsmith-trial-<time>.tar.gz in this folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Let Windows Update install what it finds, too; takes hours
    #[arg(long)]
    pub(crate) updates: bool,
    /// Boot the result with a TPM and Secure Boot, too
    #[arg(long)]
    pub(crate) trusted: bool,
    /// Memory in MiB
    #[arg(long, default_value_t = 4096)]
    pub(crate) memory: u64,
    /// Virtual CPUs
    #[arg(long, default_value_t = 2)]
    pub(crate) cpus: u32,
    /// Hyper-V generation of a disk file: 1 boots by BIOS, 2 by UEFI
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) generation: u8,
    /// How long a boot may take from power-on to the guest's first answer
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "40m")]
    pub(crate) boot_timeout: Duration,
}
