//! `ManagedImage`: a named image, which the next run replaces.

use std::fs;

use api::{
    ErrorCode,
    template::{Distributor, ManagedImage},
};
use images::{
    config::Config,
    cx::Cx,
    digest::Digest,
    error::{Error, Result, io_fault},
    event::{DataOutput, RunOutput},
    export::allocated,
    image_file::artifact::DataDisk,
    store::{Payload, Store, StoredImage, address::Address},
};
use regions::Known;
use vm::may_wait;

use super::{Work, labels};

pub(super) fn check(target: &ManagedImage) -> Result<()> {
    address(target).map(|_| ())
}

/// The error of its region.
pub(super) fn region(cx: &Cx, config: &Config, target: &ManagedImage) -> Option<Error> {
    Known::new(config, &cx.geography).fault_of_managed(&target.location)
}

fn address(target: &ManagedImage) -> Result<Address> {
    let wrong = |why: String| {
        let text = format!("`{}` is not the id of a managed image: {why}", target.image_id);
        Error::new(ErrorCode::ValidationFailed, text).target("imageId")
    };
    match Address::of(&target.image_id).map_err(wrong)? {
        address @ Address::Managed(_) => Ok(address),
        _ => Err(wrong("it names something in a gallery".into())),
    }
}

pub(super) async fn publish(work: Work<'_>, target: &ManagedImage) -> Result<RunOutput> {
    let store = Store::open(&work.cx.layout);
    let image = store.publish_managed(work.cx, &address(target)?, payload(work)).await?;
    output(work.distributor, &image)
}

/// The standalone disk, with the labels of this distributor.
pub(super) fn payload(work: Work<'_>) -> Payload {
    Payload {
        disk: work.image.disk.clone(),
        digest: work.image.sha256.clone(),
        virtual_size: work.image.virtual_size,
        data: work.image.data.clone(),
        origin: work.facts.origin.clone(),
        labels: labels(work.distributor),
    }
}

/// The run output of an image in the store.
pub(super) fn output(distributor: &Distributor, image: &StoredImage) -> Result<RunOutput> {
    may_wait(|| {
        let path = image.disk();
        let metadata = fs::metadata(&path).map_err(|e| {
            io_fault(e, ErrorCode::DistributeFailed, format!("look at {}", path.display()))
        })?;
        Ok(RunOutput {
            run_output_name: distributor.run_output_name.clone(),
            kind: distributor.kind.name().to_owned(),
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
pub fn data_outputs(image: &StoredImage) -> Vec<DataOutput> {
    let output = |(lun, DataDisk { disk, sha256, virtual_size })| DataOutput {
        lun,
        path: disk,
        digest: Digest::Plain(sha256),
        virtual_size,
    };
    image.data().into_iter().enumerate().map(output).collect()
}
