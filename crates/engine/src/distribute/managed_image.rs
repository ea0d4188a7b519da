//! `ManagedImage`: a named image, which the next run replaces.

use std::{fs, sync::Arc};

use api::{
    ErrorCode, ResourceId, ResourceKind,
    template::{Delivery, Destination, Field, Kind, Named},
};
use async_trait::async_trait;
use images::{
    config::Config,
    digest::Digest,
    error::{Error, Result, io_fault},
    event::{DataOutput, RunOutput},
    export::allocated,
    image_file::artifact::DataDisk,
    run_context::RunContext,
    store::{Payload, Store, StoredImage, address::Address},
};
use regions::StorageRegions;
use serde::Serialize;
use vm::may_wait;

use super::{Check, Distributor, Need, OutputResource, Target, Work, labels};

pub(super) const KIND: Kind<Arc<dyn Distributor>> =
    Kind::new(ManagedImage::NAME, FIELDS, |reader, fields| {
        let image_id = reader
            .required(fields, "imageId")
            .and_then(|node| reader.resource_id(&node, &[ResourceKind::Image]));
        let location = reader.required_text(fields, "location");
        Some(Arc::new(ManagedImage { image_id: image_id?, location: location? }))
    });

const FIELDS: &[Field] = &[Field::new("imageId"), Field::new("location")];

/// A managed image to create or replace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ManagedImage {
    image_id: ResourceId,
    /// The region of the image.
    location: String,
}

impl Named for ManagedImage {
    const NAME: &'static str = "ManagedImage";
}

impl Delivery for ManagedImage {
    fn destination(&self) -> Option<Destination> {
        let key = self.image_id.to_string().to_lowercase();
        Some(Destination { what: "image", field: "imageId", key })
    }
}

#[async_trait]
impl Distributor for ManagedImage {
    fn faults(&self, cx: &RunContext, config: &Config) -> Vec<Error> {
        Vec::from_iter(StorageRegions::new(config, &cx.region_set).fault_of_managed(&self.location))
    }

    fn check(&self, _cx: &RunContext, _run: &Check<'_>) -> Result<()> {
        self.address().map(|_| ())
    }

    fn needs(&self) -> Vec<Need> {
        let (subscription, group) = (self.image_id.subscription(), self.image_id.resource_group());
        let text = format!("the resource group '{group}' of the image does not exist");
        let missing = Error::new(ErrorCode::ValidationFailed, text)
            .target("imageId")
            .hint("create the resource group, or name one that exists");
        let id = format!("/subscriptions/{subscription}/resourceGroups/{group}");
        vec![Need { id, missing }]
    }

    fn resource(&self) -> Option<OutputResource<'_>> {
        Some(OutputResource::Image { location: &self.location })
    }

    async fn publish(&self, work: Work<'_>) -> Result<RunOutput> {
        let store = Store::open(&work.cx.layout);
        let image = store.publish_managed(work.cx, &self.address()?, payload(work)).await?;
        output(work.target, &image)
    }
}

impl ManagedImage {
    fn address(&self) -> Result<Address> {
        let wrong = |why: String| {
            let text = format!("`{}` is not the id of a managed image: {why}", self.image_id);
            Error::new(ErrorCode::ValidationFailed, text).target("imageId")
        };
        match Address::of(&self.image_id).map_err(wrong)? {
            address @ Address::Managed(_) => Ok(address),
            _ => Err(wrong("it names something in a gallery".into())),
        }
    }
}

/// The standalone disk, with the labels of this distributor.
pub(super) fn payload(work: Work<'_>) -> Payload {
    Payload {
        disk: work.image.disk.clone(),
        digest: work.image.sha256.clone(),
        virtual_size: work.image.virtual_size,
        data: work.image.data.clone(),
        origin: work.facts.origin.clone(),
        labels: labels(work.target),
    }
}

/// The run output of an image in the store.
pub(super) fn output(target: &Target, image: &StoredImage) -> Result<RunOutput> {
    may_wait(|| {
        let path = image.disk();
        let metadata = fs::metadata(&path).map_err(|e| {
            io_fault(e, ErrorCode::DistributeFailed, format!("look at {}", path.display()))
        })?;
        Ok(RunOutput {
            run_output_name: target.run_output_name.clone(),
            kind: target.kind.kind().to_owned(),
            artifact_id: Some(image.record.id.clone()),
            artifact_uri: None,
            path,
            bytes: metadata.len(),
            allocated_bytes: allocated(&metadata),
            digest: Digest::Plain(image.record.digest.clone()),
            virtual_size: image.record.virtual_size,
            data_disks: data_outputs(image),
        })
    })
}

/// The outputs of an image's data disks in the store.
fn data_outputs(image: &StoredImage) -> Vec<DataOutput> {
    let output = |(lun, DataDisk { disk, sha256, virtual_size })| DataOutput {
        lun,
        path: disk,
        digest: Digest::Plain(sha256),
        virtual_size,
    };
    image.data().into_iter().enumerate().map(output).collect()
}
