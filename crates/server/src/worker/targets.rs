//! Whether what a run is to write into exists, looked at before anything is built.

use api::{
    ErrorCode,
    template::{DistributorKind, Template},
};
use engine::error::Error;

use crate::{
    App,
    store::{self, ResourceKey},
};

/// The first gallery or definition that is missing.
pub(super) async fn missing(app: &App, template: &Template) -> Result<Option<Error>, store::Error> {
    // Nothing is distributed where only the source is validated.
    if template.properties.validate.as_ref().is_some_and(|v| v.source_validation_only) {
        return Ok(None);
    }
    for target in &template.properties.distribute {
        let DistributorKind::SharedImage(image) = &target.kind else { continue };
        let definition = image.definition();
        for (what, id) in [("gallery", definition.parent()), ("image definition", Some(definition))]
        {
            let Some(id) = id.map(|id| id.to_string()) else { continue };
            if app.store().resource(&ResourceKey::of(&id)).await?.is_none() {
                let text = format!("the {what} '{id}' does not exist");
                return Ok(Some(
                    Error::new(ErrorCode::BadSharedImageDistribute, text)
                        .target(format!("{}.galleryImageId", target.path))
                        .hint("create the gallery and the image definition, then run again"),
                ));
            }
        }
    }
    Ok(None)
}
