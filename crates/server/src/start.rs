//! From options to a running service, in order; and its end.
//!
//! ```text
//! folder, lock → database and ids, lease → certificate → key → address → App → workers → administrator → answers
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
    App, Settings,
    auth::{
        Auth, SigningKey,
        principal::{self, Credentials},
    },
    names,
    server_folder::{LOCK, cannot_open, database_url, dir, lock},
    tasks,
};
use sources::fetch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    http, installation,
    lease::Lease,
    limits,
    listener::{self, GRACE},
    renewal::Renewal,
    tls::{Given, Names, Tls},
};

/// Name of the service principal that is made at first start.
const ADMINISTRATOR: &str = "administrator";

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Cache and data.
    pub layout: Layout,
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Whether `listen` may be reachable from other machines.
    pub allow_remote: bool,
    /// Database URL; SQLite in the server's folder without it.
    pub database: Option<String>,
    /// Names of this server beside those of loopback.
    pub hosts: Vec<String>,
    /// A certificate of one's own PKI, instead of one by the service's own CA.
    pub tls: Option<Given>,
    /// Regions; the first is the default.
    pub regions: Vec<String>,
    /// How scripts and files that templates name are fetched.
    pub fetch: fetch::Limits,
    /// What runs are carried out on.
    pub machines: Machines,
    /// How long the logs of runs are kept once their template is gone.
    pub log_retention: Duration,
    /// How triggers and schedules are looked at.
    pub triggers: trigger::Options,
    /// Bytes that stay free on the file systems of data and cache: runs and fetches wait for them.
    pub disk_reserve: u64,
    /// How long the tokens of service principals live.
    pub token_lifetime: Duration,
    /// How long the lease on the database lasts without being renewed.
    pub lease: Duration,
}

/// What runs are carried out on.
#[derive(Clone)]
pub struct Machines {
    /// This machine.
    pub host: Host,
    /// What starts the build machines.
    pub backend: Arc<dyn Backend>,
    /// What every run is given alike.
    pub limits: Limits,
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A service that answers.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub listen: SocketAddr,
    /// `https://host:port` for clients on this machine.
    pub url: String,
    /// The tenant's id.
    pub tenant: String,
    /// The subscription's id.
    pub subscription: String,
    /// The CA's certificate.
    pub ca: PathBuf,
    /// For `REQUESTS_CA_BUNDLE`.
    pub ca_bundle: PathBuf,
    /// The administrator, at first start only: the secret is not kept.
    pub administrator: Option<Credentials>,
    serving: JoinHandle<io::Result<()>>,
    worker: JoinHandle<()>,
    app: App,
    lease: Lease,
    /// Ends the renewal of the lease, which then is given up.
    done: CancellationToken,
    keeping: JoinHandle<()>,
    _lock: Lock,
}

impl Running {
    /// Waits until the service has ended.
    ///
    /// # Errors
    /// The listener failed, or another service has taken the database over.
    pub async fn ended(self) -> Result<()> {
        let ended = self.serving.await.map_err(io::Error::other).and_then(|result| result);
        // The runs let go of their machines; what they were doing is taken up by the next start.
        let _ = self.worker.await;
        tasks::finish(&self.app, GRACE).await;
        self.done.cancel();
        let _ = self.keeping.await;
        if self.lease.lost().is_cancelled() {
            return Err(self.lease.taken_over().await);
        }
        ended.code(ErrorCode::InternalError, || "the listener failed".to_owned())
    }
}

/// Starts the service; it runs until `shutdown` fires.
///
/// # Errors
/// An option cannot be used, another server has the folder, or something the service needs is missing.
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
    let keeping = lease.keep(done.clone());
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
        .with_lifetime(options.token_lifetime);
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
    // Last: the secret of a server that then fails to start would be lost.
    let administrator = administrator(app.store()).await?;
    let url = url(listen, &options.hosts);
    app.set_base_url(url.clone());
    let worker = workers(&app, options.machines).await?;
    let sweeping = retention::keep_sweeping(app.clone(), options.log_retention, trust);
    tasks::spawn(&app, "retention", sweeping);
    tasks::spawn(&app, "installation", installation::keep_marking(app.clone()));
    trigger::start(&app, options.triggers);
    let own = url.trim_start_matches("https://").to_owned();
    let site = http::Site::new(app.clone(), auth, names.all.clone(), own, metrics, budgets);
    let rustls = RustlsConfig::from_config(tls.config.clone());
    let renewal = Renewal { dir: settings.dir, names, given: options.tls, site: site.clone() };
    tokio::spawn(renewal.keep_on(rustls.clone(), shutdown.clone()));
    let serving = listener::serve(site, listener, rustls, shutdown)?;
    Ok(Running {
        listen,
        url,
        tenant: settings.tenant,
        subscription: settings.subscription,
        ca: tls.ca,
        ca_bundle: tls.bundle,
        administrator,
        serving,
        worker,
        app,
        lease,
        done,
        keeping,
        _lock: lock,
    })
}

/// The database that the options name, for commands beside a running server.
///
/// # Errors
/// It cannot be opened, or belongs to another data folder.
pub async fn open_store(layout: &Layout, url: Option<&str>) -> Result<Store> {
    check_database(url.unwrap_or_default())?;
    installation::open_for_command(layout, &database_url(layout, url)).await
}

/// Refuses a database on another machine whose address leaves open how the connection is protected.
fn check_database(url: &str) -> Result<()> {
    db::check_transport(url).map_err(|error| {
        Error::new(ErrorCode::InvalidArgument, error.to_string())
            .target("--database")
            .hint(db::Unprotected::HINT)
    })
}

/// What must be taken up or running before the first request: operations of an earlier process, and
/// the worker, which looks for its runs. Each ends when [`App::shutdown`] fires.
async fn workers(app: &App, machines: Machines) -> Result<JoinHandle<()>> {
    let unreadable = || Error::new(ErrorCode::HostNotReady, "the database cannot be read");
    resume_all(app).await.map_err(|error| unreadable().caused_by(error))?;
    replication::resume(app).await.map_err(|error| unreadable().caused_by(error))?;
    let executor = Local::new(app, machines.host, machines.backend, machines.limits);
    Ok(worker::start(app.clone(), Arc::new(executor)))
}

/// Takes up every operation that an earlier process left, in the background. Those of runs are the
/// worker's.
async fn resume_all(app: &App) -> Result<(), db::Error> {
    for row in app.store().unfinished_operations().await? {
        let own = app.clone();
        tasks::spawn(app, "resume", async move {
            match row.kind.as_str() {
                resource_group::DELETE => resource_group::resume(own, row).await,
                image_builder::RUN => {}
                _ => {
                    let kind = row.kind.clone();
                    if !image_builder::resume(own, row).await {
                        tracing::error!(kind, "nobody knows how to go on with this operation");
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
            format!("{address} can be reached from other machines"),
        )
        .target("--listen")
        .hint("listen on 127.0.0.1, or add --allow-remote if that is what you want"));
    }
    for host in &options.hosts {
        let fine = !host.is_empty()
            && host.len() <= 253
            && (host.parse::<std::net::IpAddr>().is_ok()
                || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)));
        if !fine {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("{host:?} is no host name"),
            )
            .target("--host")
            .hint("give a name or an address without scheme and port, for example forge.example"));
        }
    }
    for region in &options.regions {
        let fine = (1..=60).contains(&region.len())
            && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !fine {
            return Err(Error::new(ErrorCode::InvalidArgument, format!("{region:?} is no region"))
                .target("--region")
                .hint("lower-case letters and digits, for example westus2"));
        }
    }
    if options.regions.is_empty() {
        return Err(Error::new(ErrorCode::InvalidArgument, "there is no region")
            .target("--region")
            .hint("give at least one, for example westus2"));
    }
    Ok(())
}

/// Those of the command line, and those that have a place.
fn regions(options: &Options, config: Config) -> Vec<String> {
    let mut regions = options.regions.clone();
    for place in config.regions {
        if !regions.contains(&place.name) {
            regions.push(place.name);
        }
    }
    regions
}

/// What may be used up from outside, within the descriptors that this process has.
fn budgets(config: &Config) -> Result<limits::Budgets> {
    let settings: limits::Settings = config.limits()?;
    if let Some(name) = settings.zero() {
        let text =
            format!("goldsmith.toml: `limits.{name}` is 0, so that nothing would be answered");
        return Err(Error::new(ErrorCode::InvalidArgument, text)
            .hint("give a number above 0, or leave it out for the default"));
    }
    Ok(limits::Budgets::new(settings.within(limits::raise_descriptors())))
}

/// A service that another has taken over from ends its builds, and itself.
fn stop_when_lost(lease: Lease, shutdown: CancellationToken) {
    tokio::spawn(async move {
        if shutdown.run_until_cancelled(lease.lost().cancelled()).await.is_some() {
            tracing::error!("another service has taken the database over: this one ends");
            shutdown.cancel();
        }
    });
}

/// All hosts that we are known by, in a fixed order: the certificate is made for them.
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

/// The first `--host`, else what leads to the listener from this machine.
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

/// The first service principal; there is one as soon as the database knows any.
async fn administrator(store: &Store) -> Result<Option<Credentials>> {
    if !principal::list(store).await?.is_empty() {
        return Ok(None);
    }
    principal::create(store, ADMINISTRATOR).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// A machine of which nothing is asked here.
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
            triggers: trigger::Options { interval: DAY, failures: 3 },
            token_lifetime: DAY,
            lease: GRACE,
            disk_reserve: 0,
        }
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_told_by_its_flag() {
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
    async fn the_certificate_names_loopback_hosts_and_the_address() {
        let names = names(&options("10.0.0.1:8443").await);
        assert_eq!(names.all, ["localhost", "127.0.0.1", "::1", "forge.example", "10.0.0.1"]);
        assert_eq!(super::names(&options("0.0.0.0:1").await).all.len(), 4);
    }

    #[tokio::test]
    async fn clients_are_told_an_address_that_leads_here() {
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
