//! The options of `goldsmith serve`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::Database;
use crate::duration;

/// The default regions of a service.
const REGIONS: &str = "westus2,westus,westus3,eastus,eastus2,centralus,southcentralus,northeurope,\
                       westeurope,uksouth,southeastasia,australiaeast";

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address and port to listen on; port 0 chooses a free port
    #[arg(long, value_name = "ADDRESS:PORT", env = "GOLDSMITH_LISTEN")]
    #[arg(default_value = "127.0.0.1:8443")]
    pub(crate) listen: SocketAddr,
    /// Allow other machines to connect: permit a --listen address that is not loopback
    #[arg(long)]
    pub(crate) allow_remote: bool,
    #[command(flatten)]
    pub(crate) database: Database,
    /// A name or address under which clients connect to this server (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    #[command(flatten)]
    pub(crate) tls: Certificate,
    /// A region for resources (repeatable); the first is the default
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = REGIONS)]
    #[arg(hide_default_value = true)]
    pub(crate) region: Vec<String>,
    #[command(flatten)]
    pub(crate) run: ServedRuns,
    #[command(flatten)]
    pub(crate) triggers: Triggers,
    /// What executes the runs
    #[arg(long, value_enum, default_value = "qemu")]
    pub(crate) backend: BackendKind,
    /// How long to keep the logs of runs after their template is deleted
    #[arg(long, value_name = "TIME", env = "GOLDSMITH_LOG_RETENTION")]
    #[arg(value_parser = duration::parse, default_value = "30d")]
    pub(crate) log_retention: Duration,
    #[command(flatten)]
    pub(crate) activity: Activity,
    /// Free space to reserve on the disks of data and cache, in MiB; runs and downloads wait for it
    #[arg(long, value_name = "MIB", env = "GOLDSMITH_DISK_RESERVE_MIB", default_value_t = 1024)]
    pub(crate) disk_reserve_mib: u64,
    /// Lifetime of an access token; clients fetch a new one before it expires
    #[arg(long, value_name = "TIME", env = "GOLDSMITH_TOKEN_LIFETIME", value_parser = duration::token_lifetime)]
    #[arg(default_value = "60m")]
    pub(crate) token_lifetime: Duration,
    /// Lifetime of the lease on the database; once it expires without renewal, another service may
    /// take over
    #[arg(long, value_name = "TIME", env = "GOLDSMITH_LEASE", value_parser = duration::lease)]
    #[arg(default_value = "30s")]
    pub(crate) lease: Duration,
}

/// A certificate that the service did not create.
#[derive(Debug, Args)]
pub(crate) struct Certificate {
    /// A certificate chain (PEM) for all --host names, instead of one from the service's CA; reloaded when
    /// the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "GOLDSMITH_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "GOLDSMITH_TLS_KEY")]
    tls_key: Option<PathBuf>,
}

impl Certificate {
    pub(crate) fn files(self) -> Option<server::Given> {
        Some(server::Given { certificate: self.tls_cert?, key: self.tls_key? })
    }
}

/// Settings of all runs of a service.
#[derive(Debug, Args)]
pub(crate) struct ServedRuns {
    /// How long a guest may take from power-on to its first answer
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "20m")]
    pub(crate) boot_timeout: Duration,
    /// Size limit of the cache in GiB; the least recently used nodes are evicted above it
    #[arg(long, value_name = "GIB", env = "GOLDSMITH_CACHE_GIB", default_value_t = 40)]
    pub(crate) cache_gib: u64,
    /// Size limit of each log file of a run in MiB; further guest output is only counted
    #[arg(long, value_name = "MIB", env = "GOLDSMITH_LOG_MIB", default_value_t = 64)]
    pub(crate) log_mib: u64,
    /// How long to retain the machine of a failed run if the template's errorHandling requests it
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "60m")]
    pub(crate) keep_for: Duration,
    /// A host on loopback or in a private network from which scripts and files may be fetched, by the name or
    /// address in the templates (repeatable); other hosts there are blocked
    #[arg(long, value_name = "HOST", env = "GOLDSMITH_ALLOW_FETCH_FROM", value_delimiter = ',')]
    pub(crate) allow_fetch_from: Vec<String>,
    /// How many times to try to fetch a script or file before its template fails
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) fetch_attempts: u32,
}

/// Settings of the activity log.
#[derive(Debug, Args)]
pub(crate) struct Activity {
    /// Folder for the activity log in JSON lines [default: server/activity in the data folder]
    #[arg(long = "activity-dir", value_name = "DIR", env = "GOLDSMITH_ACTIVITY_DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// How long to keep the events of the activity log, in the database and in its files
    #[arg(long = "activity-retention", value_name = "TIME", env = "GOLDSMITH_ACTIVITY_RETENTION")]
    #[arg(value_parser = duration::parse, default_value = "90d")]
    pub(crate) retention: Duration,
}

/// Settings of triggers.
#[derive(Debug, Args)]
pub(crate) struct Triggers {
    /// Maximum time between two checks for new versions of the sources that triggers follow
    #[arg(long = "trigger-interval", value_name = "TIME", value_parser = duration::parse)]
    #[arg(default_value = "60s")]
    pub(crate) interval: Duration,
    /// Number of consecutive failed runs after which a trigger is deactivated
    #[arg(long = "trigger-failures", value_name = "N", default_value_t = 3)]
    pub(crate) failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendKind {
    /// QEMU virtual machines
    Qemu,
    /// No machines: only echo, exit and sleep in scripts are simulated
    Scripted,
}
