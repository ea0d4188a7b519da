//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use images::export::ExportSpec;

use crate::duration;

/// Forges golden VM images from Azure image templates, on real QEMU machines.
#[derive(Debug, Parser)]
#[command(name = "goldsmith", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Text for people, or one JSON object per line for machines
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) output: Format,
    /// Image store, user's catalogue and ledger [default: $XDG_DATA_HOME/goldsmith]
    #[arg(long, global = true, env = "GOLDSMITH_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Sources, nodes and artifacts; may be deleted [default: $XDG_CACHE_HOME/goldsmith]
    #[arg(long, global = true, env = "GOLDSMITH_CACHE_DIR", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// KVM if it works here, or one of the two by force
    #[arg(long, global = true, env = "GOLDSMITH_ACCEL", value_enum, default_value = "auto")]
    pub(crate) accel: Accel,
    /// Processor of KVM guests: the newest model that this host has, or all of the host's own (its nodes are made
    /// anew after each microcode or kernel update)
    #[arg(long, global = true, env = "GOLDSMITH_CPU", value_enum, default_value = "named")]
    pub(crate) cpu: Cpu,
    /// More of goldsmith's own log on standard error (twice: still more)
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
    /// Forge the image of a template
    Build(Build),
    /// Check a template and say every mistake in it
    Validate(Validate),
    /// Say what a build would do: cached or not and why, and how long it should take
    Plan(Plan),
    /// Enter a machine that a failed run left running
    Shell(Shell),
    /// Remember a goldsmith service and in whose name to speak to it
    Login(Login),
    /// Runs of a service's templates: start, follow, end them
    #[command(subcommand)]
    Run(Run),
    /// The image store: managed images and galleries
    #[command(subcommand)]
    Image(Image),
    /// The catalogue of source images
    #[command(subcommand)]
    Catalogue(Catalogue),
    /// Sources, nodes and artifacts that can be made again
    #[command(subcommand)]
    Cache(Cache),
    /// What runs hold on this machine, and letting go of it
    #[command(subcommand)]
    Ledger(Ledger),
    /// Say what this machine can do, and what mends what it cannot; list files that the service's database does not know
    Doctor(Database),
    /// Serve Azure clients: a control plane that az, the SDKs and Terraform can be pointed at
    Serve(Serve),
    /// Administer the service, whether it runs or not
    #[command(subcommand)]
    Admin(Admin),
}

/// Regions that a server has unless told otherwise.
const REGIONS: &str = "westus2,westus,westus3,eastus,eastus2,centralus,southcentralus,northeurope,\
                       westeurope,uksouth,southeastasia,australiaeast";

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address and port to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", env = "GOLDSMITH_LISTEN")]
    #[arg(default_value = "127.0.0.1:8443")]
    pub(crate) listen: SocketAddr,
    /// Let other machines reach it: allow --listen on an address that is not loopback
    #[arg(long)]
    pub(crate) allow_remote: bool,
    #[command(flatten)]
    pub(crate) database: Database,
    /// A name or address that clients use for this server (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    #[command(flatten)]
    pub(crate) tls: Certificate,
    /// A region that resources may be in (repeatable); the first is the default
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = REGIONS)]
    #[arg(hide_default_value = true)]
    pub(crate) region: Vec<String>,
    #[command(flatten)]
    pub(crate) run: ServedRuns,
    #[command(flatten)]
    pub(crate) triggers: Triggers,
    /// What runs are carried out on
    #[arg(long, value_enum, default_value = "qemu")]
    pub(crate) backend: BackendKind,
    /// How long the logs of runs are kept once their template is deleted
    #[arg(long, value_name = "TIME", env = "GOLDSMITH_LOG_RETENTION")]
    #[arg(value_parser = duration::parse, default_value = "30d")]
    pub(crate) log_retention: Duration,
    /// Space kept free on the disks of data and cache; runs and fetches wait while there is less
    #[arg(long, value_name = "MIB", env = "GOLDSMITH_DISK_RESERVE_MIB", default_value_t = 1024)]
    pub(crate) disk_reserve_mib: u64,
    /// How long an access token is good; clients fetch a new one before it expires
    #[arg(long, value_name = "TIME", env = "GOLDSMITH_TOKEN_LIFETIME", value_parser = token_lifetime)]
    #[arg(default_value = "60m")]
    pub(crate) token_lifetime: Duration,
    /// How long the database stays this service's when it does not renew its lease; another one may take
    /// it over afterwards
    #[arg(long, value_name = "TIME", env = "GOLDSMITH_LEASE", value_parser = lease)]
    #[arg(default_value = "30s")]
    pub(crate) lease: Duration,
}

/// Long enough to be renewed, short enough to be waited for.
fn lease(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    match time.as_secs() {
        3..=3600 => Ok(time),
        _ => Err(format!("{text:?} is not between 3s and 1h")),
    }
}

/// Between two seconds, the least that whole seconds can say, and a day.
fn token_lifetime(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    match time.as_secs() {
        2..=86_400 => Ok(time),
        _ => Err(format!("{text:?} is not between 2s and 24h")),
    }
}

/// A certificate of one's own.
#[derive(Debug, Args)]
pub(crate) struct Certificate {
    /// A certificate chain (PEM) for each --host, instead of one by the service's own CA; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "GOLDSMITH_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "GOLDSMITH_TLS_KEY")]
    tls_key: Option<PathBuf>,
}

impl Certificate {
    pub(crate) fn given(self) -> Option<server::Given> {
        Some(server::Given { certificate: self.tls_cert?, key: self.tls_key? })
    }
}

/// What every run of a service is given alike.
#[derive(Debug, Args)]
pub(crate) struct ServedRuns {
    /// How long a guest may take from power-on to its first answer
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "20m")]
    pub(crate) boot_timeout: Duration,
    /// Least recently used nodes go when the cache takes more
    #[arg(long, value_name = "GIB", env = "GOLDSMITH_CACHE_GIB", default_value_t = 40)]
    pub(crate) cache_gib: u64,
    /// How much of what a guest writes each log file of a run keeps, in MiB; the rest is counted
    #[arg(long, value_name = "MIB", env = "GOLDSMITH_LOG_MIB", default_value_t = 64)]
    pub(crate) log_mib: u64,
    /// How long a machine lives that a template's errorHandling keeps
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "60m")]
    pub(crate) keep_for: Duration,
    /// A host on loopback or in a private network that scripts and files of templates may be fetched
    /// from, by the name or address that they use for it (repeatable); others there are refused
    #[arg(long, value_name = "HOST", env = "GOLDSMITH_ALLOW_FETCH_FROM", value_delimiter = ',')]
    pub(crate) allow_fetch_from: Vec<String>,
    /// How often a script or file is tried before its template fails
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) fetch_attempts: u32,
}

/// How a service looks at triggers.
#[derive(Debug, Args)]
pub(crate) struct Triggers {
    /// How often at least to look for new versions of the sources that triggers follow
    #[arg(long = "trigger-interval", value_name = "TIME", value_parser = duration::parse)]
    #[arg(default_value = "60s")]
    pub(crate) interval: Duration,
    /// Deactivate a trigger after so many failed runs in a row
    #[arg(long = "trigger-failures", value_name = "N", default_value_t = 3)]
    pub(crate) failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendKind {
    /// Real machines
    Qemu,
    /// No machine: scripts are not run, only their echo, exit and `sleep forever` are played
    Scripted,
}

/// Where the service keeps what it knows.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME [default: SQLite in the data folder]
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
    /// Service principals: who may sign in
    #[command(subcommand)]
    Sp(ServicePrincipal),
    /// The key that tokens are signed with
    #[command(subcommand)]
    Key(Key),
    /// The certificate authority that clients trust
    #[command(subcommand)]
    Ca(Authority),
    /// Copy the database and the data folder as of one moment, beside a running server
    Backup {
        /// A new folder; on the file system of the data folder disks are linked and take no room
        #[arg(value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        database: Database,
    },
    /// Put a backup into an empty data folder and an empty database
    Restore {
        /// A backup; or a database alone, as server/before-upgrade has it
        #[arg(value_name = "DIR|FILE")]
        from: PathBuf,
        #[command(flatten)]
        database: Database,
    },
    /// Read all of a backup and compare it with its digests
    Verify {
        #[arg(value_name = "DIR")]
        backup: PathBuf,
    },
    /// Make a database and a data folder one installation that did not belong together
    Adopt {
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a new one; tokens of the one before stay good until they run out
    Rotate {
        /// End all tokens
        #[arg(long)]
        revoke: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Authority {
    /// Have a new one made; clients need the new ca.pem or ca-bundle.pem
    Renew,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServicePrincipal {
    /// Make one; its secret is printed once
    Create {
        /// For people
        name: String,
        #[command(flatten)]
        database: Database,
    },
    /// List them, the revoked ones too
    List {
        #[command(flatten)]
        database: Database,
    },
    /// Give one a new secret; the old one and its tokens end at once
    Rotate {
        /// Client id
        id: String,
        #[command(flatten)]
        database: Database,
    },
    /// Refuse one from now on, with all its tokens
    Revoke {
        /// Client id
        id: String,
        #[command(flatten)]
        database: Database,
    },
}

/// A template and how to read it.
#[derive(Debug, Args)]
pub(crate) struct Template {
    /// Azure image template (the resource body, as `az image builder create --image-template` takes it)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Read it as this API version [default: its own apiVersion, else the newest]
    #[arg(long, value_name = "VERSION")]
    pub(crate) api_version: Option<String>,
}

/// How old a cached step may be.
#[derive(Debug, Args)]
pub(crate) struct Freshness {
    /// Run every customizer afresh; the first boot is still reused
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Run customizers afresh whose result is older, for example 12h or 7d
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
    /// Replace files that --export finds in its place
    #[arg(long)]
    pub(crate) force: bool,
    /// What becomes of the machine when a step fails [default: what errorHandling of the template says]
    #[arg(long, value_enum)]
    pub(crate) on_error: Option<OnError>,
    /// How long a kept machine lives
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "2h")]
    pub(crate) keep_for: Duration,
    /// How long a guest may take from power-on to its first answer
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "20m")]
    pub(crate) boot_timeout: Duration,
    /// Least recently used nodes go when the cache takes more
    #[arg(long, value_name = "GIB", env = "GOLDSMITH_CACHE_GIB", default_value_t = 40)]
    pub(crate) cache_gib: u64,
    /// How much of what a guest writes each log file of a run keeps, in MiB; the rest is counted
    #[arg(long, value_name = "MIB", env = "GOLDSMITH_LOG_MIB", default_value_t = 64)]
    pub(crate) log_mib: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Remove it
    Cleanup,
    /// Leave it running, to be entered with `goldsmith shell`
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
    /// The run, or the beginning of its id [default: the newest kept one]
    pub(crate) run: Option<String>,
    /// Run this instead of a shell
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The service, as https://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: String,
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: String,
    #[arg(long, value_name = "SECRET", env = "GOLDSMITH_CLIENT_SECRET", hide_env_values = true)]
    pub(crate) client_secret: String,
    /// The authority that signed the service's certificate (PEM) [default: the public ones]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Which subscription, if there are several
    #[arg(long, value_name = "ID")]
    pub(crate) subscription: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// Run a template, and follow the run
    Start {
        /// GROUP/TEMPLATE, or the template's resource id
        template: String,
        /// Come back at once
        #[arg(long)]
        no_watch: bool,
    },
    /// Follow a run from its beginning to its end
    Watch(RunOf),
    /// The customization log of a run; by the run's id alone also when its template is gone
    Logs {
        #[command(flatten)]
        of: RunOf,
        /// The log of its validators instead
        #[arg(long)]
        validation: bool,
    },
    /// The runs of a template, newest first
    Ls {
        /// GROUP/TEMPLATE, or the template's resource id
        template: String,
    },
    /// When the template is run by itself, as its tag `goldsmith.schedule` says
    Schedule {
        /// GROUP/TEMPLATE, or the template's resource id
        template: String,
    },
    /// End the run that is going on
    Cancel {
        /// GROUP/TEMPLATE, or the template's resource id
        template: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunOf {
    /// GROUP/TEMPLATE, or the template's resource id; for logs a run's id will do
    pub(crate) template: String,
    /// The run's id [default: the newest]
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// List managed images and gallery versions
    Ls,
    /// All that is known of one
    Show {
        /// Resource id, or a short name as `image ls` prints it
        id: String,
    },
    /// Take a disk image of your own into the store: qcow2, raw, VHD or VMDK
    Import {
        /// Name of the managed image to make, or the id of a gallery version
        name: String,
        /// The disk image; one with a backing file is refused
        file: PathBuf,
        /// Hyper-V generation: 1 boots by BIOS, 2 by UEFI
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
        generation: u8,
    },
    /// Write an image to files
    Export {
        id: String,
        /// qcow2=PATH, raw=PATH, vhd=PATH or vmdk=PATH (repeatable)
        #[arg(long, value_name = "FORMAT=PATH", required = true)]
        export: Vec<ExportSpec>,
        /// Replace files in its place
        #[arg(long)]
        force: bool,
    },
    /// Remove an image for good, with its copies in regions
    Rm { id: String },
    /// Copy a gallery version to regions that have a place in goldsmith.toml
    Replicate {
        /// Resource id, or a short name as `image ls` prints it
        id: String,
        /// Names of regions
        #[arg(value_name = "REGION", required = true)]
        regions: Vec<String>,
    },
    /// Bring a gallery version back from a region
    Pull {
        /// Resource id; `latest` for the version is fine
        id: String,
        /// From this one [default: the first that has it]
        #[arg(long, value_name = "NAME")]
        region: Option<String>,
    },
    /// Start a throw-away machine from an image or a disk file, until Ctrl-C
    Boot(Boot),
    /// Digest of a raw disk or fixed VHD, as `sparseSha256` in records and results
    Digest {
        /// A file of this machine
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Boot {
    /// An image of the store, or a disk file (qcow2, raw, VHD, VMDK); it is not changed
    pub(crate) image: String,
    /// Lead a loopback port to a port of the guest: HOST:GUEST (host port 0: any free one)
    #[arg(long, value_name = "HOST:GUEST", value_parser = parse_publish)]
    pub(crate) publish: Vec<(u16, u16)>,
    /// Memory in MiB
    #[arg(long, default_value_t = 2048)]
    pub(crate) memory: u64,
    /// Virtual CPUs
    #[arg(long, default_value_t = 2)]
    pub(crate) cpus: u32,
    /// Generation of a disk file: 1 boots by BIOS, 2 by UEFI
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) generation: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Catalogue {
    /// List the images that PlatformImage sources can name
    Ls,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// What is cached and how much it takes
    Ls,
    /// Remove what was used least recently
    Prune {
        /// Until the cache takes at most this many GiB [default: 0, all but sources]
        #[arg(long, value_name = "GIB", default_value_t = 0)]
        max_gib: u64,
        /// Source images too
        #[arg(long)]
        all: bool,
    },
    /// Read everything, also stored images and VHDs, and remove from the cache what is damaged
    Verify {
        /// Read at most this many MiB a second [default: as fast as the disk]
        #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
        rate: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// What is held, by run
    Ls,
    /// End a kept machine before its time
    Release {
        /// The run, or the beginning of its id
        run: String,
    },
}

/// `HOST:GUEST`, also with the address that it can only be: `127.0.0.1:HOST:GUEST`.
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
