//! The flags of `goldsmith admin subscription`.

use clap::{Subcommand, ValueEnum};

use super::Database;

#[derive(Debug, Subcommand)]
pub(crate) enum Subscription {
    /// Create a subscription; nobody has a role in it yet
    Create {
        /// A display name
        name: String,
        #[command(flatten)]
        database: Database,
    },
    /// List all subscriptions
    List {
        #[command(flatten)]
        database: Database,
    },
    /// Change the display name of a subscription
    Rename {
        /// Id or name
        subscription: String,
        /// The new display name
        name: String,
        #[command(flatten)]
        database: Database,
    },
    /// Let its builds use the cache of all subscriptions that share it, or only a part of their own
    ShareCache {
        /// Id or name
        subscription: String,
        /// Whether it shares the cache
        shared: Switch,
        #[command(flatten)]
        database: Database,
    },
}

/// Whether something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}
