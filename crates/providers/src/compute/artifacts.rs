//! The resources that a run leaves: its run outputs, images and gallery versions.

use api::{
    ResourceId,
    template::{Regions, StorageAccountType},
};
use arm::region;
use db::{Error, Resource, ResourceKey, Write};
use engine::{
    OsType,
    distribute::{GalleryVersion, OutputResource},
    template::{Target, Template},
};
use images::{
    event::RunOutput,
    store::{Origin, Record, Store, StoredImage, address::Address},
};
use serde_json::{Map, Value, json};
use service::App;

use super::version as versions;

/// Hidden in an output that is a blob of the staging account: its path in URLs of this server.
pub(crate) const BLOB: &str = "blob";
const GIB: u64 = 1024 * 1024 * 1024;
const OUTPUT: &str = "microsoft.virtualmachineimages/imagetemplates/runoutputs";
const IMAGE: &str = "microsoft.compute/images";

/// The writes for what a run delivered, and for what it made although the delivery failed.
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
    let base = app.base_url().unwrap_or_default();
    for output in outputs {
        // A deleted template has no outputs any more; its images stay.
        resources.extend(owner.map(|owner| run_output(owner, output, base)));
        let mut targets = template.properties.distribute.iter();
        let target = targets.find(|target| target.run_output_name == output.run_output_name);
        let id = output.artifact_id.as_ref().and_then(|id| id.parse::<ResourceId>().ok());
        if let (Some(target), Some(id)) = (target, id) {
            let stored = match Address::of(&id) {
                Ok(address) => in_images(app, move |store| store.at(&address)).await,
                Err(_) => None,
            };
            let disks = stored.map_or_else(|| Disks::of_output(output), |s| Disks::of(&s.record));
            resources.extend(artifact(app, target, &id.to_string(), &disks).await?);
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
        let Some(version) = target.kind.version() else { continue };
        let name = &target.run_output_name;
        if outputs.iter().any(|output| output.run_output_name == *name) {
            continue;
        }
        let Ok(definition) = Address::of(&version.definition) else {
            continue;
        };
        let (run_id, output) = (run_id.to_owned(), name.clone());
        let made = in_images(app, move |images| images.of_run(&definition, &run_id, &output)).await;
        let Some(record) = made.map(|made| made.record) else { continue };
        let version = artifact(app, target, &record.id, &Disks::of(&record)).await?;
        resources.extend(version.map(|mut version| {
            version.body["properties"]["provisioningState"] = json!("Failed");
            version
        }));
    }
    Ok(resources)
}

/// Adds the resource, or replaces the one with its id.
async fn put(store: &db::Store, mut resource: Resource) -> Result<Write, Error> {
    let Some(before) = store.resource(&resource.key()).await? else {
        return Ok(Write::Insert(resource));
    };
    resource.id = before.id;
    resource.name = before.name;
    resource.revision = before.revision;
    resource.created = before.created;
    if let (Some(hidden), Some(new)) = (before.hidden.as_object(), resource.hidden.as_object()) {
        // A run leaves other hidden fields unchanged, such as a pending change of regions.
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

/// Reads the image store on a blocking thread. An unreadable store finds nothing.
async fn in_images(
    app: &App,
    look: impl FnOnce(&Store) -> images::error::Result<Option<StoredImage>> + Send + 'static,
) -> Option<StoredImage> {
    let store = Store::open(&app.settings().layout);
    let found = tokio::task::spawn_blocking(move || look(&store).map_err(|e| e.to_string()));
    found.await.unwrap_or_else(|panic| Err(panic.to_string())).unwrap_or_else(|error| {
        tracing::warn!(error, "the image store cannot be read");
        None
    })
}

/// The disks of an image or version.
struct Disks {
    generation: String,
    os_type: OsType,
    /// Size of the OS disk in GiB.
    os: u64,
    /// LUNs and sizes in GiB.
    data: Vec<(usize, u64)>,
}

impl Disks {
    /// The image store is the truth about disks.
    fn of(record: &Record) -> Self {
        let data = record.data_disks.iter().map(|disk| (disk.lun, disk.virtual_size));
        Self::new(&record.origin, record.virtual_size, data)
    }

    /// What the run reported, where the store cannot be read.
    fn of_output(output: &RunOutput) -> Self {
        let data = output.data_disks.iter().map(|disk| (disk.lun, disk.virtual_size));
        Self::new(&Origin::default(), output.virtual_size, data)
    }

    fn new(origin: &Origin, os: u64, data: impl Iterator<Item = (usize, u64)>) -> Self {
        let generation = if origin.generation.is_empty() { "V2" } else { &origin.generation };
        Self {
            generation: generation.to_owned(),
            os_type: origin.os(),
            os: os.div_ceil(GIB),
            data: data.map(|(lun, bytes)| (lun, bytes.div_ceil(GIB))).collect(),
        }
    }
}

/// The resource that represents the artifact, if there is one.
async fn artifact(
    app: &App,
    target: &Target,
    id: &str,
    disks: &Disks,
) -> Result<Option<Resource>, Error> {
    let (kind, body) = match target.kind.resource() {
        Some(OutputResource::Image { location }) => (IMAGE, image_body(location, target, disks)),
        Some(OutputResource::GalleryVersion(version)) => {
            (super::VERSIONS_KIND, version_body(app, &version, target, disks).await?)
        }
        None => return Ok(None),
    };
    Ok(Some(Resource::new(id.to_owned(), kind, body, json!({}))))
}

fn image_body(location: &str, target: &Target, disks: &Disks) -> Value {
    let data = disks.data.iter().map(|(lun, gb)| {
        json!({ "lun": lun, "diskSizeGB": gb, "caching": "None",
            "storageAccountType": "Standard_LRS" })
    });
    let properties = json!({
        "hyperVGeneration": disks.generation,
        "storageProfile": {
            "osDisk": {
                "osType": disks.os_type,
                "osState": "Generalized",
                "diskSizeGB": disks.os,
                "caching": "ReadWrite",
                "storageAccountType": "Standard_LRS",
            },
            "dataDisks": data.collect::<Value>(),
            "zoneResilient": false,
        },
    });
    let location = region::normalise(location);
    super::image::document(&location, &json!(target.artifact_tags), properties)
}

/// A version lies in its gallery's region, wherever the definition says it is. That region also is its target
/// where the template names none.
async fn version_body(
    app: &App,
    version: &GalleryVersion<'_>,
    target: &Target,
    disks: &Disks,
) -> Result<Value, Error> {
    let gallery = match version.definition.parent() {
        Some(gallery) => app.store().resource(&ResourceKey::of(&gallery.to_string())).await?,
        None => None,
    };
    let location = gallery.as_ref().and_then(|found| found.body["location"].as_str());
    let location = location.or_else(|| app.settings().regions.first().map(String::as_str));
    let location = location.unwrap_or_default();
    let one = |region: &str, replicas: u32, storage: StorageAccountType| {
        versions::target(region, replicas.into(), storage, Map::new())
    };
    let mut storage = StorageAccountType::default();
    let mut targets: Vec<Value> = match version.regions {
        Regions::Target(regions) => regions
            .iter()
            .map(|region| one(&region.name, region.replica_count, region.storage_account_type))
            .collect(),
        Regions::Replication { regions, storage_account_type } => {
            storage = *storage_account_type;
            regions.iter().map(|name| one(name, 1, storage)).collect()
        }
        Regions::Default => Vec::new(),
    };
    if targets.is_empty() {
        targets.push(one(location, 1, StorageAccountType::default()));
    }
    let also = Map::from_iter([("replicationMode".to_owned(), json!(version.replication_mode))]);
    let profile =
        versions::publishing(also, targets, 1, storage, version.exclude_from_latest, None);
    let disk =
        |gb: &u64, caching: &str| json!({ "sizeInGB": gb, "hostCaching": caching, "source": {} });
    let data = disks.data.iter().map(|(lun, gb)| {
        let mut data = disk(gb, "None");
        data["lun"] = json!(lun);
        data
    });
    let storage = json!({
        "osDiskImage": disk(&disks.os, "ReadWrite"),
        "dataDiskImages": data.collect::<Value>(),
    });
    Ok(versions::document(location, &json!(target.artifact_tags), Map::new(), profile, storage))
}
