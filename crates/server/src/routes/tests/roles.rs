//! Role definitions and role assignments.

use service::{
    auth::principal,
    roles::{BLOB_READER, CONTRIBUTOR},
};

use super::*;

const A: &str = "providers/Microsoft.Authorization";
const USER_ACCESS: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const IMAGE_READER: &str = "77777777-0000-4000-8000-000000000001";

/// The GUID of the assignment of a number.
fn guid(number: usize) -> String {
    format!("88888888-0000-4000-8000-{number:012}")
}

fn assign(role: &str, principal: &str) -> Value {
    json!({ "properties": { "roleDefinitionId": role, "principalId": principal } })
}

/// A role that may read images, assignable at these scopes.
fn image_reader(scopes: &[&str]) -> Value {
    let scopes: Vec<String> = scopes.iter().map(|scope| Server::in_subscription(scope)).collect();
    json!({ "properties": {
        "roleName": "Image Reader", "type": "CustomRole", "description": "Reads images.",
        "assignableScopes": scopes,
        "permissions": [{ "actions": ["Microsoft.Compute/images/read", "Microsoft.Authorization/*/read"] }],
    } })
}

impl Server {
    /// A principal without any role, by its object id.
    pub(super) async fn principal(&self, name: &str) -> String {
        principal::register(self.app.store(), name).await.unwrap().object_id
    }

    /// Gives a role at a scope of the subscription, in the way of the service.
    pub(super) async fn grant(&self, principal: &str, role: &str, scope: &str) {
        let scope = Self::in_subscription(scope);
        let row = assignment(&scope, principal, SERVICE_PRINCIPAL, role);
        self.app.store().commit(vec![Write::InsertAssignment(row)]).await.unwrap();
    }

    /// A call of a principal to a path, at the root if it begins with `/`, or else in the subscription.
    pub(super) async fn of(
        &self,
        principal: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Reply, ApiError> {
        let path = match path.strip_prefix('/') {
            Some(_) => path.to_owned(),
            None => Self::in_subscription(path),
        };
        let (path, query) = path.split_once('?').unwrap_or((path.as_str(), ""));
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.replace("%20", " ")))
            .collect();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = Self::request(method, path, query, &body, None);
        request.caller.object_id = principal.to_owned();
        handle(&self.app, request).await
    }

    /// The body of a call of the first Owner.
    async fn owner(&self, method: Method, path: &str, body: &Value) -> Result<Value, ApiError> {
        Ok(self.of("o", method, path, body).await?.body.unwrap_or_default())
    }

    /// The names in a list, for a principal.
    pub(super) async fn listed(&self, principal: &str, path: &str) -> Vec<String> {
        let body = self.of(principal, Method::Get, path, &Value::Null).await.unwrap().body.unwrap();
        names(&body).into_iter().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn role_is_assigned_changed_and_removed() {
    let server = Server::with_group().await;
    let principal = server.principal("ci").await;
    let filter = "$filter=roleName%20eq%20'contributor'";
    let roles = server.get(&format!("{A}/roleDefinitions?{filter}")).await.unwrap();
    assert_eq!(names(&roles), [CONTRIBUTOR]);
    let id = roles["value"][0]["id"].as_str().unwrap();
    assert_eq!(id, format!("/subscriptions/{S}/{A}/roleDefinitions/{CONTRIBUTOR}"));

    let path = format!("resourceGroups/Rg/{A}/roleAssignments/{}", guid(1));
    // Every form of the role's id becomes the one of the subscription.
    let given = assign(&format!("/{A}/roleDefinitions/{CONTRIBUTOR}"), &principal.to_uppercase());
    let made = server.of("o", Method::Put, &path, &given).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    let mut made = made.body.unwrap();
    let created = made["properties"]["createdOn"].as_str().unwrap().to_owned();
    assert_eq!(created.len(), "2026-01-01T00:00:00.0000000Z".len(), "{created}");
    let scope = format!("/subscriptions/{S}/resourceGroups/Rg");
    assert_eq!(
        made,
        json!({
            "properties": {
                "roleDefinitionId": id, "principalId": principal,
                "principalType": "ServicePrincipal", "scope": scope, "condition": null,
                "conditionVersion": null, "createdOn": created, "updatedOn": created,
                "createdBy": null, "updatedBy": "o", "delegatedManagedIdentityResourceId": null,
                "description": null,
            },
            "id": format!("{scope}/{A}/roleAssignments/{}", guid(1)),
            "type": "Microsoft.Authorization/roleAssignments", "name": guid(1),
        })
    );
    made["properties"]["createdBy"] = json!("o");
    let again = server.of("o", Method::Put, &path, &given).await.unwrap();
    assert_eq!((again.status, again.body.as_ref()), (StatusCode::OK, Some(&made)));
    assert_eq!(server.get(&path.to_uppercase()).await.unwrap(), made);

    let mut change = given.clone();
    change["properties"]["description"] = json!("for the pipeline");
    change["properties"]["condition"] = json!("(!(ActionMatches{'x'}))");
    let incomplete = server.owner(Method::Put, &path, &change).await;
    assert_eq!(incomplete.unwrap_err().target.unwrap(), "properties.conditionVersion");
    change["properties"]["conditionVersion"] = json!("2.0");
    let changed = server.owner(Method::Put, &path, &change).await.unwrap();
    assert_eq!(changed["properties"]["description"], "for the pipeline");
    assert_eq!(changed["properties"]["condition"], "(!(ActionMatches{'x'}))");
    assert_eq!(changed["properties"]["createdOn"], created);

    let gone = server.of("o", Method::Delete, &path, &Value::Null).await.unwrap();
    assert_eq!((gone.status, gone.body.unwrap()), (StatusCode::OK, changed));
    let gone = server.of("o", Method::Delete, &path, &Value::Null).await.unwrap();
    assert_eq!((gone.status, gone.body), (StatusCode::NO_CONTENT, None));
    let absent = server.get(&path).await;
    assert_eq!(code(absent), (404, "RoleAssignmentNotFound".into()));
}

#[tokio::test]
async fn invalid_assignment_is_rejected_in_azures_wording() {
    let server = Server::with_group().await;
    let principal = server.principal("ci").await;
    let stranger = "00000002-aaaa-4aaa-8aaa-000000000002";
    let path = |name: &str| format!("resourceGroups/Rg/{A}/roleAssignments/{name}");
    let good = assign(CONTRIBUTOR, &principal);
    server.owner(Method::Put, &path(&guid(1)), &good).await.unwrap();
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body["properties"][field] = value;
        body
    };
    for (name, body, status, wanted) in [
        (guid(2), good.clone(), 409, "RoleAssignmentExists"),
        (guid(1), assign(READER, &principal), 400, "RoleAssignmentUpdateNotPermitted"),
        ("one".to_owned(), good.clone(), 400, "InvalidRoleAssignmentId"),
        (guid(3), assign(CONTRIBUTOR, stranger), 400, "PrincipalNotFound"),
        (guid(3), assign(CONTRIBUTOR, "ci"), 400, "InvalidPrincipalId"),
        (guid(3), assign(stranger, &principal), 404, "RoleDefinitionDoesNotExist"),
        (guid(3), with("principalType", json!("Group")), 400, "UnmatchedPrincipalType"),
        (guid(3), with("principalType", json!("Robot")), 400, "InvalidParameter"),
        (guid(3), with("description", json!(1)), 400, "InvalidParameter"),
        (guid(3), json!({ "properties": {} }), 400, "InvalidParameter"),
    ] {
        let refused = server.owner(Method::Put, &path(&name), &body).await;
        assert_eq!(code(refused), (status, wanted.to_owned()), "{body}");
    }
    // az repeats the request because of this text, and takes the id from the other.
    let unknown = server.owner(Method::Put, &path(&guid(3)), &assign(READER, stranger)).await;
    let text = unknown.unwrap_err().message;
    assert!(text.contains(" does not exist in the directory "), "{text}");
    let twice = server.owner(Method::Put, &path(&guid(2)), &good).await.unwrap_err().message;
    assert!(twice.contains(&guid(1).replace('-', "")), "{twice}");
    let nowhere = path(&guid(4)).replace("Rg/", "Rg/providers/Microsoft.Compute/images/none/");
    let nowhere = server.owner(Method::Put, &nowhere, &good).await;
    assert_eq!(code(nowhere), (404, "ResourceNotFound".into()));
}

#[tokio::test]
async fn assignments_are_listed_by_scope_and_principal() {
    let server = Server::with_group().await;
    server.image("one", json!({})).await;
    let (ci, other) = (server.principal("ci").await, server.principal("other").await);
    let image = format!("resourceGroups/Rg/{COMPUTE}/images/one");
    let place = |scope: &str| match scope {
        "/" => format!("/{A}/roleAssignments"),
        "" => format!("{A}/roleAssignments"),
        scope => format!("{scope}/{A}/roleAssignments"),
    };
    for (number, (scope, principal)) in
        [("/", &ci), ("", &ci), ("resourceGroups/Rg", &ci), (image.as_str(), &ci), ("", &other)]
            .into_iter()
            .enumerate()
    {
        let path = format!("{}/{}", place(scope), guid(number));
        let made = server.of("o", Method::Put, &path, &assign(READER, principal)).await.unwrap();
        assert_eq!(made.status, StatusCode::CREATED, "{scope}");
    }
    let list = async |scope: &str, filter: &str| {
        let path = format!("{}?$filter={filter}", place(scope));
        let mut found = server.listed("o", &path).await;
        // The first Owner's own.
        found.retain(|name| name.starts_with("88888888"));
        found.sort();
        found
    };
    let all = |numbers: &[usize]| numbers.iter().map(|number| guid(*number)).collect::<Vec<_>>();
    assert_eq!(list("/", "").await, all(&[0, 1, 2, 3, 4]));
    assert_eq!(list("", "atScope()").await, all(&[0, 1, 4]));
    assert_eq!(list("", "").await, all(&[0, 1, 2, 3, 4]));
    assert_eq!(list("resourceGroups/rg", "atScope()").await, all(&[0, 1, 2, 4]));
    assert_eq!(list(&image, "").await, all(&[0, 1, 2, 3, 4]));
    assert_eq!(list("", &format!("principalId%20eq%20'{other}'")).await, all(&[4]));
    assert_eq!(list("", &format!("assignedTo('{ci}')")).await, all(&[0, 1, 2, 3]));
    let both = format!("atScope()%20and%20assignedTo('{ci}')");
    assert_eq!(list("", &both).await, all(&[0, 1]));
    let path = format!("{}?$filter=atScope()%20and%20principalId%20eq%20'x'", place(""));
    assert_eq!(code(server.get(&path).await), (400, "UnsupportedFilter".into()));

    // In pages, and at the root with ids without a subscription.
    let first = server.get(&format!("{}?$top=2", place(""))).await.unwrap();
    assert_eq!(names(&first).len(), 2);
    let next = first["nextLink"].as_str().unwrap().to_owned();
    assert!(next.contains("skiptoken="), "{next}");
    let root = server.owner(Method::Get, &place("/"), &Value::Null).await.unwrap();
    let role = root["value"][0]["properties"]["roleDefinitionId"].as_str().unwrap();
    assert!(role.starts_with(&format!("/{A}/")), "{role}");
    assert_eq!(root["value"][0]["properties"]["scope"], "/");
    // Assignments are no resources.
    assert_eq!(names(&server.get("resources").await.unwrap()), ["one"]);
}

#[tokio::test]
async fn lists_have_only_what_the_caller_may_read() {
    let server = Server::with_group().await;
    server.put("Other", json!({ "location": "westus2" })).await.unwrap();
    let (ci, other) = (server.principal("ci").await, server.principal("other").await);
    server.grant(&ci, READER, "resourceGroups/rg").await;
    server.grant(&other, READER, "resourceGroups/other").await;
    let path = format!("{A}/roleAssignments");
    let seen = server.of(&ci, Method::Get, &path, &Value::Null).await.unwrap().body.unwrap();
    let own = |one: &Value| one["properties"]["principalId"].as_str() == Some(ci.as_str());
    assert!(seen["value"].as_array().unwrap().iter().all(own), "{seen}");
    assert_eq!(names(&seen).len(), 1);
    // At its own group, whoever may read there sees what is inherited, too.
    let here = format!("resourceGroups/rg/{path}");
    assert_eq!(server.listed(&ci, &here).await.len(), 2);
    let elsewhere = format!("resourceGroups/other/{path}");
    let elsewhere = server.of(&ci, Method::Get, &elsewhere, &Value::Null).await;
    assert_eq!(code(elsewhere), (403, "AuthorizationFailed".into()));
    let nobody = server.principal("nobody").await;
    let nothing = server.of(&nobody, Method::Get, &path, &Value::Null).await;
    assert_eq!(code(nothing), (403, "AuthorizationFailed".into()));
}

#[tokio::test]
async fn reader_cannot_assign_and_owner_of_a_group_assigns_only_there() {
    let server = Server::with_group().await;
    server.put("Other", json!({ "location": "westus2" })).await.unwrap();
    let (reader, owner) = (server.principal("reader").await, server.principal("owner").await);
    server.grant(&reader, READER, "").await;
    server.grant(&reader, CONTRIBUTOR, "").await;
    server.grant(&owner, OWNER, "resourceGroups/rg").await;
    let put = async |who: &str, group: &str| {
        let path = format!("resourceGroups/{group}/{A}/roleAssignments/{}", guid(1));
        server.of(who, Method::Put, &path, &assign(BLOB_READER, &reader)).await
    };
    assert_eq!(code(put(&reader, "rg").await), (403, "AuthorizationFailed".into()));
    assert_eq!(code(put(&owner, "other").await), (403, "AuthorizationFailed".into()));
    assert_eq!(put(&owner, "rg").await.unwrap().status, StatusCode::CREATED);
}

#[tokio::test]
async fn role_is_assigned_at_the_root_and_to_a_container() {
    let server = Server::with_group().await;
    let principal = server.principal("ci").await;
    let account = "Rg/providers/Microsoft.Storage/storageAccounts/acc1";
    let body = json!({ "location": "westus2", "kind": "StorageV2", "sku": { "name": "Standard_LRS" }, "properties": {} });
    server.put(account, body).await.unwrap();
    let container = format!("resourceGroups/{account}/blobServices/default/containers/c");
    for scope in [format!("/{A}"), format!("{container}/{A}")] {
        let path = format!("{scope}/roleAssignments/{}", guid(1));
        let made =
            server.owner(Method::Put, &path, &assign(BLOB_READER, &principal)).await.unwrap();
        let id = made["id"].as_str().unwrap();
        assert_eq!(server.owner(Method::Get, id, &Value::Null).await.unwrap()["name"], guid(1));
        let own = made["properties"]["scope"].as_str().unwrap();
        assert!(own == "/" || own.ends_with("/containers/c"), "{own}");
    }
    let none = container.replace("acc1", "acc2");
    let path = format!("{none}/{A}/roleAssignments/{}", guid(2));
    let refused = server.owner(Method::Put, &path, &assign(BLOB_READER, &principal)).await;
    assert_eq!(code(refused), (404, "ResourceNotFound".into()));
}

#[tokio::test]
async fn last_owner_of_the_tenant_stays() {
    let server = Server::with_group().await;
    let path = format!("/{A}/roleAssignments?$filter=atScope()");
    let all = server.owner(Method::Get, &path, &Value::Null).await.unwrap();
    let first = all["value"][0]["id"].as_str().unwrap().to_owned();
    let remove = async || server.owner(Method::Delete, &first, &Value::Null).await;
    assert_eq!(code(remove().await), (412, "CannotDeleteLastRbacAdminAssignment".into()));
    // An Owner that is not at the root, and one that is revoked, do not count.
    let other = server.principal("other").await;
    server.grant(&other, OWNER, "").await;
    assert_eq!(code(remove().await), (412, "CannotDeleteLastRbacAdminAssignment".into()));
    let row = assignment("", &other, SERVICE_PRINCIPAL, OWNER);
    server.app.store().commit(vec![Write::InsertAssignment(row)]).await.unwrap();
    remove().await.unwrap();
}

#[tokio::test]
async fn subscription_has_at_most_four_thousand_assignments() {
    let server = Server::with_group().await;
    let principal = server.principal("ci").await;
    let row = |number: usize| {
        let somebody = format!("00000000-0000-4000-8000-{number:012}");
        let scope = Server::in_subscription("resourceGroups/rg");
        Write::InsertAssignment(assignment(&scope, &somebody, SERVICE_PRINCIPAL, READER))
    };
    server.app.store().commit((0..3_999).map(row).collect()).await.unwrap();
    let put = async |number: usize, role: &str| {
        let path = format!("{A}/roleAssignments/{}", guid(number));
        server.owner(Method::Put, &path, &assign(role, &principal)).await
    };
    put(1, READER).await.unwrap();
    assert_eq!(code(put(2, CONTRIBUTOR).await), (400, "RoleAssignmentLimitExceeded".into()));
}

#[tokio::test]
async fn custom_role_is_created_assigned_and_deleted() {
    let server = Server::with_group().await;
    server.image("one", json!({})).await;
    let principal = server.principal("ci").await;
    let path = format!("{A}/roleDefinitions/{IMAGE_READER}");
    let body = image_reader(&["resourceGroups/Rg"]);
    let made = server.of("o", Method::Put, &path, &body).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.body.unwrap();
    assert_eq!(made["id"], Server::in_subscription(&path));
    let properties = &made["properties"];
    assert_eq!(properties["permissions"][0]["notDataActions"], json!([]));
    assert_eq!(
        (&properties["createdBy"], &properties["type"]),
        (&json!("o"), &json!("CustomRole"))
    );
    assert_eq!(server.get(&path).await.unwrap(), made);
    let again = server.of("o", Method::Put, &path, &body).await.unwrap();
    assert_eq!(again.status, StatusCode::CREATED);

    // It is listed where it can be assigned, and above only if that is asked for.
    let listed = async |scope: &str, filter: &str| {
        let path = format!("{scope}{A}/roleDefinitions?$filter={filter}type%20eq%20'CustomRole'");
        server.listed("o", &path).await
    };
    assert_eq!(listed("resourceGroups/rg/", "").await, [IMAGE_READER]);
    assert_eq!(listed("", "").await, Vec::<String>::new());
    assert_eq!(listed("", "atScopeAndBelow()%20and%20").await, [IMAGE_READER]);

    let assignment = |scope: &str| format!("{scope}{A}/roleAssignments/{}", guid(1));
    let above = server.owner(Method::Put, &assignment(""), &assign(IMAGE_READER, &principal)).await;
    assert_eq!(code(above), (400, "RoleAssignmentScopeNotAssignableToRoleDefinition".into()));
    let here = assignment("resourceGroups/rg/");
    server.owner(Method::Put, &here, &assign(IMAGE_READER, &principal)).await.unwrap();
    let image = format!("resourceGroups/rg/{COMPUTE}/images/one");
    assert!(server.of(&principal, Method::Get, &image, &Value::Null).await.is_ok());
    let denied = server.of(&principal, Method::Delete, &image, &Value::Null).await;
    assert_eq!(code(denied), (403, "AuthorizationFailed".into()));

    // A change of the role counts at once.
    let mut more = body.clone();
    more["properties"]["permissions"][0]["actions"] = json!(["Microsoft.Compute/images/*"]);
    server.owner(Method::Put, &path, &more).await.unwrap();
    assert!(server.of(&principal, Method::Delete, &image, &Value::Null).await.is_ok());

    let assigned = server.owner(Method::Delete, &path, &Value::Null).await;
    assert_eq!(code(assigned), (400, "RoleDefinitionHasAssignments".into()));
    server.owner(Method::Delete, &here, &Value::Null).await.unwrap();
    let gone = server.of("o", Method::Delete, &path, &Value::Null).await.unwrap();
    assert_eq!((gone.status, gone.body.unwrap()["name"] == IMAGE_READER), (StatusCode::OK, true));
    let gone = server.of("o", Method::Delete, &path, &Value::Null).await.unwrap();
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(code(server.get(&path).await), (404, "RoleDefinitionDoesNotExist".into()));
}

#[tokio::test]
async fn custom_role_needs_the_right_at_all_its_scopes() {
    let server = Server::with_group().await;
    server.put("Other", json!({ "location": "westus2" })).await.unwrap();
    let (owner, other) = (server.principal("owner").await, server.principal("other").await);
    server.grant(&owner, USER_ACCESS, "resourceGroups/rg").await;
    server.grant(&other, OWNER, "resourceGroups/other").await;
    let path = format!("resourceGroups/rg/{A}/roleDefinitions/{IMAGE_READER}");
    let put =
        async |scopes: &[&str]| server.of(&owner, Method::Put, &path, &image_reader(scopes)).await;
    let both = ["resourceGroups/rg", "resourceGroups/other"];
    assert_eq!(code(put(&both).await), (403, "LinkedAuthorizationFailed".into()));
    assert_eq!(code(put(&[""]).await), (403, "LinkedAuthorizationFailed".into()));
    put(&both[..1]).await.unwrap();
    // Who has nothing there neither sees nor changes it.
    let theirs = format!("resourceGroups/other/{A}/roleDefinitions");
    let named = format!("{theirs}/{IMAGE_READER}");
    let hidden = server.of(&other, Method::Get, &named, &Value::Null).await;
    assert_eq!(code(hidden), (404, "RoleDefinitionDoesNotExist".into()));
    let filter = format!("{theirs}?$filter=type%20eq%20'CustomRole'");
    assert_eq!(server.listed(&other, &filter).await, Vec::<String>::new());
    let taken = server.of(&other, Method::Put, &named, &image_reader(&both[1..])).await;
    assert_eq!(code(taken), (409, "RoleDefinitionIdInUse".into()));
    let name = named.replace("000001", "000002");
    let taken = server.of(&other, Method::Put, &name, &image_reader(&both[1..])).await;
    assert_eq!(code(taken), (409, "RoleDefinitionWithSameNameExists".into()));
    // After its scopes have grown, it takes the right at all of them to change or delete it.
    server.owner(Method::Put, &path, &image_reader(&both)).await.unwrap();
    assert_eq!(code(put(&both[..1]).await), (403, "LinkedAuthorizationFailed".into()));
    let kept = server.of(&owner, Method::Delete, &path, &Value::Null).await;
    assert_eq!(code(kept), (403, "LinkedAuthorizationFailed".into()));
}

#[tokio::test]
async fn built_in_role_is_read_only() {
    let server = Server::start().await;
    let path = format!("{A}/roleDefinitions/{READER}");
    let reader = server.get(&path.to_uppercase()).await.unwrap();
    assert_eq!(reader["properties"]["permissions"][0]["actions"], json!(["*/read"]));
    assert_eq!(reader["properties"]["assignableScopes"], json!(["/"]));
    for method in [Method::Put, Method::Delete] {
        let refused = server.owner(method, &path, &image_reader(&[""])).await;
        assert_eq!(code(refused), (400, "RoleDefinitionIsReadOnly".into()));
    }
    let named = path.replace(READER, "reader");
    let refused = server.owner(Method::Put, &named, &image_reader(&[""])).await;
    assert_eq!(code(refused), (400, "InvalidRoleDefinitionId".into()));
}

#[tokio::test]
async fn permissions_are_the_callers_own() {
    let server = Server::with_group().await;
    let principal = server.principal("ci").await;
    server.grant(&principal, READER, "").await;
    server.grant(&principal, BLOB_READER, "resourceGroups/rg").await;
    let at = async |scope: &str| {
        let path = format!("{scope}{A}/permissions");
        let body = server.of(&principal, Method::Get, &path, &Value::Null).await.unwrap().body;
        body.unwrap()["value"].as_array().unwrap().clone()
    };
    let of_group = at("resourceGroups/rg/").await;
    assert_eq!(of_group.len(), 2, "{of_group:?}");
    assert!(of_group.iter().any(|one| one["actions"] == json!(["*/read"])), "{of_group:?}");
    assert!(of_group.iter().any(|one| one["dataActions"][0].is_string()), "{of_group:?}");
    assert_eq!(at("").await.len(), 1);
    let denials = server.get(&format!("{A}/denyAssignments")).await.unwrap();
    assert_eq!(denials, json!({ "value": [] }));
    let none = server.get(&format!("{A}/denyAssignments/{}", guid(1))).await;
    assert_eq!(code(none), (404, "DenyAssignmentNotFound".into()));
}

#[tokio::test]
async fn all_actions_are_listed_by_provider() {
    let server = Server::start().await;
    let path = format!("/{A}/providerOperations?$expand=resourceTypes");
    let all = server.owner(Method::Get, &path, &Value::Null).await.unwrap();
    let compute = format!("/{A}/providerOperations/microsoft.compute?$expand=resourceTypes");
    let compute = server.owner(Method::Get, &compute, &Value::Null).await.unwrap();
    assert!(all["value"].as_array().unwrap().contains(&compute));
    let kinds = compute["resourceTypes"].as_array().unwrap();
    let images = kinds.iter().find(|kind| kind["name"] == "images").unwrap();
    assert_eq!(images["operations"][0]["name"], "Microsoft.Compute/images/read");
    let unknown = format!("/{A}/providerOperations/Microsoft.Nothing");
    let unknown = server.owner(Method::Get, &unknown, &Value::Null).await;
    assert_eq!(code(unknown), (404, "ProviderNotFound".into()));
}

#[tokio::test]
async fn template_creates_a_role_and_assigns_it() {
    let server = Server::with_group().await;
    let principal = server.principal("ci").await;
    let kind = "Microsoft.Authorization/roleDefinitions";
    let role = "[guid(resourceGroup().id, 'images')]";
    let id = "[resourceId('Microsoft.Authorization/roleDefinitions', guid(resourceGroup().id, 'images'))]";
    let mut properties = image_reader(&["resourceGroups/Rg"])["properties"].clone();
    properties["assignableScopes"] = json!(["[resourceGroup().id]"]);
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            { "type": kind, "apiVersion": "2022-04-01", "name": role, "properties": properties },
            {
                "type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01",
                "name": "[guid(resourceGroup().id, 'assignment')]", "dependsOn": [id],
                "properties": {
                    "roleDefinitionId": id, "principalId": principal,
                    "principalType": "ServicePrincipal",
                },
            },
        ],
    });
    let path = "Rg/providers/Microsoft.Resources/deployments/roles";
    let body = json!({ "properties": { "mode": "Incremental", "template": template } });
    // Twice: the second deployment changes nothing.
    for _ in 0..2 {
        server.put(path, body.clone()).await.unwrap();
        assert!(tasks::finish(&server.app, Duration::from_secs(60)).await);
        let shown = server.get(&format!("resourceGroups/{path}")).await.unwrap();
        assert_eq!(shown["properties"]["provisioningState"], "Succeeded", "{shown}");
    }
    let own = server.app.store().assignments_of(&principal).await.unwrap();
    let roles = server.app.store().role_definitions().await.unwrap();
    assert_eq!((own.len(), &own[0].role), (1, &roles[0].id));
    assert_eq!(own[0].scope, Server::in_subscription("resourceGroups/rg").to_lowercase());
}
