//! `[limits]` of `goldsmith.toml`.

use std::time::Duration;

use serde::Deserialize;
use service::Quotas;

/// The limits. docs/service.md lists them with their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Open connections. Never more than a quarter of the file descriptors.
    pub(crate) connections: usize,
    /// Open connections of one address (one /64 in IPv6).
    pub(crate) connections_per_address: usize,
    /// Concurrent requests.
    pub(crate) requests: usize,
    /// MiB of request bodies in memory.
    pub(crate) body_mib: usize,
    /// Streamed responses: events, logs, blobs.
    pub(crate) streams: usize,
    /// Streamed responses of one principal.
    pub(crate) streams_per_principal: usize,
    /// Failed logins of each address within a minute.
    pub(crate) failed_logins: u32,
    /// The timeout of a TLS handshake, and of the head of a connection's first request.
    pub(crate) header_seconds: u64,
    /// The timeout of a connection between requests.
    pub(crate) idle_seconds: u64,
    /// Access to `/metrics`.
    pub(crate) metrics: MetricsFor,
    /// The subscription's quotas.
    pub(crate) quota: Quotas,
}

/// Access to `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MetricsFor {
    /// Connections from this machine, and requests with a token.
    Local,
    /// Requests with a token.
    Token,
    /// Everyone.
    Everyone,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_address: 256,
            requests: 512,
            body_mib: 64,
            streams: 512,
            streams_per_principal: 128,
            failed_logins: 30,
            header_seconds: 10,
            idle_seconds: 60,
            metrics: MetricsFor::Local,
            quota: Quotas::default(),
        }
    }
}

impl Settings {
    /// The name of the first limit that is zero, which would block all requests.
    pub(crate) fn zero(&self) -> Option<&'static str> {
        let all = [
            ("connections", self.connections),
            ("connections-per-address", self.connections_per_address),
            ("requests", self.requests),
            ("body-mib", self.body_mib),
            ("streams", self.streams),
            ("streams-per-principal", self.streams_per_principal),
            ("failed-logins", self.failed_logins as usize),
            ("header-seconds", usize::from(self.header_seconds > 0)),
            ("idle-seconds", usize::from(self.idle_seconds > 0)),
        ];
        all.into_iter().find(|(_, value)| *value == 0).map(|(name, _)| name)
    }

    /// Leaves half of the file descriptors to the builds.
    pub(crate) fn within(mut self, descriptors: u64) -> Self {
        let quarter = usize::try_from(descriptors / 4).unwrap_or(usize::MAX).max(1);
        self.connections = self.connections.min(quarter);
        self.streams = self.streams.min(quarter);
        self
    }

    pub(crate) fn header(&self) -> Duration {
        Duration::from_secs(self.header_seconds)
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_streams_use_at_most_half_of_the_descriptors() {
        let few = Settings::default().within(256);
        assert_eq!((few.connections, few.streams), (64, 64));
        assert_eq!(Settings::default().within(65_536), Settings::default());
        assert_eq!(Settings::default().zero(), None);
        assert_eq!(Settings { requests: 0, ..Settings::default() }.zero(), Some("requests"));
    }
}
