//! Starts the service from its options, and stops it.
//!
//! ```text
//! folder, lock → database and ids, certificate, lease → key → address → App → administrator → workers → listener
//! ```

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use api::ErrorCode;
use axum_server::tls_rustls::RustlsConfig;
use db::Store;
use engine::{Backend, Host, may_wait};
use images::{
    clock::Reading,
    config::Config,
    error::{Coded, Error, Result},
    files,
    layout::Layout,
    lock::Lock,
};
use providers::{image_builder, replication, resource_group};
use runs::{
    retention::{self, Trust},
    trigger,
    worker::{self, Limits, Local},
};
use service::{
    App, Settings, activity as activity_log,
    auth::{
        Auth, SigningKey,
        principal::{self, Credentials},
    },
    names,
    roles::{self, Began, Upgraded},
    server_folder::{LOCK, cannot_open, database_url, dir, lock},
    subscriptions, tasks,
};
use sources::fetch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    activity, http, installation,
    lease::Lease,
    limits,
    listener::{self, GRACE},
    renewal::Renewal,
    routes,
    tls::{Given, Names, Tls},
};

/// The service principal that the first start creates.
const ADMINISTRATOR: &str = "administrator";

/// The options of the command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folders for cache and data.
    pub layout: Layout,
    /// The address to listen on. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// Whether other machines may reach `listen`.
    pub allow_remote: bool,
    /// The URL of the database. Default: SQLite in the server's folder.
    pub database: Option<String>,
    /// Further names of this server, beside those of the loopback interface.
    pub hosts: Vec<String>,
    /// A certificate to use instead of one from the service's own CA.
    pub tls: Option<Given>,
    /// The regions; the first is the default.
    pub regions: Vec<String>,
    /// The limits for fetching scripts and files of templates.
    pub fetch: fetch::Limits,
    /// The machines for runs.
    pub machines: Machines,
    /// How long to keep logs of runs after the deletion of their template.
    pub log_retention: Duration,
    /// The options of the activity log.
    pub activity: activity::Options,
    /// The options of triggers and schedules.
    pub triggers: trigger::Options,
    /// The reserve of free bytes on the file systems of data and cache. Below it, runs and fetches wait.
    pub disk_reserve: u64,
    /// The lifetime of tokens of service principals.
    pub token_lifetime: Duration,
    /// The duration of the lease on the database.
    pub lease: Duration,
}

/// The machines for runs.
#[derive(Clone)]
pub struct Machines {
    /// The host.
    pub host: Host,
    /// Starts the build machines.
    pub backend: Arc<dyn Backend>,
    /// The limits of each run.
    pub limits: Limits,
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A running service.
#[derive(Debug)]
pub struct Running {
    /// The address of the listener.
    pub listen: SocketAddr,
    /// `https://host:port` for clients on this machine.
    pub url: String,
    /// The tenant's id.
    pub tenant: String,
    /// The subscription's id.
    pub subscription: String,
    /// The CA's certificate.
    pub ca: PathBuf,
    /// The file for `REQUESTS_CA_BUNDLE`.
    pub ca_bundle: PathBuf,
    /// The administrator, only at the first start, because the secret is not stored.
    pub administrator: Option<Credentials>,
    /// What principals received, only at the first start that enforces roles.
    pub upgraded: Option<Upgraded>,
    serving: JoinHandle<io::Result<()>>,
    worker: JoinHandle<()>,
    app: App,
    lease: Lease,
    /// Stops renewing the lease, which is then released.
    done: CancellationToken,
    renewing: JoinHandle<()>,
    _lock: Lock,
}

impl Running {
    /// Waits for the end of the service.
    ///
    /// # Errors
    /// The listener failed, or another service has taken over the database.
    pub async fn ended(self) -> Result<()> {
        let ended = self.serving.await.map_err(io::Error::other).and_then(|result| result);
        // The runs release their machines, and the next start resumes them.
        let _ = self.worker.await;
        tasks::finish(&self.app, GRACE).await;
        self.done.cancel();
        let _ = self.renewing.await;
        if self.lease.lost().is_cancelled() {
            return Err(self.lease.taken_over().await);
        }
        ended.code(ErrorCode::InternalError, || "the listener failed".to_owned())
    }
}

/// Starts the service. It runs until `shutdown` is cancelled.
///
/// # Errors
/// An option is invalid, another server uses the folder, or a prerequisite is missing.
pub async fn start(options: Options, shutdown: CancellationToken) -> Result<Running> {
    check(&options)?;
    let config = Config::load(&options.layout)?;
    let budgets = budgets(&config)?;
    let regions = regions(&options, config);
    let dir = dir(&options.layout);
    files::make_dir(&dir)
        .code(ErrorCode::HostNotReady, || format!("cannot make {}", dir.display()))?;
    let lock = lock(&dir)?;
    let database = database_url(&options.layout, options.database.as_deref());
    let (store, identity) = installation::open(&options.layout, &database).await?;
    let names = names(&options);
    let tls = may_wait(|| Tls::obtain(&dir, &names, options.tls.as_ref()))?;
    let lease = Lease::take(&store, options.layout.data(), &dir.join(LOCK), options.lease).await?;
    let done = CancellationToken::new();
    let renewing = lease.keep(done.clone());
    let key = SigningKey::obtain(&dir)?;
    let listener = listener::bind(options.listen)?;
    let listen = listener
        .local_addr()
        .code(ErrorCode::HostNotReady, || "the listener has no address".to_owned())?;
    let settings = Settings {
        layout: options.layout,
        dir,
        regions,
        tenant: identity.tenant.to_string(),
        subscription: identity.subscription.to_string(),
    };
    let auth = Auth::new(key, settings.tenant.clone(), store.clone())
        .with_lifetime(options.token_lifetime)
        .with_fetch_limits(fetch::Limits { attempts: 1, ..options.fetch.clone() });
    let app = App::new(settings.clone(), store, shutdown.clone());
    app.set_fetch_limits(options.fetch);
    app.set_ownership(Arc::new(lease.clone()));
    stop_when_lost(lease.clone(), shutdown.clone());
    app.set_disk_reserve(options.disk_reserve);
    app.set_host(options.machines.host.clone());
    app.set_quotas(budgets.settings.quota.clone());
    let metrics = http::install_metrics()?;
    let newest = app.store().newest_time().await.map_err(cannot_open)?;
    let trust = Trust::new(newest, options.log_retention, Reading::now());
    subscriptions::begin(app.store(), app.subscription()).await?;
    // Late, because the secret would be lost if a later step failed.
    let recorded = activity_log::by_service(app.store());
    let began = roles::begin(&recorded, app.subscription()).await?;
    let administrator = administrator(&recorded, began == Began::New).await?;
    let url = url(listen, &options.hosts);
    app.set_base_url(url.clone());
    let worker = workers(&app, options.machines).await?;
    let sweeping = retention::keep_sweeping(app.clone(), options.log_retention, trust);
    tasks::spawn(&app, "retention", sweeping);
    tasks::spawn(&app, "installation", installation::copy_marks(app.clone()));
    activity::spawn(&app, &options.activity, newest);
    trigger::start(&app, options.triggers);
    let own = url.trim_start_matches("https://").to_owned();
    let site = http::Site::new(app.clone(), auth, names.all.clone(), own, metrics, budgets);
    let rustls = RustlsConfig::from_config(tls.config.clone());
    let renewal = Renewal { dir: settings.dir, names, given: options.tls, site: site.clone() };
    tokio::spawn(renewal.run(rustls.clone(), shutdown.clone()));
    let serving = listener::serve(site, listener, rustls, shutdown)?;
    Ok(Running {
        listen,
        url,
        tenant: settings.tenant,
        subscription: settings.subscription,
        ca: tls.ca,
        ca_bundle: tls.bundle,
        administrator,
        upgraded: match began {
            Began::Upgraded(upgraded) if !upgraded.owners.is_empty() => Some(upgraded),
            _ => None,
        },
        serving,
        worker,
        app,
        lease,
        done,
        renewing,
        _lock: lock,
    })
}

/// The database, for commands beside a running server. Their changes are in the activity log.
///
/// # Errors
/// The database cannot be opened, or belongs to another data folder.
pub async fn open_store(layout: &Layout, url: Option<&str>) -> Result<Store> {
    check_database(url.unwrap_or_default())?;
    let store = installation::open_for_command(layout, &database_url(layout, url)).await?;
    Ok(activity_log::by_command(&store))
}

/// Rejects the URL of a database on another machine without a TLS mode.
fn check_database(url: &str) -> Result<()> {
    db::check_transport(url).map_err(|error| {
        Error::new(ErrorCode::InvalidArgument, error.to_string())
            .target("--database")
            .hint(db::Unprotected::HINT)
    })
}

/// Before the first request, resumes the operations of an earlier process and starts the worker, which
/// recovers its runs. All stop when [`App::shutdown`] is cancelled.
async fn workers(app: &App, machines: Machines) -> Result<JoinHandle<()>> {
    let unreadable = || Error::new(ErrorCode::HostNotReady, "the database cannot be read");
    resume_all(app).await.map_err(|error| unreadable().caused_by(error))?;
    replication::resume(app).await.map_err(|error| unreadable().caused_by(error))?;
    let executor = Local::new(app, machines.host, machines.backend, machines.limits);
    Ok(worker::start(app.clone(), Arc::new(executor)))
}

/// Resumes every unfinished operation of an earlier process in the background, except runs, which the
/// worker recovers.
async fn resume_all(app: &App) -> Result<(), db::Error> {
    for row in app.store().unfinished_operations().await? {
        let own = app.within(&row.subscription);
        tasks::spawn(app, "resume", async move {
            match row.kind.as_str() {
                resource_group::DELETE => resource_group::resume(own, row).await,
                deployments::KIND => deployments::resume(routes::manager(&own), row).await,
                image_builder::RUN => {}
                _ => {
                    let kind = row.kind.clone();
                    if !image_builder::resume(own, row).await {
                        tracing::error!(kind, "cannot resume an operation of an unknown kind");
                    }
                }
            }
        });
    }
    Ok(())
}

fn check(options: &Options) -> Result<()> {
    check_database(options.database.as_deref().unwrap_or_default())?;
    options.triggers.check()?;
    let address = options.listen;
    if !address.ip().is_loopback() && !options.allow_remote {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("other machines can reach {address}"),
        )
        .target("--listen")
        .hint("listen on 127.0.0.1, or allow it with --allow-remote"));
    }
    for host in &options.hosts {
        let fine = !host.is_empty()
            && host.len() <= 253
            && (host.parse::<std::net::IpAddr>().is_ok()
                || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)));
        if !fine {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("{host:?} is not a valid host name"),
            )
            .target("--host")
            .hint("use a name or an address without scheme and port, for example forge.example"));
        }
    }
    for region in &options.regions {
        let fine = (1..=60).contains(&region.len())
            && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !fine {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("{region:?} is not a valid region"),
            )
            .target("--region")
            .hint("use lower-case letters and digits, for example westus2"));
        }
    }
    if options.regions.is_empty() {
        return Err(Error::new(ErrorCode::InvalidArgument, "at least one region is required")
            .target("--region")
            .hint("for example westus2"));
    }
    Ok(())
}

/// The regions of the command line and of the configuration.
fn regions(options: &Options, config: Config) -> Vec<String> {
    let mut regions = options.regions.clone();
    for region in config.regions {
        if !regions.contains(&region.name) {
            regions.push(region.name);
        }
    }
    regions
}

/// The limits for clients, within the file descriptors of this process.
fn budgets(config: &Config) -> Result<limits::Budgets> {
    let settings: limits::Settings = config.limits()?;
    if let Some(name) = settings.zero() {
        let text = format!("goldsmith.toml: `limits.{name}` must not be 0");
        return Err(Error::new(ErrorCode::InvalidArgument, text)
            .hint("use a number above 0, or omit it for the default"));
    }
    Ok(limits::Budgets::new(settings.within(limits::raise_descriptors())))
}

/// Shuts the service down when another service takes the lease.
fn stop_when_lost(lease: Lease, shutdown: CancellationToken) {
    tokio::spawn(async move {
        if shutdown.run_until_cancelled(lease.lost().cancelled()).await.is_some() {
            tracing::error!("another service has taken over the database; shutting down");
            shutdown.cancel();
        }
    });
}

/// All names of this server for its certificate, in a fixed order.
fn names(options: &Options) -> Names {
    let mut names = names::loopback();
    let ip = options.listen.ip();
    let listened = (!ip.is_unspecified()).then(|| ip.to_string());
    for name in options.hosts.iter().map(|host| host.to_lowercase()).chain(listened) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let hosts = options.hosts.iter().map(|host| host.to_lowercase()).collect();
    Names { all: names, hosts }
}

/// The URL with the first `--host`, or else an address that reaches the listener from this machine.
fn url(listen: SocketAddr, hosts: &[String]) -> String {
    let host = match hosts.first() {
        Some(host) if host.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{host}]"),
        Some(host) => host.to_lowercase(),
        None if listen.ip().is_loopback() || listen.ip().is_unspecified() => "localhost".to_owned(),
        None if listen.is_ipv6() => format!("[{}]", listen.ip()),
        None => listen.ip().to_string(),
    };
    format!("https://{host}:{}", listen.port())
}

/// Creates the first service principal, which may do everything: for a new installation, also beside principals that commands
/// have created before its first start, and for one without any.
async fn administrator(store: &Store, is_new: bool) -> Result<Option<Credentials>> {
    if !is_new && !principal::list(store).await?.is_empty() {
        return Ok(None);
    }
    roles::create_owner(store, ADMINISTRATOR).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// A fake machine that these tests do not use.
    async fn machines() -> Machines {
        let host = Host::probe(None).await.expect("QEMU is installed (make setup)");
        let limits = Limits {
            boot_timeout: GRACE,
            cache_bytes: 0,
            keep_for: GRACE,
            log_bytes: 0,
            capacity: None,
        };
        Machines { host, backend: Arc::new(vm::fake::Fake::new()), limits }
    }

    async fn options(listen: &str) -> Options {
        Options {
            layout: Layout::new("/c".into(), "/d".into()),
            listen: listen.parse().unwrap(),
            allow_remote: false,
            database: None,
            hosts: vec!["Forge.example".to_owned()],
            tls: None,
            regions: vec!["westus2".to_owned()],
            fetch: fetch::Limits::for_others([]),
            machines: machines().await,
            log_retention: DAY,
            activity: activity::Options { dir: None, keep: DAY },
            triggers: trigger::Options { interval: DAY, failures: 3 },
            token_lifetime: DAY,
            lease: GRACE,
            disk_reserve: 0,
        }
    }

    #[tokio::test]
    async fn invalid_option_is_reported_with_its_flag() {
        let usual = options("127.0.0.1:8443").await;
        let target = |change: fn(&mut Options)| {
            let mut options = usual.clone();
            change(&mut options);
            check(&options).err().and_then(|error| error.target)
        };
        assert_eq!(target(|_| ()), None);
        assert_eq!(
            target(|o| o.listen = "0.0.0.0:1".parse().unwrap()).as_deref(),
            Some("--listen")
        );
        let remote = |o: &mut Options| {
            o.listen = "0.0.0.0:1".parse().unwrap();
            o.allow_remote = true;
        };
        assert_eq!(target(remote), None);
        for host in ["", "a b", "https://a", "a:1"] {
            let mut options = usual.clone();
            options.hosts = vec![host.to_owned()];
            assert_eq!(check(&options).unwrap_err().target.as_deref(), Some("--host"), "{host}");
        }
        assert_eq!(target(|o| o.regions.clear()).as_deref(), Some("--region"));
        assert_eq!(target(|o| o.regions = vec!["West US".into()]).as_deref(), Some("--region"));
    }

    #[tokio::test]
    async fn certificate_has_loopback_hosts_and_the_address() {
        let names = names(&options("10.0.0.1:8443").await);
        assert_eq!(names.all, ["localhost", "127.0.0.1", "::1", "forge.example", "10.0.0.1"]);
        assert_eq!(super::names(&options("0.0.0.0:1").await).all.len(), 4);
    }

    #[tokio::test]
    async fn url_reaches_the_listener() {
        let of = |listen: &str, hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            url(listen.parse().unwrap(), &hosts)
        };
        assert_eq!(of("127.0.0.1:8443", &[]), "https://localhost:8443");
        assert_eq!(of("0.0.0.0:1", &["Forge.example"]), "https://forge.example:1");
        assert_eq!(of("[fe80::1]:1", &[]), "https://[fe80::1]:1");
        assert_eq!(of("0.0.0.0:1", &["fd00::1"]), "https://[fd00::1]:1");
    }
}
