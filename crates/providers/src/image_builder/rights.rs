//! What the caller of a template's PUT or PATCH needs at the resources that the template names, and what the template's own
//! identity needs for its runs.
//!
//! The identity is checked when the template is made or changed, at the beginning of each attempt of a run, and before each
//! step of it, the last time before it publishes: who loses a right in between publishes nothing any more.

use std::time::Duration;

use api::{ErrorCode, template::Identity};
use arm::{ApiError, Call, Caller, denied};
use authorization::{Denial, Effect, Need, Scope, Wanted};
use engine::{
    distribute::OutputResource,
    template::{Target, Template, downloads},
};
use images::error::Error;
use service::App;

use super::{TEMPLATE_ACTIONS, check::found_identity, failure::Failure};
use crate::{
    linked::{self, need},
    storage::own_blob,
};

const ASSIGN: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
const JOIN: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";
const READ_NETWORK: &str = "Microsoft.Network/virtualNetworks/read";
const READ_GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
const WRITE_GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";
const READ_IMAGE: &str = "Microsoft.Compute/images/read";
const READ_GALLERY: &str = "Microsoft.Compute/galleries/read";
const READ_DEFINITION: &str = "Microsoft.Compute/galleries/images/read";
const READ_VERSION: &str = "Microsoft.Compute/galleries/images/versions/read";
const WRITE_VERSION: &str = "Microsoft.Compute/galleries/images/versions/write";
/// What a managed image as target needs at its group.
const IMAGE_TARGET: [&str; 3] = [
    "Microsoft.Compute/images/read",
    "Microsoft.Compute/images/write",
    "Microsoft.Compute/images/delete",
];
const READ_CONTAINER: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/read";
const WRITE_CONTAINER: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/write";
const READ_BLOB: Wanted =
    Wanted::data("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read");
const WRITE_BLOB: Wanted =
    Wanted::data("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write");

/// The code of a missing right, as Azure has it.
const FAILED: &str = "AuthorizationFailed";

/// The pause between two looks at a failing database.
const RETRY: Duration = Duration::from_secs(1);

/// The parts of a template whose resources a caller names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) identity: bool,
    pub(super) machine: bool,
    pub(super) fixed: bool,
}

impl Parts {
    pub(super) const ALL: Self = Self { identity: true, machine: true, fixed: true };
}

/// Checks the caller of a PUT or PATCH at what the template names in these parts.
///
/// # Errors
/// 403 `LinkedAuthorizationFailed`
pub(super) async fn check_caller(
    app: &App,
    call: &Call,
    template: &Template,
    parts: Parts,
) -> Result<(), ApiError> {
    let mut also = Vec::new();
    if parts.identity
        && let Some(Identity::UserAssigned { id }) = &template.identity
    {
        also.push(need(ASSIGN, &id.to_string()));
    }
    if parts.machine {
        also.extend(machine(template).into_iter().map(|(_, need)| need));
        also.extend(subnet(template).map(|id| need(JOIN, &id)));
    }
    if parts.fixed {
        also.extend(source_of(app, template).await?.into_iter().map(|(_, need)| need).last());
        also.extend(staging(template).into_iter().map(|(_, need)| need));
    }
    linked::check(call, TEMPLATE_ACTIONS.write, &also)
}

/// A need of a template, with the field that it comes from.
type Named = (String, Need);

/// What the identity of a template in a subscription needs, apart from blobs: a template cannot tell which of them are the service's own.
fn needs(subscription: &str, template: &Template) -> Vec<Named> {
    let mut all = staging(template);
    // A group in another subscription is refused unseen.
    let own = Scope::parse(&format!("/subscriptions/{subscription}"));
    all.retain(|(_, need)| own.contains(&need.scope));
    all.extend(machine(template));
    if let Some(id) = subnet(template) {
        let network = id.rsplitn(3, '/').nth(2).unwrap_or_default();
        for need in [need(READ_NETWORK, network), need(JOIN, &id)] {
            all.push((engine::build::SUBNET_FIELD.to_owned(), need));
        }
    }
    let validate = template.properties.validate.as_ref();
    if !validate.is_some_and(|validate| validate.source_validation_only) {
        all.extend(template.properties.distribute.iter().flat_map(target));
    }
    all
}

fn subnet(template: &Template) -> Option<String> {
    engine::build::wanted_subnet(template).map(ToString::to_string)
}

fn machine(template: &Template) -> Vec<Named> {
    let ids = template.properties.vm_profile.iter();
    let ids = ids.flat_map(|profile| &profile.user_assigned_identities);
    let field = "properties.vmProfile.userAssignedIdentities";
    ids.map(|id| (field.to_owned(), need(ASSIGN, &id.to_string()))).collect()
}

fn staging(template: &Template) -> Vec<Named> {
    let Some(id) = &template.properties.staging_resource_group else { return Vec::new() };
    let id = id.to_string();
    let field = "properties.stagingResourceGroup";
    [READ_GROUP, WRITE_GROUP].map(|action| (field.to_owned(), need(action, &id))).into()
}

fn target(target: &Target) -> Vec<Named> {
    let named = |need| (target.path.clone(), need);
    match target.kind.resource() {
        Some(OutputResource::Image { .. }) => {
            let groups = target.kind.needs();
            let at = |action| groups.iter().map(move |group| named(need(action, &group.id)));
            IMAGE_TARGET.into_iter().flat_map(at).collect()
        }
        Some(OutputResource::GalleryVersion(version)) => {
            let definition = version.definition.to_string();
            let gallery = version.definition.parent().map(|id| id.to_string());
            let gallery = gallery.map(|id| named(need(READ_GALLERY, &id)));
            let inside = [READ_DEFINITION, READ_VERSION, WRITE_VERSION];
            gallery
                .into_iter()
                .chain(inside.map(|action| named(need(action, &definition))))
                .collect()
        }
        None => Vec::new(),
    }
}

/// What the source needs; the last one is for the image itself. Catalogue images, and those that only commands on this
/// machine know, are the administrator's: nobody needs a right for them.
async fn source_of(app: &App, template: &Template) -> Result<Vec<Named>, db::Error> {
    let source = &template.properties.source;
    let Some(id) = source.id() else { return Ok(Vec::new()) };
    let subscriptions = app.subscriptions().await?;
    if !subscriptions.iter().any(|one| one.id.eq_ignore_ascii_case(id.subscription())) {
        return Ok(Vec::new());
    }
    let Some(definition) = source.definition() else {
        let field = "properties.source.imageId".to_owned();
        return Ok(vec![(field, need(READ_IMAGE, &id.to_string()))]);
    };
    let field = "properties.source.imageVersionId";
    let gallery = definition.parent().map(|gallery| (READ_GALLERY, gallery.to_string()));
    let inside = [(READ_DEFINITION, definition.to_string()), (READ_VERSION, id.to_string())];
    let all = gallery.into_iter().chain(inside);
    Ok(all.map(|(action, id)| (field.to_owned(), need(action, &id))).collect())
}

/// What blobs in accounts of the service need: scripts are read, a VHD with an address is written.
async fn blobs(app: &App, template: &Template) -> Result<Vec<Named>, db::Error> {
    let mut all = Vec::new();
    for download in downloads(template) {
        let field = format!("{}.{}", download.path, download.file.field);
        if let Some((account, container)) = place(app, download.file.uri).await? {
            let scope = format!("{account}/blobServices/default/containers/{container}");
            all.push((field, Need::new(READ_BLOB, Scope::parse(&scope))));
        }
    }
    for target in &template.properties.distribute {
        let written = serde_json::to_value(target)?;
        let Some(uri) = written["uri"].as_str() else { continue };
        if let Some((account, _)) = place(app, uri).await? {
            let wanted = [READ_CONTAINER, WRITE_CONTAINER].map(Wanted::action);
            let scope = Scope::parse(&account);
            let needs = wanted.into_iter().chain([WRITE_BLOB]);
            let needs = needs.map(|wanted| Need::new(wanted, scope.clone()));
            all.extend(needs.map(|need| (format!("{}.uri", target.path), need)));
        }
    }
    Ok(all)
}

/// The id of the account of the service, and the container, that a URI names.
async fn place(app: &App, uri: &str) -> Result<Option<(String, String)>, db::Error> {
    let found = own_blob(app, uri).await?;
    Ok(found.map(|(account, blob)| (account.id, blob.container)))
}

/// What the template's identity lacks, each with its field.
pub(super) async fn lacks(app: &App, template: &Template) -> Result<Vec<Error>, db::Error> {
    let mut all = source_of(app, template).await?;
    all.extend(needs(app.subscription(), template));
    let blobs = blobs(app, template).await?;
    let own = Scope::parse(&format!("/subscriptions/{}", app.subscription()));
    let (blobs, foreign): (Vec<_>, Vec<_>) =
        blobs.into_iter().partition(|(_, need)| own.contains(&need.scope));
    all.extend(blobs);
    if template.identity.is_none()
        && all.is_empty()
        && let Some((field, need)) = foreign.first()
    {
        return Ok(vec![strange(&need.scope, field)]);
    }
    all.extend(foreign);
    let Some((field, first)) = all.first() else { return Ok(Vec::new()) };
    let Some(Identity::UserAssigned { id }) = &template.identity else {
        let text = format!(
            "The image template has no identity that could perform action '{}' over scope '{}'",
            first.wanted.name(),
            first.scope.as_str()
        );
        return Ok(vec![Error::new(ErrorCode::AccessDenied, text).target(field.clone()).hint(
            "give the template a user-assigned identity in 'identity', and the identity a role with this action",
        )]);
    };
    let id = id.to_string();
    let Some(ids) = found_identity(app, &id).await? else {
        let text =
            format!("The user-assigned identity '{id}' of the image template does not exist");
        let error = Error::new(ErrorCode::AccessDenied, text).target("identity");
        return Ok(vec![error.hint("create it again, or give the template another identity")]);
    };
    let text = |name: &str| ids[name].as_str().unwrap_or_default().to_owned();
    let caller = Caller { client_id: text("clientId"), object_id: text("principalId") };
    let rights = app.rights(&caller).await?;
    let lack = |(field, need): Named| {
        let denial = rights.check(&need).err().filter(|denial| is_lack(denial, &need))?;
        let account = account_of(&need.scope);
        if let Some(account) = account.filter(|one| !own.contains(one) && !rights.touches(one)) {
            return Some(strange(&account, &field));
        }
        Some(lacking(&id, &caller, &denial, &need).target(field))
    };
    Ok(all.into_iter().filter_map(lack).collect())
}

/// The storage account that a scope is, or is inside of.
fn account_of(scope: &Scope) -> Option<Scope> {
    const KIND: &str = "/microsoft.storage/storageaccounts/";
    let text = scope.as_str();
    let begin = text.to_ascii_lowercase().find(KIND)? + KIND.len();
    let end = text[begin..].find('/').map_or(text.len(), |length| begin + length);
    Some(Scope::parse(&text[..end]))
}

/// The refusal of an account in somebody else's subscription. It tells no more than the address of the template does.
fn strange(scope: &Scope, field: &str) -> Error {
    let account = account_of(scope);
    let name = account.as_ref().and_then(|one| one.as_str().rsplit('/').next()).unwrap_or_default();
    let text = format!(
        "The storage account '{name}' does not exist, or the identity of the image template has no role in it"
    );
    Error::new(ErrorCode::AccessDenied, text).target(field.to_owned()).hint(
        "name an account that exists, and give the template's identity a role for its blobs there",
    )
}

/// Whether a run would fail for it. A lock against deletion does not stop a run, which deletes nothing of others.
fn is_lack(denial: &Denial, need: &Need) -> bool {
    !matches!(denial, Denial::Locked { .. }) || need.wanted.effect() != Effect::Delete
}

fn lacking(identity: &str, caller: &Caller, denial: &Denial, need: &Need) -> Error {
    let error = Error::new(ErrorCode::AccessDenied, denied(caller, denial).message);
    match denial {
        Denial::Locked { .. } => error.hint("remove the lock, or name a place without one"),
        Denial::Missing { .. } | Denial::Linked { .. } => error.hint(format!(
            "give the template's identity '{identity}' a role with this action, for example with az role assignment create --assignee {} --role \"{}\" --scope {}",
            caller.object_id,
            role(&need.wanted),
            need.scope.as_str()
        )),
    }
}

/// A role with the action.
fn role(wanted: &Wanted) -> &'static str {
    match wanted {
        Wanted::Data(_) if *wanted == READ_BLOB => "Storage Blob Data Reader",
        Wanted::Data(_) => "Storage Blob Data Contributor",
        Wanted::Action(action) if action == ASSIGN => "Managed Identity Operator",
        Wanted::Action(_) => "Contributor",
    }
}

/// As [`lacks`], as the failure of a creation.
pub(super) async fn check(
    app: &App,
    template: &Template,
) -> Result<Result<(), Failure>, db::Error> {
    let checked = Error::all(lacks(app, template).await?);
    Ok(checked.map_err(|error| Failure { code: FAILED, ..Failure::from(error) }))
}

/// Checks that the template's identity may do all that a run of the template does. Waits for a database that fails for a
/// moment.
///
/// # Errors
/// `AccessDenied`, with what it lacks.
pub async fn confirm(app: &App, template: &Template) -> Result<(), Error> {
    loop {
        let error = match lacks(app, template).await {
            Ok(lacks) => return Error::all(lacks),
            Err(error) => error,
        };
        if !error.is_passing() {
            let text = "the rights of the template's identity cannot be looked up";
            return Err(Error::new(ErrorCode::InternalError, text).caused_by(error));
        }
        tokio::time::sleep(RETRY).await;
    }
}
