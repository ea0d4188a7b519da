//! The service's rules for resources of every type.

use arm::{ApiError, Context, Service};
use async_trait::async_trait;
use db::Resource;

use crate::{App, quotas, read_only};

#[async_trait]
impl Service for App {
    fn context(&self) -> &Context {
        self.context()
    }

    fn may_change(&self, resource: &Resource) -> Result<(), ApiError> {
        read_only::check_writable(resource)
    }

    async fn may_add(&self, kind: &str) -> Result<(), ApiError> {
        quotas::resource(self, kind).await
    }
}
