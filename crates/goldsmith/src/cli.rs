//! The command line.

mod admin;
mod deployment;
mod serve;
mod subscription;
mod trial;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use images::export::ExportSpec;

pub(crate) use self::{
    admin::{Certificate, Federated, Issuer, Secret, ServicePrincipal},
    deployment::{Deployment, DeploymentTemplate, Eval, Render},
    serve::{BackendKind, Serve, ServedRuns},
    subscription::{Subscription, Switch},
    trial::{Trial, TrialWindows},
};
use crate::duration;

/// Build golden VM images from Azure image templates in QEMU virtual machines.
#[derive(Debug, Parser)]
#[command(name = "goldsmith", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Output format: text for people, or one JSON object per line for programs
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) output: Format,
    /// Folder of the image store, your catalogue and the ledger [default: $XDG_DATA_HOME/goldsmith]
    #[arg(long, global = true, env = "GOLDSMITH_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Folder of sources, nodes and artifacts; safe to delete [default: $XDG_CACHE_HOME/goldsmith]
    #[arg(long, global = true, env = "GOLDSMITH_CACHE_DIR", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// How to run guests: auto uses KVM if it works, otherwise software emulation (tcg)
    #[arg(long, global = true, env = "GOLDSMITH_ACCEL", value_enum, default_value = "auto")]
    pub(crate) accel: Accel,
    /// CPU of KVM guests: the newest named model that this host supports, or the host's full CPU
    /// (cached nodes then become invalid with each microcode or kernel update)
    #[arg(long, global = true, env = "GOLDSMITH_CPU", value_enum, default_value = "named")]
    pub(crate) cpu: Cpu,
    /// Log more to standard error (-vv for debug messages)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accel {
    Auto,
    Kvm,
    Tcg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cpu {
    Named,
    Host,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build the image of a template
    Build(Build),
    /// Check a template and report all its mistakes
    Validate(Validate),
    /// Show what a build would do: which steps are cached, which would run and why, and how long they take
    Plan(Plan),
    /// Log in to a retained machine of a failed run
    Shell(Shell),
    /// Try what deployment files contain: expressions, resources, outputs
    #[command(subcommand)]
    Template(DeploymentTemplate),
    /// Log in to a goldsmith service and store the credentials
    Login(Login),
    /// Run az against the service of `goldsmith login`, apart from your own log-in of az
    #[command(disable_help_flag = true)]
    Az(Az),
    /// Start, follow and cancel runs of a service's templates
    #[command(subcommand)]
    Run(Run),
    /// Manage the image store: managed images and galleries
    #[command(subcommand)]
    Image(Image),
    /// Show the catalogue of source images
    #[command(subcommand)]
    Catalogue(Catalogue),
    /// Manage the cache: sources, nodes and artifacts, which goldsmith can rebuild
    #[command(subcommand)]
    Cache(Cache),
    /// Try an image of yours, and collect the evidence for a report
    #[command(subcommand)]
    Trial(Trial),
    /// Show and release resources that runs hold on this host
    #[command(subcommand)]
    Ledger(Ledger),
    /// Check this host and show how to fix problems; list files that the service's database does not know
    Doctor(Database),
    /// Run the service: a control plane for Azure clients such as az, the SDKs and Terraform
    Serve(Serve),
    /// Administer the service, running or not
    #[command(subcommand)]
    Admin(Admin),
}

/// The database of the service.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// Database of the service: sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME [default: SQLite in the data folder]
    #[arg(
        long = "database",
        value_name = "URL",
        env = "GOLDSMITH_DATABASE",
        hide_env_values = true
    )]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Manage service principals, with which clients log in
    #[command(subcommand)]
    Sp(ServicePrincipal),
    /// Grant and revoke roles, also when nobody can log in any more
    #[command(subcommand)]
    Role(Role),
    /// Manage the subscriptions of the installation
    #[command(subcommand)]
    Subscription(Subscription),
    /// Manage the issuers whose tokens federated credentials accept
    #[command(subcommand)]
    Issuer(Issuer),
    /// Manage the key that signs tokens
    #[command(subcommand)]
    Key(Key),
    /// Manage the certificate authority that clients trust
    #[command(subcommand)]
    Ca(Authority),
    /// Copy the database and the data folder at one point in time, also while the service runs
    Backup {
        /// A new folder; disks are linked and take no space if it is on the data folder's file system
        #[arg(value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        database: Database,
    },
    /// Restore a backup into an empty data folder and an empty database
    Restore {
        /// A backup, or only a database such as those in server/before-upgrade
        #[arg(value_name = "DIR|FILE")]
        from: PathBuf,
        #[command(flatten)]
        database: Database,
    },
    /// Read a whole backup and compare it with its digests
    Verify {
        /// The backup folder
        #[arg(value_name = "DIR")]
        backup: PathBuf,
    },
    /// Join a database and a data folder of different installations into one
    Adopt {
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Grant a role; nothing happens if the principal has it
    Grant {
        #[command(flatten)]
        given: GivenRole,
        #[command(flatten)]
        database: Database,
    },
    /// List role assignments
    List {
        /// Only of this service principal (name, client id or object id) or managed identity (resource id)
        #[arg(value_name = "PRINCIPAL")]
        principal: Option<String>,
        #[command(flatten)]
        database: Database,
    },
    /// Revoke a role
    Revoke {
        #[command(flatten)]
        given: GivenRole,
        /// Revoke even the last Owner of everything
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        database: Database,
    },
}

/// A role of a principal at a scope.
#[derive(Debug, Args)]
pub(crate) struct GivenRole {
    /// A service principal (name, client id or object id) or a managed identity (resource id)
    #[arg(value_name = "PRINCIPAL")]
    pub(crate) principal: String,
    /// Name or id of the role, such as Owner, Contributor, Reader or a custom one
    #[arg(value_name = "ROLE")]
    pub(crate) role: String,
    /// Id of a subscription, resource group or resource; / for everything
    #[arg(long, value_name = "SCOPE", default_value = "/")]
    pub(crate) scope: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Create a new key; tokens of the previous key stay valid until they expire
    Rotate {
        /// Revoke all tokens
        #[arg(long)]
        revoke: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Authority {
    /// Create a new CA; clients need the new ca.pem or ca-bundle.pem
    Renew,
}

/// An image template and how to read it.
#[derive(Debug, Args)]
pub(crate) struct Template {
    /// Azure image template: the resource body, as in `az image builder create --image-template`; or a
    /// deployment file with an image template in it: an ARM template (JSON), or Bicep
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Name of the image template in a deployment file that has several
    #[arg(long = "template", value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) deployment: Deployment,
    /// API version of the template [default: its apiVersion field, or the newest]
    #[arg(long, value_name = "VERSION")]
    pub(crate) api_version: Option<String>,
    /// Let cloud-init run in the build machine first, for scripts that rely on it; the same as the
    /// tag goldsmith.cloudInit
    #[arg(long)]
    pub(crate) cloud_init: bool,
}

/// Limits on the reuse of cached steps.
#[derive(Debug, Args)]
pub(crate) struct Freshness {
    /// Run all customizers again; the first boot is still reused
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Run customizers again whose cached result is older, for example 12h or 7d
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) max_age: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    #[command(flatten)]
    pub(crate) template: Template,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
    /// Also write the image to a file: qcow2=PATH, raw=PATH, vhd=PATH or vmdk=PATH (repeatable)
    #[arg(long, value_name = "FORMAT=PATH")]
    pub(crate) export: Vec<ExportSpec>,
    /// Let --export overwrite existing files
    #[arg(long)]
    pub(crate) force: bool,
    /// Print a waterfall of the run to standard error: steps, waits and transfers. With a file, also write
    /// them as a trace for chrome://tracing or ui.perfetto.dev
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "clap's type for an option with an optional value")]
    pub(crate) timings: Option<Option<PathBuf>>,
    /// What to do with the machine when a step fails [default: the template's errorHandling]
    #[arg(long, value_enum)]
    pub(crate) on_error: Option<OnError>,
    /// How long to retain the machine of a failed step
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "2h")]
    pub(crate) keep_for: Duration,
    /// How long a guest may take from power-on to its first answer
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "20m")]
    pub(crate) boot_timeout: Duration,
    /// Size limit of the cache in GiB; the least recently used nodes are evicted above it
    #[arg(long, value_name = "GIB", env = "GOLDSMITH_CACHE_GIB", default_value_t = 40)]
    pub(crate) cache_gib: u64,
    /// Size limit of each log file of a run in MiB; further guest output is only counted
    #[arg(long, value_name = "MIB", env = "GOLDSMITH_LOG_MIB", default_value_t = 64)]
    pub(crate) log_mib: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Remove the machine
    Cleanup,
    /// Retain the machine; log in with `goldsmith shell`
    Keep,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) template: Template,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) template: Template,
    #[command(flatten)]
    pub(crate) freshness: Freshness,
}

#[derive(Debug, Args)]
pub(crate) struct Shell {
    /// Id of the run, or a prefix of it [default: the run of the newest retained machine]
    pub(crate) run: Option<String>,
    /// Command to run instead of a shell
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Address of the service, https://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// Tenant id of the service
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: String,
    /// Client id of the service principal
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: String,
    /// Secret of the service principal
    #[arg(long, value_name = "SECRET", env = "GOLDSMITH_CLIENT_SECRET", hide_env_values = true)]
    pub(crate) client_secret: String,
    /// Certificate authority of the service (PEM) [default: the public authorities]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The subscription to use, if there are several
    #[arg(long, value_name = "ID")]
    pub(crate) subscription: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Az {
    /// Command and options of az, for example `group list`
    #[arg(value_name = "WORDS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// Start a run of a template and follow it
    Start {
        /// GROUP/TEMPLATE, or the template's resource id
        template: String,
        /// Return immediately instead of following the run
        #[arg(long)]
        no_watch: bool,
    },
    /// Follow a run from its beginning until it ends
    Watch(RunOf),
    /// Print the customization log of a run; works with only the run's id after the template is deleted
    Logs {
        #[command(flatten)]
        of: RunOf,
        /// Print the validation log instead
        #[arg(long)]
        validation: bool,
    },
    /// List the runs of a template, newest first
    Ls {
        /// GROUP/TEMPLATE, or the template's resource id
        template: String,
    },
    /// Show the template's schedule, which its tag `goldsmith.schedule` defines
    Schedule {
        /// GROUP/TEMPLATE, or the template's resource id
        template: String,
    },
    /// Cancel the active run of a template
    Cancel {
        /// GROUP/TEMPLATE, or the template's resource id
        template: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunOf {
    /// GROUP/TEMPLATE, or the template's resource id; `logs` also accepts a run's id
    pub(crate) template: String,
    /// The run's id [default: the newest run]
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// List managed images and gallery versions
    Ls,
    /// Show all data of an image
    Show {
        /// Resource id, or a short name as `image ls` prints it
        id: String,
    },
    /// Import a disk image into the store: qcow2, raw, VHD or VMDK
    Import {
        /// Name of the new managed image, or id of a new gallery version
        name: String,
        /// The disk image; it must not have a backing file
        file: PathBuf,
        /// Hyper-V generation: 1 boots by BIOS, 2 by UEFI
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
        generation: u8,
        #[command(flatten)]
        system: System,
    },
    /// Write an image to files
    Export {
        /// Resource id, or a short name as `image ls` prints it
        id: String,
        /// qcow2=PATH, raw=PATH, vhd=PATH or vmdk=PATH (repeatable)
        #[arg(long, value_name = "FORMAT=PATH", required = true)]
        export: Vec<ExportSpec>,
        /// Overwrite existing files
        #[arg(long)]
        force: bool,
    },
    /// Delete an image permanently, with its copies in regions
    Rm {
        /// Resource id, or a short name as `image ls` prints it
        id: String,
    },
    /// Copy a gallery version to regions that goldsmith.toml defines
    Replicate {
        /// Resource id, or a short name as `image ls` prints it
        id: String,
        /// Names of regions
        #[arg(value_name = "REGION", required = true)]
        regions: Vec<String>,
    },
    /// Copy a gallery version back from a region
    Pull {
        /// Resource id; the version may be `latest`
        id: String,
        /// The region to copy from [default: the first that has the version]
        #[arg(long, value_name = "NAME")]
        region: Option<String>,
    },
    /// Boot a temporary machine from an image or a disk file, until Ctrl-C
    Boot(Boot),
    /// Compute the digest of a raw disk or fixed VHD that records and results call `sparseSha256`
    Digest {
        /// The disk file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Boot {
    /// An image of the store, or a disk file (qcow2, raw, VHD, VMDK); it stays unchanged
    pub(crate) image: String,
    /// Forward a loopback port to a port of the guest: HOST:GUEST (host port 0: any free port)
    #[arg(long, value_name = "HOST:GUEST", value_parser = parse_publish)]
    pub(crate) publish: Vec<(u16, u16)>,
    /// Memory in MiB
    #[arg(long, default_value_t = 2048)]
    pub(crate) memory: u64,
    /// Virtual CPUs
    #[arg(long, default_value_t = 2)]
    pub(crate) cpus: u32,
    /// Hyper-V generation of a disk file: 1 boots by BIOS, 2 by UEFI
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) generation: u8,
    /// System of a disk file, for which the virtual hardware is chosen
    #[arg(long, value_enum, default_value = "linux", ignore_case = true)]
    pub(crate) os: Os,
}

/// A system of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Os {
    Linux,
    Windows,
}

impl From<Os> for vm::OsType {
    fn from(os: Os) -> Self {
        match os {
            Os::Linux => Self::Linux,
            Os::Windows => Self::Windows,
        }
    }
}

/// The system of an image, and how goldsmith gets into its machines.
#[derive(Debug, Args)]
pub(crate) struct System {
    /// System of the image
    #[arg(long, value_enum, default_value = "linux", ignore_case = true)]
    pub(crate) os: Os,
    /// How goldsmith gets in. Linux: cloud-init (default) or credentials; Windows: unattend
    /// (default, after Sysprep), cloudbase-init, or specialized with a login
    #[arg(long, value_name = "WAY")]
    pub(crate) first_contact: Option<String>,
    /// Login of a specialized image: a file whose first line is `user:password`, with mode 0600
    #[arg(long, value_name = "FILE")]
    pub(crate) login: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Catalogue {
    /// List the images that PlatformImage sources can refer to
    Ls,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// List the content of the cache with its size
    Ls,
    /// Evict what was used least recently
    Prune {
        /// Evict until the cache takes at most this many GiB [default: 0, everything except sources]
        #[arg(long, value_name = "GIB", default_value_t = 0)]
        max_gib: u64,
        /// Evict source images too
        #[arg(long)]
        all: bool,
    },
    /// Read the cache, stored images and VHDs, and evict damaged parts of the cache
    Verify {
        /// Read at most this many MiB per second [default: unlimited]
        #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
        rate: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// List resources by run
    Ls,
    /// End a retained machine now
    Release {
        /// Id of the run, or a prefix of it
        run: String,
    },
}

/// Parses `HOST:GUEST`, or `127.0.0.1:HOST:GUEST`, since no other address is possible.
fn parse_publish(text: &str) -> Result<(u16, u16), String> {
    let ports = text.strip_prefix("127.0.0.1:").unwrap_or(text);
    let parsed = ports
        .split_once(':')
        .and_then(|(host, guest)| Some((host.parse().ok()?, guest.parse().ok()?)));
    parsed.filter(|(_, guest)| *guest != 0).ok_or_else(|| {
        format!(
            "{text:?} is not HOST:GUEST with two port numbers, for example 8080:80; \
             the host's side is always on 127.0.0.1"
        )
    })
}
