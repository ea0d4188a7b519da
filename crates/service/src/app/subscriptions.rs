//! The subscriptions as the running service knows them.

use std::sync::{Arc, Mutex, PoisonError};

use db::{Error, Subscription};
use images::partition::Partition;
use uuid::Uuid;

use super::App;
use crate::subscriptions::with_first;

/// All subscriptions as of a generation of the database.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Option<(i64, Arc<[Subscription]>)>>);

impl App {
    /// All subscriptions, by id. A change by another process may stay unseen for a second.
    ///
    /// # Errors
    /// The database fails.
    pub async fn subscriptions(&self) -> Result<Arc<[Subscription]>, Error> {
        // Before the rows: a change between the two makes the entry outdated, never wrong.
        let generation = self.access_generation().await?;
        let known = &self.known_subscriptions().0;
        if let Some((of, all)) = &*known.lock().unwrap_or_else(PoisonError::into_inner)
            && *of == generation
        {
            return Ok(all.clone());
        }
        let all: Arc<[Subscription]> =
            with_first(self.store().subscriptions().await?, &self.settings().subscription).into();
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some((generation, all.clone()));
        Ok(all)
    }

    /// The service for the work of a subscription. `None` if the subscription does not exist.
    ///
    /// # Errors
    /// The database fails.
    pub async fn enter(&self, id: &str) -> Result<Option<Self>, Error> {
        let all = self.subscriptions().await?;
        let found = all.iter().find(|subscription| subscription.id.eq_ignore_ascii_case(id));
        Ok(found.map(|subscription| self.within(&subscription.id)))
    }

    /// The service for the work of each subscription.
    ///
    /// # Errors
    /// The database fails.
    pub async fn in_each(&self) -> Result<Vec<Self>, Error> {
        let all = self.subscriptions().await?;
        Ok(all.iter().map(|subscription| self.within(&subscription.id)).collect())
    }

    /// The part of the cache that builds of this subscription use.
    ///
    /// # Errors
    /// The database fails.
    pub async fn partition(&self) -> Result<Partition, Error> {
        let own = self.subscription();
        let all = self.subscriptions().await?;
        let shares =
            all.iter().any(|other| other.id.eq_ignore_ascii_case(own) && other.shares_cache);
        Ok(match shares {
            true => Partition::Shared,
            false => Partition::Own(Uuid::try_parse(own).unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use db::Store;
    use images::layout::Layout;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Settings, subscriptions};

    const FIRST: &str = "11111111-2222-3333-4444-555555555555";

    async fn app(dir: &tempfile::TempDir) -> App {
        let url = format!("sqlite://{}", dir.path().join("db").display());
        let settings = Settings {
            layout: Layout::new(dir.path().join("cache"), dir.path().join("data")),
            dir: dir.path().to_owned(),
            regions: vec!["westus2".to_owned()],
            tenant: "t".to_owned(),
            subscription: FIRST.to_owned(),
        };
        App::new(settings, Store::open(&url).await.unwrap(), CancellationToken::new())
    }

    #[tokio::test]
    async fn changes_of_subscriptions_count_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(&dir).await;
        let names = async || {
            let all = app.subscriptions().await.unwrap();
            let mut names: Vec<String> = all.iter().map(|one| one.name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(names().await, ["Goldsmith"], "the first one has no row yet");
        subscriptions::begin(app.store(), FIRST).await.unwrap();
        let other = subscriptions::create(app.store(), "Other").await.unwrap();
        assert_eq!(names().await, ["Goldsmith", "Other"]);
        subscriptions::rename(app.store(), "other", "Else").await.unwrap();
        subscriptions::begin(app.store(), FIRST).await.unwrap();
        assert_eq!(names().await, ["Else", "Goldsmith"]);
        let taken = subscriptions::rename(app.store(), &other.id, "GOLDSMITH").await.unwrap_err();
        assert_eq!(taken.code, api::ErrorCode::Conflict);

        let within = app.enter(&other.id.to_uppercase()).await.unwrap().unwrap();
        assert_eq!(within.subscription(), other.id);
        assert!(app.enter("77777777-0000-0000-0000-000000000000").await.unwrap().is_none());
        let own = Partition::Own(Uuid::try_parse(&other.id).unwrap());
        assert_eq!(within.partition().await.unwrap(), own);
        subscriptions::share_cache(app.store(), "Else", true).await.unwrap();
        assert_eq!(within.partition().await.unwrap(), Partition::Shared);
        assert_ne!(app.partition().await.unwrap(), Partition::Shared);
        assert_eq!(app.in_each().await.unwrap().len(), 2);
    }
}
