//! Whether a run may still do what it does: the service owns it, and the identity of its template has the rights.

use async_trait::async_trait;
use engine::template::Template;
use images::{error::Result, ownership::Ownership};
use providers::image_builder;
use service::App;

/// Asked before each step of a run and before everything that others see of it: who takes a right from the template's
/// identity stops its runs, and they publish nothing.
pub(super) struct Admission {
    app: App,
    template: Template,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Admission {
    pub(super) fn new(app: App, template: Template) -> Self {
        Self { app, template }
    }
}

#[async_trait]
impl Ownership for Admission {
    async fn confirm(&self) -> Result<()> {
        self.app.confirm_ownership().await?;
        image_builder::confirm(&self.app, &self.template).await
    }

    fn is_certain(&self) -> bool {
        self.app.ownership().is_none_or(|ownership| ownership.is_certain())
    }
}
