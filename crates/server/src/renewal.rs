//! Reloads certificates and keys while the service runs: every day, and soon after a change of their files.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum_server::tls_rustls::RustlsConfig;
use engine::may_wait;
use service::auth::key::Watched;
use tokio_util::sync::CancellationToken;

use crate::{
    http::Site,
    tls::{self, Given, Names, Tls},
};

/// The interval between checks for changes.
const INTERVAL: Duration = Duration::from_secs(5);
const CHECKS_PER_DAY: u32 = 12 * 60 * 24;

/// Reloads the signing keys and the certificate.
pub(crate) struct Renewal {
    pub(crate) dir: PathBuf,
    pub(crate) names: Names,
    pub(crate) given: Option<Given>,
    pub(crate) site: Site,
}

impl Renewal {
    /// Checks for changes until shutdown.
    pub(crate) async fn run(self, config: RustlsConfig, shutdown: CancellationToken) {
        let mut stamp = may_wait(|| tls::stamp(&self.dir, self.given.as_ref()));
        let mut checks = 0;
        let keys = Arc::new(Mutex::new(Watched::new(self.dir.clone())));
        let this = Arc::new(self);
        while shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            let (again, own, keys) = (config.clone(), this.clone(), keys.clone());
            checks += 1;
            let is_due = checks % CHECKS_PER_DAY == 0;
            let before = stamp.clone();
            let check = tokio::task::spawn_blocking(move || {
                own.reload_key(&mut keys.lock().unwrap_or_else(PoisonError::into_inner));
                let now = tls::stamp(&own.dir, own.given.as_ref());
                if is_due || now != before {
                    own.reload_certificate(&again);
                }
                tls::stamp(&own.dir, own.given.as_ref())
            });
            if let Ok(now) = check.await {
                stamp = now;
            }
        }
    }

    fn reload_key(&self, keys: &mut Watched) {
        match keys.changed() {
            Ok(key) => key.into_iter().for_each(|key| self.site.auth.renew(key)),
            Err(error) => tracing::error!(%error, "cannot read the signing key"),
        }
    }

    fn reload_certificate(&self, config: &RustlsConfig) {
        match Tls::obtain(&self.dir, &self.names, self.given.as_ref()) {
            Ok(tls) => config.reload_from_config(tls.config),
            Err(error) => tracing::error!(%error, "cannot renew the certificate"),
        }
    }
}
