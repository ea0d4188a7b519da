//! What a run leaves behind, as resources: its run outputs, the images and the gallery versions.

use api::{
    ResourceId,
    template::{Distributor, DistributorKind, ManagedImage, Regions, SharedImage, Template},
};
use arm::region;
use db::{Error, Resource, ResourceKey, Store, Write};
use images::{
    digest::Digest,
    event::{DataOutput, RunOutput},
    store as image_store,
    store::StoredImage,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use service::App;

/// Hidden in an output that is a blob of the staging account: its path in URLs of this server.
pub(crate) const BLOB: &str = "blob";
const GIB: u64 = 1024 * 1024 * 1024;
const OUTPUT: &str = "microsoft.virtualmachineimages/imagetemplates/runoutputs";
const IMAGE: &str = "microsoft.compute/images";

/// Everything to write for what a run delivered, and for what it made although the delivery failed.
/// `owner` is the run's template, unless it is gone. Existing resources are replaced.
pub async fn writes(
    app: &App,
    run_id: &str,
    owner: Option<&Resource>,
    template: &Template,
    outputs: &[RunOutput],
) -> Result<Vec<Write>, Error> {
    let mut resources = unfinished(app, run_id, template, outputs).await?;
    resources.extend(delivered(app, owner, template, outputs).await?);
    let mut writes = Vec::new();
    for (index, resource) in resources.iter().enumerate() {
        // One commit writes each resource once. Of two targets with one id the later has replaced the other.
        let key = resource.key();
        if !resources[index + 1..].iter().any(|later| later.key() == key) {
            writes.push(put(app.store(), resource.clone()).await?);
        }
    }
    Ok(writes)
}

/// The run outputs, and the images and versions they name.
async fn delivered(
    app: &App,
    owner: Option<&Resource>,
    template: &Template,
    outputs: &[RunOutput],
) -> Result<Vec<Resource>, Error> {
    let mut resources = Vec::new();
    for output in outputs {
        // A template that is gone has no outputs any more; its images stay.
        if let Some(owner) = owner {
            let base = app.base_url().unwrap_or_default();
            resources.push(run_output(owner, output, base));
        }
        let targets = &template.properties.distribute;
        let target = targets.iter().find(|d| d.run_output_name == output.run_output_name);
        let made = match target {
            Some(target) => artifact(app, target, output).await,
            None => None,
        };
        if let Some(resource) = made {
            resources.push(match &target.map(|target| &target.kind) {
                Some(DistributorKind::SharedImage(image)) => {
                    in_gallery(app.store(), resource, image).await?
                }
                _ => resource,
            });
        }
    }
    Ok(resources)
}

/// Versions that the run made although their distributor failed in the end: not every region got them.
async fn unfinished(
    app: &App,
    run_id: &str,
    template: &Template,
    outputs: &[RunOutput],
) -> Result<Vec<Resource>, Error> {
    let mut resources = Vec::new();
    for target in &template.properties.distribute {
        let DistributorKind::SharedImage(image) = &target.kind else { continue };
        let name = &target.run_output_name;
        if outputs.iter().any(|output| output.run_output_name == *name) {
            continue;
        }
        let Ok(definition) = image_store::address::Address::of(&image.definition()) else {
            continue;
        };
        let (run_id, output) = (run_id.to_owned(), name.clone());
        let made = in_images(app, move |images| images.of_run(&definition, &run_id, &output)).await;
        let Some(made) = made else { continue };
        let output = RunOutput {
            run_output_name: name.clone(),
            kind: target.kind.name().to_owned(),
            artifact_id: Some(made.record.id.clone()),
            artifact_uri: None,
            path: made.disk(),
            bytes: made.record.actual_size,
            allocated_bytes: made.record.actual_size,
            digest: Digest::Plain(made.record.digest.clone()),
            virtual_size: made.record.virtual_size,
            data_disks: engine::distribute::data_outputs(&made),
        };
        let Some(mut version) = artifact(app, target, &output).await else { continue };
        version.body["properties"]["provisioningState"] = json!("Failed");
        resources.push(in_gallery(app.store(), version, image).await?);
    }
    Ok(resources)
}

/// Adds it, or replaces what is there under its id.
async fn put(store: &Store, mut resource: Resource) -> Result<Write, Error> {
    let Some(before) = store.resource(&resource.key()).await? else {
        return Ok(Write::Insert(resource));
    };
    resource.id = before.id;
    resource.name = before.name;
    resource.revision = before.revision;
    resource.created = before.created;
    if let (Some(hidden), Some(new)) = (before.hidden.as_object(), resource.hidden.as_object()) {
        // What else is known of it, such as what its regions are to become, is not the run's.
        let both = hidden.clone().into_iter().chain(new.clone());
        resource.hidden = both.collect();
    }
    Ok(Write::Replace(resource))
}

fn run_output(template: &Resource, output: &RunOutput, base: &str) -> Resource {
    let mut properties = json!({ "provisioningState": "Succeeded" });
    if let Some(id) = &output.artifact_id {
        properties["artifactId"] = json!(id);
    }
    if let Some(uri) = &output.artifact_uri {
        properties["artifactUri"] = json!(uri);
    }
    let own = output.artifact_uri.as_deref().and_then(|uri| uri.strip_prefix(base));
    let own = own.filter(|path| path.starts_with("/storage/"));
    let id = format!("{}/runOutputs/{}", template.id, output.run_output_name);
    let hidden = own.map_or_else(|| json!({}), |path| json!({ BLOB: path }));
    Resource::new(id, OUTPUT, json!({ "properties": properties }), hidden)
}

/// What a look into the image store finds. Its files are read off the runtime.
async fn in_images(
    app: &App,
    look: impl FnOnce(&image_store::Store) -> images::error::Result<Option<StoredImage>>
    + Send
    + 'static,
) -> Option<StoredImage> {
    let store = image_store::Store::open(&app.settings().layout);
    let found = tokio::task::spawn_blocking(move || look(&store)).await;
    match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the image store cannot be read");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the image store cannot be read");
            None
        }
    }
}

/// The image or version that was made; a VHD is no resource.
async fn artifact(app: &App, target: &Distributor, output: &RunOutput) -> Option<Resource> {
    let id: ResourceId = output.artifact_id.as_ref()?.parse().ok()?;
    let record = match image_store::address::Address::of(&id) {
        Ok(address) => in_images(app, move |store| store.at(&address)).await,
        Err(_) => None,
    };
    let record = record.map(|image| image.record);
    let (kind, body) = match &target.kind {
        DistributorKind::ManagedImage(image) => {
            (IMAGE, image_body(image, target, output, record.as_ref()))
        }
        DistributorKind::SharedImage(image) => {
            (super::VERSIONS_KIND, version_body(app, image, target, output))
        }
        DistributorKind::Vhd(_) => return None,
    };
    Some(Resource::new(id.to_string(), kind, body, json!({})))
}

fn gigabytes(output: &RunOutput) -> u64 {
    output.virtual_size.div_ceil(GIB)
}

/// The image's data disks, each as `one` writes it with its size in GiB.
fn data_disks(output: &RunOutput, one: impl Fn(&DataOutput, u64) -> Value) -> Vec<Value> {
    output.data_disks.iter().map(|disk| one(disk, disk.virtual_size.div_ceil(GIB))).collect()
}

fn image_body(
    image: &ManagedImage,
    target: &Distributor,
    output: &RunOutput,
    record: Option<&image_store::Record>,
) -> Value {
    let origin = |of: fn(&image_store::Origin) -> &String, default: &str| {
        let text = record.map(|record| of(&record.origin)).filter(|text| !text.is_empty());
        text.map_or_else(|| default.to_owned(), Clone::clone)
    };
    json!({
        "location": image.location.replace(' ', "").to_lowercase(),
        "tags": target.artifact_tags,
        "properties": {
            "hyperVGeneration": origin(|origin| &origin.generation, "V2"),
            "storageProfile": {
                "osDisk": {
                    "osType": origin(|origin| &origin.os_type, "Linux"),
                    "osState": "Generalized",
                    "diskSizeGB": gigabytes(output),
                    "caching": "ReadWrite",
                    "storageAccountType": "Standard_LRS",
                },
                "dataDisks": data_disks(output, |disk, gb| json!({
                    "lun": disk.lun, "diskSizeGB": gb, "caching": "None",
                    "storageAccountType": "Standard_LRS",
                })),
                "zoneResilient": false,
            },
            "provisioningState": "Succeeded",
        },
    })
}

fn version_body(app: &App, image: &SharedImage, target: &Distributor, output: &RunOutput) -> Value {
    let region = |name: &str, replicas: u32, storage: &Value| {
        json!({
            "name": region::display(name),
            "regionalReplicaCount": replicas,
            "storageAccountType": storage,
        })
    };
    let (regions, storage): (Vec<Value>, Value) = match &image.regions {
        Regions::Target(regions) => {
            let one = |r: &api::template::TargetRegion| {
                region(&r.name, r.replica_count, &json!(r.storage_account_type))
            };
            (regions.iter().map(one).collect(), json!("Standard_LRS"))
        }
        Regions::Replication { regions, storage_account_type } => {
            let storage = json!(storage_account_type);
            (regions.iter().map(|name| region(name, 1, &storage)).collect(), storage)
        }
        Regions::Default => (Vec::new(), json!("Standard_LRS")),
    };
    let location = app.settings().regions.first().cloned().unwrap_or_default();
    json!({
        "location": location,
        "tags": target.artifact_tags,
        "properties": {
            "publishingProfile": {
                "targetRegions": regions,
                "replicaCount": 1,
                "excludeFromLatest": image.exclude_from_latest,
                "publishedDate": Timestamp::now().to_string(),
                "storageAccountType": storage,
                "replicationMode": image.replication_mode,
            },
            "storageProfile": {
                "osDiskImage": {
                    "sizeInGB": gigabytes(output), "hostCaching": "ReadWrite", "source": {},
                },
                "dataDiskImages": data_disks(output, |disk, gb| json!({
                    "lun": disk.lun, "sizeInGB": gb, "hostCaching": "None", "source": {},
                })),
            },
            "provisioningState": "Succeeded",
        },
    })
}

/// A version lies in its gallery's region, wherever the definition says it is. That region also is its target
/// where the template names none.
async fn in_gallery(
    store: &Store,
    mut version: Resource,
    image: &SharedImage,
) -> Result<Resource, Error> {
    let gallery = match image.definition().parent() {
        Some(gallery) => store.resource(&ResourceKey::of(&gallery.to_string())).await?,
        None => None,
    };
    let location = gallery.as_ref().and_then(|found| found.body["location"].as_str());
    if let Some(location) = location {
        version.body["location"] = json!(location);
    }
    let location = version.body["location"].as_str().unwrap_or_default().to_owned();
    let regions = &mut version.body["properties"]["publishingProfile"]["targetRegions"];
    if regions.as_array().is_some_and(Vec::is_empty) {
        *regions = json!([{
            "name": region::display(&location),
            "regionalReplicaCount": 1,
            "storageAccountType": "Standard_LRS",
        }]);
    }
    Ok(version)
}
