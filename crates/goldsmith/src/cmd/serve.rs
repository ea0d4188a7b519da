//! `goldsmith serve`: runs the control plane until a signal ends it.

use std::sync::Arc;

use serde_json::json;
use server::{Limits, Machines, Options, Running, roles::Upgraded, trigger};
use sources::fetch;
use vm::Backend;

use super::{GIB, MIB, Result, Session, scripted};
use crate::{cli, output::Output, signals};

pub(super) async fn run(args: cli::Serve, session: Session<'_>) -> Result {
    let options = Options {
        layout: session.layout.clone(),
        listen: args.listen,
        allow_remote: args.allow_remote,
        database: args.database.url,
        hosts: args.host,
        tls: args.tls.files(),
        regions: args.region,
        fetch: fetch::Limits {
            attempts: args.run.fetch_attempts,
            ..fetch::Limits::for_others(args.run.allow_fetch_from.iter().cloned())
        },
        machines: machines(&args.run, args.backend, session).await?,
        log_retention: args.log_retention,
        activity: server::ActivityOptions { dir: args.activity.dir, keep: args.activity.retention },
        disk_reserve: args.disk_reserve_mib.saturating_mul(MIB),
        token_lifetime: args.token_lifetime,
        lease: args.lease,
        triggers: trigger::Options {
            interval: args.triggers.interval,
            failures: args.triggers.failures,
        },
    };
    let shutdown = signals::cancel_on_signals();
    let running = server::start(options, shutdown.clone()).await?;
    ready(&running, session.output);
    running.ended().await?;
    tracing::info!("the service has ended");
    Ok(0)
}

/// The host and the backend that execute runs, with their limits.
async fn machines(
    args: &cli::ServedRuns,
    backend: cli::BackendKind,
    session: Session<'_>,
) -> Result<Machines> {
    let (host, qemu) = session.qemu().await?;
    let backend: Arc<dyn Backend> = match backend {
        cli::BackendKind::Qemu => Arc::new(qemu),
        cli::BackendKind::Scripted => Arc::new(scripted::backend()),
    };
    let limits = Limits {
        boot_timeout: args.boot_timeout,
        cache_bytes: args.cache_gib.saturating_mul(GIB),
        keep_for: args.keep_for,
        log_bytes: args.log_mib.saturating_mul(MIB),
        capacity: None,
    };
    Ok(Machines { host, backend, limits })
}

/// Prints that the service is ready, and how to connect.
fn ready(running: &Running, output: &Output) {
    let first = running.administrator.as_ref();
    let value = json!({
        "url": running.url,
        "listen": running.listen,
        "tenantId": running.tenant,
        "subscriptionId": running.subscription,
        "ca": running.ca,
        "caBundle": running.ca_bundle,
        "clientId": first.map(|first| &first.client.client_id),
        "clientSecret": first.map(|first| &first.secret),
        "rolesBegan": running.upgraded.as_ref().map(|upgraded| json!({
            "owners": upgraded.owners,
            "identities": upgraded.identities,
        })),
    });
    output.result("serving", &value, || {
        let began = running.upgraded.as_ref().map(|upgraded| began(upgraded, running));
        format!("{}{}", began.unwrap_or_default(), text(running))
    });
}

/// Said once, by the first start that enforces roles.
fn began(upgraded: &Upgraded, running: &Running) -> String {
    let mut text = format!(
        "Roles are enforced from now on. So that everything goes on,\n\
         these service principals are Owner of everything now: {}\n",
        upgraded.owners.join(", ")
    );
    if !upgraded.identities.is_empty() {
        let (subscription, identities) = (&running.subscription, upgraded.identities.join("\n  "));
        text += &format!(
            "these identities of image templates are Contributor of subscription {subscription}:\n  {identities}\n"
        );
    }
    text + "Narrow that with goldsmith admin role list, grant and revoke, or az role assignment.\n\n"
}

fn text(running: &Running) -> String {
    let (id, secret, remark) = match &running.administrator {
        Some(first) => (
            first.client.client_id.as_str(),
            first.secret.as_str(),
            "The secret is shown only once; goldsmith admin sp rotate creates a new one.",
        ),
        None => (
            "\"$CLIENT_ID\"",
            "\"$CLIENT_SECRET\"",
            "Client ids: goldsmith admin sp list. A new secret: goldsmith admin sp rotate ID.",
        ),
    };
    format!(
        "serving {url}\n\n\
         To connect az:\n\n\
         export REQUESTS_CA_BUNDLE={bundle}\n\
         az cloud register --name selfhosted --endpoint-resource-manager {url}\n\
         az cloud set --name selfhosted\n\
         az login --service-principal --username {id} --password {secret} --tenant {tenant}\n\
         az account show\n\n\
         To connect goldsmith itself:\n\n\
         goldsmith login --server {url} --tenant {tenant} --client-id {id} --client-secret {secret} \
         --ca {ca}\n\n\
         Then goldsmith az … runs az against this service, apart from az's other logins.\n\n\
         {remark}",
        url = running.url,
        bundle = quoted(&running.ca_bundle.display().to_string()),
        ca = quoted(&running.ca.display().to_string()),
        tenant = running.tenant,
    )
}

/// Quotes a path for a shell.
fn quoted(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if path.bytes().all(plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn path_is_quoted_for_the_shell() {
        assert_eq!(quoted("/a/b-c.pem"), "/a/b-c.pem");
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
