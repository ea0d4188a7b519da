//! What the service says of every resource, whatever its type.

use arm::{ApiError, Context, Service};
use async_trait::async_trait;
use db::Resource;

use crate::{App, held, quotas};

#[async_trait]
impl Service for App {
    fn context(&self) -> &Context {
        self.context()
    }

    fn may_change(&self, resource: &Resource) -> Result<(), ApiError> {
        held::check_is_clients(resource)
    }

    async fn may_add(&self, kind: &str) -> Result<(), ApiError> {
        quotas::resource(self, kind).await
    }
}
