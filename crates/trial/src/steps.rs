//! The steps of a trial: what each proves, and what it needs.

use std::{collections::BTreeMap, time::Duration};

use images::error::Result;
use serde_json::Value;

use crate::{Trial, bed::Bed};

mod boot;
mod disks;
mod end;
mod restarts;
mod scripts;
mod upload;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What a step has measured and seen.
pub(crate) type Facts = BTreeMap<String, Value>;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Start,
    Medium,
    Answers,
    Guest,
    Upload,
    LargeFile,
    ExitCodes,
    Text,
    JobUser,
    JobSystem,
    JobRestart,
    Restart,
    Network,
    Resume,
    ColdBoot,
    UpdateSearch,
    Updates,
    Generalize,
    Fork,
    Trusted,
}

use Step::{
    Answers, ColdBoot, ExitCodes, Fork, Generalize, Guest, JobRestart, JobSystem, JobUser,
    LargeFile, Medium, Network, Restart, Resume, Start, Text, Trusted, UpdateSearch, Updates,
    Upload,
};

impl Step {
    /// In the order of their execution: the machine's end comes last.
    pub(crate) const ALL: [Self; 20] = [
        Start,
        Medium,
        Answers,
        Guest,
        Upload,
        LargeFile,
        ExitCodes,
        Text,
        JobUser,
        JobSystem,
        JobRestart,
        Restart,
        Network,
        Resume,
        ColdBoot,
        UpdateSearch,
        Updates,
        Generalize,
        Fork,
        Trusted,
    ];

    /// Stable: reports are compared by it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Start => "start",
            Medium => "medium",
            Answers => "answers",
            Guest => "guest",
            Upload => "upload",
            LargeFile => "large-file",
            ExitCodes => "exit-codes",
            Text => "text",
            JobUser => "job-user",
            JobSystem => "job-system",
            JobRestart => "job-restart",
            Restart => "restart",
            Network => "network",
            Resume => "resume",
            ColdBoot => "cold-boot",
            UpdateSearch => "update-search",
            Updates => "updates",
            Generalize => "generalize",
            Fork => "fork",
            Trusted => "trusted",
        }
    }

    pub(crate) fn proves(self) -> &'static str {
        match self {
            Start => "QEMU starts the image on the hardware for Windows",
            Medium => {
                "Setup finds the answer file on the CD, and its script writes to the serial port"
            }
            Answers => {
                "the guest answers at its port with the certificate that the console announced"
            }
            Guest => "a script tells what this Windows is",
            Upload => "8 MB arrive whole through the standard input of PowerShell, and how fast",
            LargeFile => {
                "64 MB arrive whole on a CD that is put in while Windows runs, and how fast"
            }
            ExitCodes => "all 32 bits of an exit code arrive: 0, 7, 0x80070005, -1",
            Text => "text beyond ASCII arrives as it was, and errors arrive as text",
            JobUser => "an elevated script runs as the build user, with all rights",
            JobSystem => "a script runs as SYSTEM",
            JobRestart => {
                "a job that restarts Windows is found to have done so, and the guest comes back"
            }
            Restart => "a restart is found by its three signs",
            Network => {
                "the network card is the one of the hardware for Windows, with Windows' own driver"
            }
            Resume => "a machine resumed from its RAM is the same, with the right time",
            ColdBoot => "what was written before a seal is on the sealed disk",
            UpdateSearch => "a search of Windows Update works as SYSTEM",
            Updates => "Windows Update installs, restarts and comes to an end",
            Generalize => "Sysprep generalizes, the traces go, and the machine powers off",
            Fork => "the generalized image boots as a new machine",
            Trusted => "the image boots with a TPM and Secure Boot",
        }
    }

    /// The steps that must have passed.
    pub(crate) fn needs(self) -> &'static [Self] {
        match self {
            Start => &[],
            Medium => &[Start],
            Answers => &[Medium],
            Guest | Upload | LargeFile | ExitCodes | Text | JobUser | JobSystem | Restart
            | Network | Resume | ColdBoot => &[Answers],
            JobRestart | UpdateSearch => &[JobSystem],
            Updates => &[UpdateSearch],
            Generalize => &[JobSystem],
            Fork | Trusted => &[Generalize],
        }
    }

    /// Why the step is not carried out, if its user did not ask for it.
    pub(crate) fn not_asked_for(self, trial: &Trial) -> Option<&'static str> {
        match self {
            Updates if !trial.updates => Some("only with --updates: it takes hours"),
            Trusted if !trial.trusted => {
                Some("only with --trusted: it needs swtpm and OVMF's keys")
            }
            Trusted if !trial.is_uefi => Some("Secure Boot needs generation 2"),
            _ => None,
        }
    }

    /// The end of waiting for it.
    pub(crate) fn limit(self, trial: &Trial) -> Duration {
        let boot = trial.boot_timeout;
        match self {
            // An image of the catalogue may have to be installed first.
            Start => 12 * HOUR,
            Medium => boot,
            Answers => boot * 2,
            Guest | Upload | LargeFile | ExitCodes | Text | JobUser | JobSystem | Network => {
                boot * 2 + 20 * MINUTE
            }
            JobRestart | Restart | Resume | ColdBoot | Fork | Trusted => boot * 3 + 20 * MINUTE,
            UpdateSearch | Generalize => boot * 2 + 2 * HOUR,
            Updates => boot * 2 + 12 * HOUR,
        }
    }

    /// Carries it out.
    pub(crate) async fn perform(self, bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
        match self {
            Start => boot::start(bed, facts).await,
            Medium => boot::medium(bed, facts).await,
            Answers => boot::answers(bed, facts).await,
            Guest => scripts::guest(bed, facts).await,
            Upload => upload::upload(bed, facts).await,
            LargeFile => upload::large(bed, facts).await,
            ExitCodes => scripts::exit_codes(bed, facts).await,
            Text => scripts::text(bed, facts).await,
            JobUser => scripts::job(bed, facts, false).await,
            JobSystem => scripts::job(bed, facts, true).await,
            JobRestart => restarts::job_restart(bed, facts).await,
            Restart => restarts::restart(bed, facts).await,
            Network => scripts::network(bed, facts).await,
            Resume => disks::resume(bed, facts).await,
            ColdBoot => disks::cold_boot(bed, facts).await,
            UpdateSearch => restarts::updates(bed, facts, true).await,
            Updates => restarts::updates(bed, facts, false).await,
            Generalize => end::generalize(bed, facts).await,
            Fork => end::fork(bed, facts, false).await,
            Trusted => end::fork(bed, facts, true).await,
        }
    }
}
