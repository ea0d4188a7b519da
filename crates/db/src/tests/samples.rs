//! Sample rows.

use serde_json::json;

use crate::{
    Activity, Cause, Client, Credential, CredentialKind, LockRow, Operation, OperationStatus,
    Resource, RoleAssignment, RoleDefinition, Run, RunState,
};

pub(super) const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";
pub(super) const TEMPLATES: &str = "microsoft.virtualmachineimages/imagetemplates";
pub(super) const GROUPS: &str = "microsoft.resources/resourcegroups";

pub(super) fn resource(group: &str, kind: &str, below: &str, name: &str) -> Resource {
    let id = match kind {
        GROUPS => format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"),
        _ => format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/{below}/{name}"),
    };
    Resource {
        id,
        subscription: SUBSCRIPTION.to_owned(),
        group: group.to_lowercase(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        revision: 0,
        created: "2026-01-02T03:04:05.000000007Z".parse().unwrap(),
        changed: "2026-01-02T03:04:06Z".parse().unwrap(),
        body: json!({"location": "westus2", "tags": {"a": "ä"}, "properties": {"n": 1}}),
        hidden: json!({"pinned": ["x"]}),
    }
}

pub(super) fn template(group: &str, name: &str) -> Resource {
    resource(group, TEMPLATES, "providers/Microsoft.VirtualMachineImages/imageTemplates", name)
}

pub(super) fn group(name: &str) -> Resource {
    resource(name, GROUPS, "", name)
}

pub(super) fn gallery(group: &str, name: &str) -> Resource {
    resource(group, "microsoft.compute/galleries", "providers/Microsoft.Compute/galleries", name)
}

pub(super) fn definition(group: &str, gallery: &str, name: &str) -> Resource {
    let below = format!("providers/Microsoft.Compute/galleries/{gallery}/images");
    resource(group, "microsoft.compute/galleries/images", &below, name)
}

pub(super) fn operation(id: &str, started: &str) -> Operation {
    Operation {
        id: id.to_owned(),
        subscription: SUBSCRIPTION.to_owned(),
        kind: "putTemplate".to_owned(),
        target: template("g", "t").key(),
        status: OperationStatus::InProgress,
        error: None,
        started: started.parse().unwrap(),
        ended: None,
        origin: None,
    }
}

pub(super) fn run(id: &str, template: &Resource, queued: &str) -> Run {
    Run {
        id: id.to_owned(),
        template: template.key(),
        subscription: SUBSCRIPTION.to_owned(),
        operation: format!("operation-of-{id}"),
        state: RunState::Queued,
        sub_state: "Queued".to_owned(),
        message: String::new(),
        queued: queued.parse().unwrap(),
        ended: None,
        epoch: 1,
        vcpus: 2,
        memory_mib: 4096,
        input: template.body.clone(),
        cause: Cause::Trigger { name: "new".to_owned(), version: "1.0.1".to_owned() },
        optimization: None,
        owner: None,
        crashes: 0,
        worked: std::time::Duration::ZERO,
    }
}

pub(super) fn over(mut run: Run) -> Run {
    run.state = RunState::Succeeded;
    run.sub_state = String::new();
    run.ended = Some("2026-01-03T00:00:00Z".parse().unwrap());
    run
}

pub(super) fn client(id: &str) -> Client {
    Client {
        client_id: id.to_owned(),
        object_id: format!("object-{id}"),
        name: "Pipeline".to_owned(),
        secret_hash: "salt$hash".to_owned(),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        rotated: "2026-01-01T00:00:00Z".parse().unwrap(),
        revoked: None,
    }
}

/// The id of a group, in the spelling of a request.
pub(super) fn group_scope(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}")
}

pub(super) fn assignment(scope: &str, principal: &str, role: &str) -> RoleAssignment {
    let name = format!("{principal}-{role}");
    RoleAssignment {
        id: RoleAssignment::id_at(scope, &name),
        name,
        scope: scope.to_lowercase(),
        principal: principal.to_owned(),
        principal_type: "ServicePrincipal".to_owned(),
        role: role.to_owned(),
        body: json!({"scope": scope, "description": "ä"}),
        revision: 0,
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

pub(super) fn lock(scope: &str, name: &str) -> LockRow {
    LockRow {
        id: LockRow::id_at(scope, name),
        name: name.to_owned(),
        scope: scope.to_lowercase(),
        level: "CanNotDelete".to_owned(),
        body: json!({"notes": "keep"}),
        revision: 0,
    }
}

pub(super) fn role(id: &str, name: &str) -> RoleDefinition {
    RoleDefinition {
        id: id.to_owned(),
        name: name.to_owned(),
        body: json!({"roleName": name}),
        revision: 0,
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        changed: "2026-01-01T00:00:01Z".parse().unwrap(),
    }
}

pub(super) fn federated(id: &str, owner: &str, subject: &str) -> Credential {
    Credential {
        id: id.to_owned(),
        owner: owner.to_owned(),
        kind: CredentialKind::Federated,
        name: "pipeline".to_owned(),
        data: json!({"issuer": "https://Issuer", "subject": subject, "audiences": ["a"]}),
        starts: "2026-01-01T00:00:00Z".parse().unwrap(),
        expires: Some("2027-01-01T00:00:00Z".parse().unwrap()),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        revoked: None,
    }
}

pub(super) fn event(id: &str, resource: &str, time: &str) -> Activity {
    Activity {
        seq: 0,
        id: id.to_owned(),
        subscription: SUBSCRIPTION.to_owned(),
        time: time.parse().unwrap(),
        group: "g".to_owned(),
        resource: resource.to_lowercase(),
        provider: "microsoft.compute".to_owned(),
        correlation: "c1".to_owned(),
        operation: "Microsoft.Compute/images/write".to_owned(),
        caller: "client".to_owned(),
        status: "Succeeded".to_owned(),
        body: json!({"properties": {"statusCode": "Created"}}),
    }
}
