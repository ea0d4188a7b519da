//! What a service principal shows to receive a token.

use db::{Client, Credential, CredentialKind, Store};
use jiff::Timestamp;

use super::{credentials, secret};

/// What a client shows.
#[derive(Debug)]
pub enum Proof<'a> {
    /// A secret.
    Secret(&'a str),
}

/// Why it gets no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// There is no such client, it is revoked, or it has no such credential: not to be told apart.
    Wrong,
    /// The credential was right, but is over since this time.
    Expired(Timestamp),
}

/// Compared with when there is no such client, so that the answer takes the same work.
const NOBODY: &str = "sha256:AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The client, and what its tokens say of the credential. Not from a cache, so that a new secret works immediately.
pub(super) async fn check(
    store: &Store,
    client_id: &str,
    proof: &Proof<'_>,
) -> Result<Result<(Client, String), Rejected>, db::Error> {
    let id = client_id.to_lowercase();
    let client = store.client(&id).await?.filter(|client| client.revoked.is_none());
    let all = store.credentials_of(&id).await?;
    let Proof::Secret(text) = proof;
    let found = matching(&all, text);
    let (Some(client), Some(credential)) = (client, found) else {
        return Ok(Err(Rejected::Wrong));
    };
    Ok(in_time(credential, Timestamp::now())
        .map(|()| (client, credentials::generation(credential))))
}

/// The secret's credential. Compares with each one, whichever it is.
fn matching<'c>(all: &'c [Credential], text: &str) -> Option<&'c Credential> {
    let secrets = all.iter().filter(|one| one.kind == CredentialKind::Secret);
    let mut found = None;
    let mut compared = 0;
    for one in secrets.filter(|one| one.revoked.is_none()) {
        compared += 1;
        if secret::verify(one.data["hash"].as_str().unwrap_or_default(), text) {
            found = Some(one);
        }
    }
    if compared == 0 {
        // It belongs to nobody, so the result is not used.
        let _ = secret::verify(NOBODY, text);
    }
    found
}

fn in_time(credential: &Credential, now: Timestamp) -> Result<(), Rejected> {
    match credential.expires {
        Some(expires) if now >= expires => Err(Rejected::Expired(expires)),
        _ if now < credential.starts => Err(Rejected::Wrong),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::auth::{
        credentials::{Valid, add_secret, list, remove},
        principal,
    };

    async fn store(folder: &std::path::Path) -> Store {
        Store::open(&format!("sqlite://{}/a.db", folder.display())).await.unwrap()
    }

    #[tokio::test]
    async fn each_secret_works_until_it_expires_or_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let one = principal::create(&store, "ci").await.unwrap();
        let id = one.client.client_id.clone();
        let login = async |text: &str| {
            check(&store, &id, &Proof::Secret(text))
                .await
                .unwrap()
                .map(|(_, generation)| generation)
        };
        let later = Timestamp::now() + SignedDuration::from_hours(1);
        let valid = Valid { starts: None, expires: Some(later) };
        let (second, text) = add_secret(&store, &id, "second", valid).await.unwrap();
        let (first, other) = (login(&one.secret).await.unwrap(), login(&text).await.unwrap());
        assert_ne!(first, other, "tokens are bound to one of them");
        assert_eq!(in_time(&second, later), Err(Rejected::Expired(later)));
        assert_eq!(in_time(&second, later - SignedDuration::from_nanos(1)), Ok(()));
        let early = Credential { starts: later, expires: None, ..second.clone() };
        assert_eq!(in_time(&early, Timestamp::now()), Err(Rejected::Wrong));
        remove(&store, &id, &second.id).await.unwrap();
        assert_eq!(login(&text).await, Err(Rejected::Wrong));
        assert_eq!(login(&one.secret).await.unwrap(), first);
        assert!(
            add_secret(&store, &id, "over", Valid { expires: Some(Timestamp::now()), ..valid })
                .await
                .is_err()
        );
        assert_eq!(list(&store, &id).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn rotation_ends_old_secrets_at_once_or_after_the_overlap() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let one = principal::create(&store, "ci").await.unwrap();
        let id = one.client.client_id.clone();
        let works =
            async |text: &str| check(&store, &id, &Proof::Secret(text)).await.unwrap().is_ok();
        let day = std::time::Duration::from_secs(86_400);
        let two = principal::rotate(&store, &id, Some(day)).await.unwrap();
        assert!(works(&one.secret).await && works(&two.secret).await);
        let three = principal::rotate(&store, &id, None).await.unwrap();
        assert!(!works(&one.secret).await && !works(&two.secret).await);
        assert!(works(&three.secret).await);
        principal::revoke(&store, &id).await.unwrap();
        assert!(!works(&three.secret).await);
    }
}
