//! Whether a version is in the region of the template that starts from it.

use api::ErrorCode;
use arm::region;
use db::Resource;
use images::{
    config::{self, Config},
    error::Error,
    layout::Layout,
};
use service::App;

/// A template's region, to find out which versions are in it.
#[derive(Debug)]
pub(super) struct Here {
    layout: Layout,
    name: String,
    /// None: its versions are in the local store.
    place: Option<config::Region>,
}

impl Here {
    pub(super) fn of(app: &App, location: &str) -> Result<Self, Error> {
        let layout = app.settings().layout.clone();
        let name = region::normalise(location);
        let place = Config::load(&layout)?.region(&name).cloned();
        Ok(Self { layout, name, place })
    }

    /// Why a version that the service knows is not available here: the region must be one of its targets, and must
    /// really have a copy if it has a storage place.
    ///
    /// # Errors
    /// The region cannot be asked.
    pub(super) async fn refusal(&self, version: &Resource) -> Result<Option<Error>, Error> {
        let targets = version.body["properties"]["publishingProfile"]["targetRegions"].as_array();
        let targets: Vec<&str> =
            targets.into_iter().flatten().filter_map(|target| target["name"].as_str()).collect();
        if targets.iter().any(|target| region::normalise(target) == self.name) {
            return self.absence(&version.id).await;
        }
        Ok(Some(self.refuse(format!(
            "the version '{}' is not replicated to the template's region {}, only to {}",
            version.id,
            self.name,
            targets.join(", ")
        ))))
    }

    /// The same for a version that a command on this machine made, which has no target regions.
    ///
    /// # Errors
    /// The region cannot be asked.
    pub(super) async fn absence(&self, id: &str) -> Result<Option<Error>, Error> {
        let Some(place) = &self.place else { return Ok(None) };
        if regions::has(&self.layout, place, id).await? {
            return Ok(None);
        }
        Ok(Some(self.refuse(format!(
            "the version '{id}' has no copy in the template's region {}",
            self.name
        ))))
    }

    fn refuse(&self, why: String) -> Error {
        let hint = format!("replicate it to {}, or build in a region that has it", self.name);
        Error::new(ErrorCode::BadSharedImageVersionSource, why)
            .target("properties.source.imageVersionId")
            .hint(hint)
    }
}
