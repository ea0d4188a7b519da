//! Logins against a database.
#![allow(clippy::unwrap_used, reason = "tests")]

use jiff::SignedDuration;

use super::*;
use crate::auth::{
    credentials::{Valid, add_secret, list, remove},
    principal,
};

fn logins() -> Logins {
    Logins::new(Limits {
        attempts: 1,
        ..Limits::for_others(["localhost".to_owned(), "127.0.0.1".to_owned()])
    })
}

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
        logins()
            .check(&store, &id, &Proof::Secret(text))
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
        async |text: &str| logins().check(&store, &id, &Proof::Secret(text)).await.unwrap().is_ok();
    let day = std::time::Duration::from_secs(86_400);
    let two = principal::rotate(&store, &id, Some(day)).await.unwrap();
    assert!(works(&one.secret).await && works(&two.secret).await);
    let three = principal::rotate(&store, &id, None).await.unwrap();
    assert!(!works(&one.secret).await && !works(&two.secret).await);
    assert!(works(&three.secret).await);
    principal::revoke(&store, &id).await.unwrap();
    assert!(!works(&three.secret).await);
}
