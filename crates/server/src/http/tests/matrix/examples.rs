//! Examples of requests for every target, and what each asks for.

use providers::REGISTRY;

use super::expected::{
    Asks::{self, *},
    Level,
};
use crate::{http::route::Route, routes::Target};

/// A path, `{group}` and other names in it, and what its methods ask for.
#[derive(Debug, Clone)]
pub(super) struct Example {
    pub(super) path: String,
    pub(super) version: &'static str,
    pub(super) level: Level,
    /// The method, what it asks for, and the status for those who may.
    pub(super) methods: Vec<(&'static str, Asks, u16)>,
    pub(super) body: &'static str,
}

pub(super) const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"];

/// A role definition or assignment that is not there.
const NONE: &str = "abcdef01-0000-0000-0000-000000000000";
/// The role definition of Reader.
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const VERSION: &str = "2022-12-01";
/// Versions of the image builder differ in meaning, so others are refused.
const OF_BUILDER: &str = "2024-02-01";
pub(super) const S: &str = "/subscriptions/{subscription}";
pub(super) const G: &str = "/subscriptions/{subscription}/resourceGroups/{group}";

/// What every method asks for; `answers` are those that are not answered by 405.
fn example(level: Level, path: &str, asks: Asks, answers: &[(&'static str, Asks, u16)]) -> Example {
    let of = |method: &'static str| {
        let answer = answers.iter().find(|(own, ..)| *own == method);
        answer.copied().unwrap_or((method, asks, 405))
    };
    Example {
        path: path.replace("{S}", S).replace("{G}", G),
        version: VERSION,
        level,
        methods: METHODS.map(of).to_vec(),
        // No JSON: who may write gets 400, and nothing changes.
        body: "{",
    }
}

fn read(level: Level, path: &str, asks: Asks) -> Example {
    example(level, path, asks, &[("GET", asks, 200)])
}

/// A thing of `Microsoft.Authorization` that is not there.
fn of_roles(path: &str, head: u16, change: Asks, remove: Asks) -> Example {
    let answers = [
        ("GET", Read, 404),
        ("HEAD", Read, head),
        ("PUT", change, 400),
        ("PATCH", change, 405),
        ("DELETE", remove, 204),
    ];
    example(Level::Group, &path.replace("{name}", NONE), Read, &answers)
}

/// The examples of a target. A new target does not compile without any.
#[expect(clippy::too_many_lines, reason = "a table with an entry for each target")]
pub(super) fn of(target: Target) -> Vec<Example> {
    use Level::{Group, Subscription, Tenant};
    const ROLES: &str = "/providers/Microsoft.Authorization";
    const BUILDER: &str = "/providers/Microsoft.VirtualMachineImages";
    const DEPLOYMENT: &str = "{G}/providers/Microsoft.Resources/deployments/none";
    let nothing = |asks| METHODS.map(|method| (method, asks, 404));
    let role_list = |name: &str| {
        let path = format!("{ROLES}/{name}");
        vec![
            read(Tenant, &path, List),
            read(Subscription, &format!("{{S}}{path}"), List),
            read(Group, &format!("{{G}}{path}"), List),
        ]
    };
    let after_get = |asks, status| {
        let mut all = nothing(Role);
        all[0] = ("GET", asks, status);
        all
    };
    match target {
        Target::Subscriptions => vec![read(Tenant, "/subscriptions", Token)],
        Target::Tenants => vec![read(Tenant, "/tenants", Token)],
        Target::Providers => {
            vec![read(Tenant, "/providers", Token), read(Subscription, "{S}/providers", Role)]
        }
        Target::Provider => vec![
            read(Tenant, "/providers/Microsoft.Compute", Token),
            read(Subscription, "{S}/providers/Microsoft.Compute", Role),
        ],
        Target::ProviderRegistration => ["register", "unregister"]
            .map(|verb| {
                let path = format!("{{S}}/providers/Microsoft.Compute/{verb}");
                example(Subscription, &path, Act, &[("POST", Act, 200)])
            })
            .to_vec(),
        Target::ProviderOperations => {
            vec![read(Tenant, "/providers/Microsoft.Compute/operations", Token)]
        }
        Target::Subscription => {
            let missing = Example {
                methods: METHODS.map(|method| (method, UnknownSubscription, 404)).to_vec(),
                ..read(Subscription, "/subscriptions/{unknown}", Role)
            };
            vec![read(Subscription, "{S}", Asks::Subscription), missing]
        }
        Target::Locations => vec![read(Subscription, "{S}/locations", Role)],
        Target::ResourceGroups => {
            let missing = Example {
                methods: nothing(Unknown).to_vec(),
                ..read(Subscription, "/subscriptions/{unknown}/resourceGroups", Role)
            };
            vec![read(Subscription, "{S}/resourceGroups", List), missing]
        }
        Target::TagNames => vec![read(Subscription, "{S}/tagNames", List)],
        Target::OperationResult => {
            let path = "{S}/operationresults/{operation}";
            vec![example(Group, path, Role, &[("GET", Hidden, 200)])]
        }
        Target::Resources => {
            vec![read(Subscription, "{S}/resources", List), read(Group, "{G}/resources", List)]
        }
        Target::Group => vec![example(Group, "{G}", Read, &ITEM)],
        Target::RoleDefinitions => role_list("roleDefinitions"),
        Target::RoleDefinition => vec![
            of_roles(&format!("{{G}}{ROLES}/roleDefinitions/{{name}}"), 405, Assign, Unassign),
            Example {
                methods: vec![("GET", Read, 200)],
                ..example(Group, &format!("{{G}}{ROLES}/roleDefinitions/{READER}"), Read, &[])
            },
        ],
        Target::RoleAssignments => role_list("roleAssignments"),
        Target::RoleAssignment => {
            let path = format!("{{G}}{ROLES}/roleAssignments/{{name}}");
            vec![of_roles(&path, 404, Assign, Unassign)]
        }
        Target::Locks => role_list("locks"),
        Target::Lock => vec![of_roles(&format!("{{G}}{ROLES}/locks/{{name}}"), 405, Lock, Lock)],
        Target::Permissions => vec![
            read(Subscription, &format!("{{S}}{ROLES}/permissions"), Role),
            read(Group, &format!("{{G}}{ROLES}/permissions"), Role),
        ],
        Target::DenyAssignments => role_list("denyAssignments"),
        Target::DenyAssignment => {
            let answers = [
                ("GET", Read, 404),
                ("PUT", Assign, 405),
                ("PATCH", Assign, 405),
                ("DELETE", Unassign, 405),
            ];
            vec![example(Group, &format!("{{G}}{ROLES}/denyAssignments/{NONE}"), Read, &answers)]
        }
        Target::AllOperations => {
            vec![read(Tenant, &format!("{ROLES}/providerOperations"), Token)]
        }
        Target::ActivityLog => {
            let path = "/providers/Microsoft.Insights/eventtypes/management/values";
            vec![read(Subscription, &format!("{{S}}{path}"), List), read(Tenant, path, List)]
        }
        Target::EventCategories => {
            vec![read(Tenant, "/providers/Microsoft.Insights/eventcategories", Token)]
        }
        Target::Tags => {
            let answers = [
                ("GET", Read, 200),
                ("HEAD", Read, 204),
                ("PUT", Write, 400),
                ("PATCH", Write, 400),
                ("DELETE", Delete, 200),
            ];
            vec![example(Group, "{G}/providers/Microsoft.Resources/tags/default", Read, &answers)]
        }
        Target::Deployments => vec![
            read(Subscription, "{S}/providers/Microsoft.Resources/deployments", List),
            read(Group, "{G}/providers/Microsoft.Resources/deployments", List),
        ],
        Target::Deployment => {
            let answers = [
                ("GET", Read, 404),
                ("HEAD", Read, 404),
                ("PUT", Write, 400),
                ("PATCH", Write, 405),
                ("DELETE", Delete, 204),
            ];
            vec![example(Group, DEPLOYMENT, Read, &answers)]
        }
        Target::DeploymentAction => {
            let verbs = [
                ("validate", Act, 400),
                ("whatIf", Act, 400),
                ("cancel", Act, 404),
                ("exportTemplate", Act, 404),
                ("listOutputsWithSecureValues", Act, 404),
                ("melt", Read, 404),
            ];
            verbs
                .map(|(verb, asks, status)| {
                    let mut methods = nothing(Read);
                    methods[4] = ("POST", asks, status);
                    example(Group, &format!("{DEPLOYMENT}/{verb}"), Read, &methods)
                })
                .to_vec()
        }
        Target::DeploymentStatus => {
            let path = format!("{DEPLOYMENT}/operationStatuses/{{operation}}");
            vec![example(Group, &path, Read, &[("GET", Read, 404)])]
        }
        Target::DeploymentOperations => [
            format!("{DEPLOYMENT}/operations"),
            format!("{DEPLOYMENT}/operations/1"),
            "{G}/deployments/none/operations".to_owned(),
            "{G}/deployments/none/operations/1".to_owned(),
        ]
        .map(|path| {
            // In Azure's form with the provider, it could be an action.
            let is_action = path.contains("providers") && path.ends_with("operations");
            let post = if is_action { 404 } else { 405 };
            example(Group, &path, Read, &[("GET", Read, 404), ("POST", Read, post)])
        })
        .to_vec(),
        Target::TemplateHash => {
            let path = "/providers/Microsoft.Resources/calculateTemplateHash";
            vec![example(Tenant, path, Token, &[("POST", Token, 400)])]
        }
        Target::ImageBuilderOperation => {
            let path = format!("{{S}}{BUILDER}/locations/westus2/operations/{{operation}}");
            vec![example(Group, &path, Role, &[("GET", Hidden, 200)])]
        }
        Target::Run => {
            let path = format!("{{S}}{BUILDER}/runs/{{run}}");
            vec![example(Group, &path, Role, &[("GET", Hidden, 200)])]
        }
        Target::RunStream => ["events", "log", "logs/customization.log"]
            .map(|what| {
                let path = format!("{{G}}{BUILDER}/imageTemplates/x/runs/{{run}}/{what}");
                let mut methods = after_get(Read, 200);
                if !what.contains('/') {
                    // An action of a run that there is not.
                    methods[4] = ("POST", Read, 404);
                }
                Example { version: OF_BUILDER, ..example(Group, &path, Role, &methods) }
            })
            .to_vec(),
        Target::RunStreamById => ["events", "log", "logs/customization.log"]
            .map(|what| {
                let path = format!("{{S}}{BUILDER}/runs/{{run}}/{what}");
                example(Group, &path, Role, &after_get(Hidden, 200))
            })
            .to_vec(),
        Target::PlatformImages => {
            let path = "{S}/providers/Microsoft.Compute/locations/westus2/publishers";
            vec![read(Subscription, path, Role)]
        }
        Target::MachineSizes => {
            let path = "{S}/providers/Microsoft.Compute/locations/westus2/vmSizes";
            vec![read(Subscription, path, Role)]
        }
        Target::Skus => {
            vec![read(Subscription, "{S}/providers/Microsoft.Compute/skus", Role)]
        }
        Target::MachineChild => {
            let path = "{G}/providers/Microsoft.Compute/virtualMachines/x/instanceView";
            let mut methods = after_get(Read, 404);
            methods[4] = ("POST", Read, 404);
            vec![example(Group, path, Role, &methods)]
        }
        Target::CheckNameAvailability => {
            let path = "{S}/providers/Microsoft.Storage/checkNameAvailability";
            let body = r#"{"name":"free1","type":"Microsoft.Storage/storageAccounts"}"#;
            vec![Example { body, ..example(Subscription, path, Role, &[("POST", Role, 200)]) }]
        }
        Target::Feature => {
            let path = "{S}/providers/Microsoft.Features/providers/Microsoft.Compute/features/f";
            let get = ("GET", Role, 200);
            vec![
                example(Subscription, path, Role, &[get, ("POST", Act, 200)]),
                example(
                    Subscription,
                    &format!("{path}/register"),
                    Role,
                    &[get, ("POST", Act, 200)],
                ),
            ]
        }
        Target::Resource => REGISTRY.types().iter().flat_map(|kind| of_type(*kind)).collect(),
        Target::Nowhere => vec![
            example(Tenant, "/nowhere", Token, &nothing(Token)),
            example(Subscription, "{S}/nowhere", Role, &nothing(Role)),
            example(Group, "{G}/providers/Microsoft.Compute/nothings/x", Role, &nothing(Role)),
            // Types have resources in subscriptions only.
            example(Tenant, "/providers/Microsoft.Compute/images", Token, &nothing(Token)),
        ],
    }
}

/// A resource that exists. The precondition of each write fails, so that nothing changes.
const ITEM: [(&str, Asks, u16); 5] = [
    ("GET", Read, 200),
    ("HEAD", Read, 204),
    ("PUT", Write, 412),
    ("PATCH", Write, 412),
    ("DELETE", Delete, 412),
];

/// The lists of a type, a resource that exists and one that does not, and the actions.
fn of_type(kind: &dyn arm::ResourceType<service::App>) -> Vec<Example> {
    use Level::{Group, Subscription};
    let (namespace, types) = kind.name().split_once('/').unwrap();
    let types: Vec<&str> = types.split('/').collect();
    let (last, parents) = types.split_last().unwrap();
    let name = match kind.name() {
        "Microsoft.VirtualMachineImages/imageTemplates/runs" => "{run}",
        "Microsoft.Storage/storageAccounts" => "{account}",
        _ => "x",
    };
    let above: String = parents.iter().map(|parent| format!("/{parent}/x")).collect();
    let list = format!("/providers/{namespace}{above}/{last}");
    let item = format!("{{G}}{list}/{name}");
    let missing = format!("{{G}}{list}/none");
    let mut all = Vec::new();
    if parents.is_empty() {
        all.push(read(Subscription, &format!("{{S}}{list}"), List));
        all.push(read(Group, &format!("{{G}}{list}"), List));
    } else {
        // A POST is an action of the parent, which has none of that name.
        let answers = [("GET", List, 200), ("POST", Read, 404)];
        all.push(example(Group, &format!("{{G}}{list}"), List, &answers));
    }
    all.push(example(Group, &item, Read, &ITEM));
    let gone = [("GET", Read, 404), ("HEAD", Read, 404)];
    all.push(Example { methods: gone.to_vec(), ..example(Group, &missing, Read, &[]) });
    for verb in kind.actions().verbs {
        let path = format!("{missing}/{}", verb.name);
        let methods = vec![("POST", Act, 404)];
        all.push(Example { methods, ..example(Group, &path, Act, &[]) });
    }
    let undeclared = vec![("POST", Read, 404)];
    let path = format!("{item}/melt");
    all.push(Example { methods: undeclared, ..example(Group, &path, Read, &[]) });
    let version = kind.api_versions()[0];
    all.into_iter().map(|one| Example { version, ..one }).collect()
}

/// The examples of what is not behind the routes of the resource manager. A new part does not compile without any.
pub(super) fn beside(route: &Route) -> Vec<Example> {
    use Level::Tenant;
    let open = |path: &str| {
        vec![example(Tenant, path, Nothing, &[("GET", Nothing, 200), ("HEAD", Nothing, 200)])]
    };
    match route {
        Route::Metadata => open("/metadata/endpoints"),
        Route::Aliases => open("/metadata/aliases.json"),
        Route::OpenId { .. } => open("/adfs/.well-known/openid-configuration"),
        Route::WebFinger => {
            let answers = [("GET", Nothing, 200), ("HEAD", Nothing, 200)];
            vec![example(
                Tenant,
                "/.well-known/webfinger?resource=https://localhost",
                Nothing,
                &answers,
            )]
        }
        Route::Keys => open("/adfs/discovery/keys"),
        Route::Token { .. } => {
            vec![example(Tenant, "/adfs/oauth2/token", Nothing, &[("POST", Nothing, 400)])]
        }
        Route::Alive => open("/healthz"),
        Route::Ready => open("/readyz"),
        Route::OpenApi => open("/openapi.json"),
        Route::Metrics => {
            let read = [("GET", Read, 200), ("HEAD", Read, 200)];
            vec![example(Tenant, "/metrics", Nothing, &read)]
        }
        Route::Graph(_) => of_directory(),
        Route::Storage(_) => vec![
            of_blobs("?comp=list", Containers),
            of_blobs("/shell?restype=container", Containers),
            of_blobs("/shell?restype=container&comp=list", Data),
            of_blobs("/shell/hello.sh", Data),
        ],
        Route::Arm => Vec::new(),
    }
}

/// Nobody writes blobs by this way.
fn of_blobs(path: &str, asks: Asks) -> Example {
    let answers = [("GET", asks, 200), ("HEAD", asks, 200)];
    example(Level::Group, &format!("/storage/{{account}}{path}"), Token, &answers)
}

fn of_directory() -> Vec<Example> {
    let at = |path: &str, answers: &[(&'static str, Asks, u16)]| {
        let methods = METHODS.map(|method| {
            let answer = answers.iter().find(|(own, ..)| *own == method);
            answer.copied().unwrap_or((method, Directory, 404))
        });
        let path = format!("/graph/v1.0/{path}");
        Example { methods: methods.to_vec(), ..example(Level::Tenant, &path, Directory, &[]) }
    };
    let read = ("GET", Directory, 200);
    let application = format!("applications/{NONE}");
    vec![
        at("servicePrincipals", &[read, ("POST", ChangeDirectory, 400)]),
        at("applications", &[read, ("POST", ChangeDirectory, 400)]),
        at(&application, &[("PATCH", ChangeDirectory, 404), ("DELETE", ChangeDirectory, 404)]),
        at(&format!("{application}/addPassword"), &[("POST", ChangeDirectory, 404)]),
        at("directoryObjects/getByIds", &[("POST", Directory, 400)]),
        at("me", &[("GET", Directory, 400)]),
    ]
}
