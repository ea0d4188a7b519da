//! The subscriptions of the installation. The first one exists from the start, the administrator creates
//! the others (`goldsmith admin subscription`).
//!
//! Each is a tenant of its own: it sees nothing of the others, and its builds use a part of the cache of
//! their own, unless the administrator lets it share the cache.

use api::ErrorCode;
use db::{Store, Subscription, Write};
use images::error::{Coded, Error, Result};
use jiff::Timestamp;
use uuid::Uuid;

/// The display name of the first subscription, until it is renamed.
const FIRST: &str = "Goldsmith";
const ENABLED: &str = "Enabled";
/// The maximum length of a display name, as in Azure.
const LONGEST_NAME: usize = 64;

/// Adds the row of the first subscription, unless it exists.
///
/// # Errors
/// The database fails.
pub async fn begin(store: &Store, first: &str) -> Result<()> {
    let found = store.subscription(&first.to_lowercase()).await;
    if found.code(ErrorCode::InternalError, unusable)?.is_none() {
        put(store, new(first, FIRST)).await?;
    }
    Ok(())
}

/// All subscriptions of an installation, by id.
///
/// # Errors
/// The database fails.
pub async fn list(store: &Store) -> Result<Vec<Subscription>> {
    let all = store.subscriptions().await.code(ErrorCode::InternalError, unusable)?;
    let installation = store.installation().await.code(ErrorCode::InternalError, unusable)?;
    Ok(match installation {
        Some(installation) => with_first(all, &installation.subscription),
        None => all,
    })
}

/// Creates a subscription.
///
/// # Errors
/// `InvalidArgument`: the name is not valid. `Conflict`: another subscription has that name.
pub async fn create(store: &Store, name: &str) -> Result<Subscription> {
    let all = list(store).await?;
    check_name(name, &all, None)?;
    put(store, new(&Uuid::new_v4().to_string(), name)).await
}

/// Changes the display name of a subscription, which `which` names by its id or its name.
///
/// # Errors
/// `NotFound`; as [`create`].
pub async fn rename(store: &Store, which: &str, name: &str) -> Result<Subscription> {
    let all = list(store).await?;
    let found = find(&all, which)?;
    check_name(name, &all, Some(&found.id))?;
    put(store, Subscription { name: name.to_owned(), ..found }).await
}

/// Lets the builds of a subscription use the cache of all that share it, or none but its own.
///
/// # Errors
/// `NotFound`
pub async fn share_cache(store: &Store, which: &str, shares_cache: bool) -> Result<Subscription> {
    let found = find(&list(store).await?, which)?;
    put(store, Subscription { shares_cache, ..found }).await
}

async fn put(store: &Store, subscription: Subscription) -> Result<Subscription> {
    let write = Write::PutSubscription(subscription.clone());
    store.commit(vec![write]).await.code(ErrorCode::InternalError, unusable)?;
    Ok(subscription)
}

fn unusable() -> String {
    "the subscriptions cannot be read or written".to_owned()
}

fn new(id: &str, name: &str) -> Subscription {
    Subscription {
        id: id.to_lowercase(),
        name: name.to_owned(),
        state: ENABLED.to_owned(),
        shares_cache: false,
        created: Timestamp::now(),
    }
}

/// The rows, and the first subscription if it has no row yet.
pub(crate) fn with_first(mut all: Vec<Subscription>, first: &str) -> Vec<Subscription> {
    if !all.iter().any(|subscription| subscription.id.eq_ignore_ascii_case(first)) {
        all.push(Subscription { created: Timestamp::UNIX_EPOCH, ..new(first, FIRST) });
        all.sort_by(|one, other| one.id.cmp(&other.id));
    }
    all
}

fn find(all: &[Subscription], which: &str) -> Result<Subscription> {
    let by_id = all.iter().find(|subscription| subscription.id.eq_ignore_ascii_case(which));
    let found = by_id.or_else(|| all.iter().find(|other| is_named(other, which)));
    found.cloned().ok_or_else(|| {
        Error::new(ErrorCode::NotFound, format!("there is no subscription '{which}'"))
            .target("SUBSCRIPTION")
            .hint("goldsmith admin subscription list shows all with their ids and names")
    })
}

fn is_named(subscription: &Subscription, name: &str) -> bool {
    subscription.name.to_lowercase() == name.to_lowercase()
}

fn check_name(name: &str, all: &[Subscription], own: Option<&str>) -> Result<()> {
    let invalid = |text: String| Err(Error::new(ErrorCode::InvalidArgument, text).target("NAME"));
    let length = name.chars().count();
    if length == 0 || length > LONGEST_NAME || name.trim() != name {
        return invalid(format!(
            "'{name}' is not a valid name: a name has 1 to {LONGEST_NAME} characters, without blanks at its ends"
        ));
    }
    if name.chars().any(char::is_control) || Uuid::try_parse(name).is_ok() {
        return invalid(format!(
            "'{}' is not a valid name: it must not be a GUID or have control characters",
            name.escape_debug()
        ));
    }
    let taken = all.iter().find(|other| is_named(other, name) && Some(other.id.as_str()) != own);
    match taken {
        None => Ok(()),
        Some(other) => {
            let text = format!("the subscription {} has the name '{name}'", other.id);
            Err(Error::new(ErrorCode::Conflict, text).target("NAME").hint("choose another name"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn name_is_free_and_valid() {
        let all = with_first(Vec::new(), ID);
        let code = |name: &str, own| check_name(name, &all, own).err().map(|error| error.code);
        assert_eq!(code("Platform team", None), None);
        assert_eq!(code("goldsmith", None), Some(ErrorCode::Conflict));
        assert_eq!(code("GOLDSMITH", Some(ID)), None, "the spelling of one's own name may change");
        for bad in ["", " a", "a\nb", ID, &"x".repeat(65)] {
            assert_eq!(code(bad, None), Some(ErrorCode::InvalidArgument), "{bad:?}");
        }
    }

    #[test]
    fn first_subscription_exists_without_a_row() {
        let all = with_first(Vec::new(), &ID.to_uppercase());
        assert_eq!((all[0].id.as_str(), all[0].name.as_str()), (ID, FIRST));
        assert_eq!(with_first(all.clone(), ID), all);
        assert_eq!(find(&all, "GoldSmith").unwrap().id, ID);
        assert_eq!(find(&all, "other").unwrap_err().code, ErrorCode::NotFound);
    }
}
