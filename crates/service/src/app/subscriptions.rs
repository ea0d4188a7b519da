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
