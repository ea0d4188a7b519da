//! Whether the machine of a template goes with its source, before anything runs.

use engine::build;
use engine::template::Template;
use images::error::Error;
use service::App;

use super::exact::blocking;

/// Checks `vmProfile` and `additionalDataDisks`. The run checks what needs properties of the source that
/// are unknown yet.
pub(super) async fn check(app: &App, template: &Template) -> Result<(), Error> {
    let (layout, template) = (app.settings().layout.clone(), template.clone());
    let subscription = app.subscription().to_owned();
    let look =
        move || match sources::facts(&layout, &template.properties.source, Some(&subscription))? {
            Some(facts) => build::check_machine(&template, &facts).map(|_| ()),
            None => Ok(()),
        };
    blocking(look).await
}
