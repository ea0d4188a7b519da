//! Limits for clients, most of which apply before authentication: connections, requests, bytes of bodies, failed
//! logins, open streams, and the length of strings in the log.
//!
//! ```text
//! gate (connections, time-outs) → requests → bodies, logins → the token → bodies, streams
//! ```

mod bodies;
mod connections;
mod cut;
mod descriptors;
mod gate;
mod logins;
mod settings;
mod streams;

use std::{net::SocketAddr, ops::Deref, sync::Arc};

use tokio::sync::Semaphore;

pub(crate) use self::{
    bodies::{Bodies, Share},
    connections::Connections,
    cut::Cut,
    descriptors::raise as raise_descriptors,
    gate::Gate,
    logins::Logins,
    settings::{MetricsFor, Settings},
    streams::{Stream, Streams},
};

/// All limits of a service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budgets(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) connections: Connections,
    /// Permits for concurrent requests.
    pub(crate) requests: Semaphore,
    pub(crate) bodies: Bodies,
    pub(crate) logins: Logins,
    pub(crate) streams: Streams,
}

impl Deref for Budgets {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Budgets {
    pub(crate) fn new(settings: Settings) -> Self {
        let connections = Connections::new(settings.connections, settings.connections_per_address);
        Self(Arc::new(Inner {
            connections,
            requests: Semaphore::new(settings.requests),
            bodies: Bodies::new(settings.body_mib),
            logins: Logins::new(settings.failed_logins),
            streams: Streams::new(settings.streams, settings.streams_per_principal),
            settings,
        }))
    }

    /// Marks a connection as authenticated, so that it is not closed to make room for others.
    pub(crate) fn trust(&self, peer: Option<SocketAddr>) {
        if let Some(peer) = peer {
            self.connections.trust(peer);
        }
    }
}
