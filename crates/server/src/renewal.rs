//! Certificates and keys while the service runs: they are looked at every day, and soon after someone changed them.

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

/// How often to look whether something was changed.
const LOOK: Duration = Duration::from_secs(5);
/// Looks without a change that make a day.
const LOOKS_A_DAY: u32 = 12 * 60 * 24;

/// What is needed to look.
pub(crate) struct Renewal {
    pub(crate) dir: PathBuf,
    pub(crate) names: Names,
    pub(crate) given: Option<Given>,
    pub(crate) site: Site,
}

impl Renewal {
    /// Until the service ends.
    pub(crate) async fn keep_on(self, config: RustlsConfig, shutdown: CancellationToken) {
        let mut stamp = may_wait(|| tls::stamp(&self.dir, self.given.as_ref()));
        let mut looks = 0;
        let keys = Arc::new(Mutex::new(Watched::new(self.dir.clone())));
        let this = Arc::new(self);
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let (again, own, keys) = (config.clone(), this.clone(), keys.clone());
            looks += 1;
            let is_due = looks % LOOKS_A_DAY == 0;
            let before = stamp.clone();
            let looked = tokio::task::spawn_blocking(move || {
                own.look_at_key(&mut keys.lock().unwrap_or_else(PoisonError::into_inner));
                let now = tls::stamp(&own.dir, own.given.as_ref());
                if is_due || now != before {
                    own.look_at_certificate(&again);
                }
                tls::stamp(&own.dir, own.given.as_ref())
            });
            if let Ok(now) = looked.await {
                stamp = now;
            }
        }
    }

    fn look_at_key(&self, keys: &mut Watched) {
        match keys.changed() {
            Ok(key) => key.into_iter().for_each(|key| self.site.auth.renew(key)),
            Err(error) => tracing::error!(%error, "the signing key cannot be read"),
        }
    }

    fn look_at_certificate(&self, config: &RustlsConfig) {
        match Tls::obtain(&self.dir, &self.names, self.given.as_ref()) {
            Ok(tls) => config.reload_from_config(tls.config),
            Err(error) => tracing::error!(%error, "the certificate cannot be renewed"),
        }
    }
}
