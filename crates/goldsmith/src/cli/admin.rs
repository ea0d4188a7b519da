//! The options of `goldsmith admin sp` and `goldsmith admin issuer`.

use std::{path::PathBuf, time::Duration};

use clap::Subcommand;

use super::Database;
use crate::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum ServicePrincipal {
    /// Create a service principal; its secret is shown only once
    Create {
        /// A display name
        name: String,
        /// Grant it a role, such as Contributor
        #[arg(long)]
        role: Option<String>,
        /// Where it has the role: id of a subscription, resource group or resource; / for everything
        #[arg(long, value_name = "SCOPE", requires = "role", default_value = "/")]
        scope: String,
        /// When the secret expires, such as 180d [default: never]
        #[arg(long, value_name = "TIME", value_parser = duration::parse)]
        expires: Option<Duration>,
        #[command(flatten)]
        database: Database,
    },
    /// List service principals, including revoked ones
    List {
        #[command(flatten)]
        database: Database,
    },
    /// Create a new secret in place of all others, which become invalid immediately or after --overlap
    Rotate {
        /// Client id
        id: String,
        /// How long the other secrets stay valid, such as 24h
        #[arg(long, value_name = "TIME", value_parser = duration::parse)]
        overlap: Option<Duration>,
        #[command(flatten)]
        database: Database,
    },
    /// Revoke a service principal and all its tokens
    Revoke {
        /// Client id
        id: String,
        #[command(flatten)]
        database: Database,
    },
    /// Manage further secrets
    #[command(subcommand)]
    Secret(Secret),
    /// Manage certificates, for az login --certificate
    #[command(subcommand)]
    Certificate(Certificate),
    /// Manage federated credentials, for az login --federated-token
    #[command(subcommand)]
    Federated(Federated),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Add a secret; it is shown only once
    Add {
        /// Client id
        id: String,
        /// A display name
        #[arg(long, default_value = "")]
        name: String,
        /// When it expires, such as 180d [default: never]
        #[arg(long, value_name = "TIME", value_parser = duration::parse)]
        expires: Option<Duration>,
        #[command(flatten)]
        database: Database,
    },
    /// List the credentials of all kinds
    List {
        /// Client id
        id: String,
        #[command(flatten)]
        database: Database,
    },
    /// Remove a credential of any kind and its tokens
    Remove {
        /// Client id
        id: String,
        /// Credential id
        credential: String,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// Add a certificate; it is valid until its own end
    Add {
        /// Client id
        id: String,
        /// PEM file with the certificate
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A display name
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Federated {
    /// Accept the tokens of a trusted issuer with this subject
    Add {
        /// Client id
        id: String,
        /// Issuer, exactly as in the tokens, such as https://token.actions.githubusercontent.com
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// Subject, exactly as in the tokens, such as repo:me/images:ref:refs/heads/main
        #[arg(long)]
        subject: String,
        /// Audience, exactly as in the tokens
        #[arg(long, default_value = server::federated::AUDIENCE)]
        audience: String,
        /// A display name
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Issuer {
    /// Trust an issuer, such as https://token.actions.githubusercontent.com
    Add {
        /// Issuer, exactly as in its tokens
        issuer: String,
        /// JSON Web Key Set with its public keys; without it, the service fetches them from the issuer
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        #[command(flatten)]
        database: Database,
    },
    /// List trusted issuers
    List {
        #[command(flatten)]
        database: Database,
    },
    /// No longer trust an issuer
    Remove {
        /// Issuer
        issuer: String,
        #[command(flatten)]
        database: Database,
    },
}
