//! A large template of the kind that compilers write: modules inside modules, each with its own types,
//! parameters, variables in loops, role assignments, and long descriptions.

use serde_json::{Value, json};

const SCHEMAS: &str = "https://schema.management.azure.com/schemas";
/// How many modules a module of each level contains, from the top.
const MODULES: [usize; 4] = [6, 2, 2, 0];
/// Descriptions are most of the text of such templates.
const DESCRIPTION: &str = "Optional. What the value is for, and what happens when it is left out.";
const ROLES: [&str; 8] = [
    "Owner",
    "Contributor",
    "Reader",
    "User Access Administrator",
    "Role Based Access Control Administrator",
    "Compute Gallery Sharing Admin",
    "Storage Blob Data Contributor",
    "Managed Identity Operator",
];

/// The text of the template, for a subscription. All its parameters have defaults.
pub(super) fn template() -> String {
    let mut resources = json!({
        "group": {
            "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01",
            "name": "[parameters('resourceGroupName')]", "location": "[parameters('location')]",
        },
    });
    for number in 0..MODULES[0] {
        let mut deployment = deployment(1, number);
        deployment["resourceGroup"] = json!("[parameters('resourceGroupName')]");
        deployment["dependsOn"] = json!(["group"]);
        resources[format!("module{number}")] = deployment;
    }
    let template = json!({
        "$schema": format!("{SCHEMAS}/2018-05-01/subscriptionDeploymentTemplate.json#"),
        "languageVersion": "2.0",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "resourceGroupName": {"type": "string", "defaultValue": "images"},
            "name": {"type": "string", "defaultValue": "main"},
            "location": {"type": "string", "defaultValue": "[deployment().location]"},
            "enableTelemetry": {"type": "bool", "defaultValue": true},
        },
        "resources": resources,
    });
    format!("{template:#}")
}

/// A nested deployment, whose template is a module of that level.
fn deployment(level: usize, number: usize) -> Value {
    json!({
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2025-04-01",
        "name": format!(
            "[format('{{0}}-{{1}}-{number}', uniqueString(deployment().name, parameters('location')), parameters('name'))]"
        ),
        "properties": {
            "expressionEvaluationOptions": {"scope": "inner"},
            "mode": "Incremental",
            "parameters": {
                "name": {"value": format!("[format('{{0}}{level}{number}', parameters('name'))]")},
                "location": {"value": "[parameters('location')]"},
                "enableTelemetry": {"value": "[parameters('enableTelemetry')]"},
                "tags": {"value": {"level": level.to_string()}},
                "roleAssignments": {"value": [
                    {"principalId": "[guid(subscription().id, 'builder')]", "roleDefinitionIdOrName": "Contributor",
                     "principalType": "ServicePrincipal"},
                    {"principalId": "[guid(subscription().id, 'reader')]", "roleDefinitionIdOrName": "Reader"},
                ]},
                "managedIdentities": {"value": {"userAssignedResourceIds": [
                    "[resourceId(subscription().subscriptionId, 'images', 'Microsoft.ManagedIdentity/userAssignedIdentities', 'builder')]",
                ]}},
            },
            "template": module(level),
        },
    })
}

fn module(level: usize) -> Value {
    let mut resources = resources();
    for number in 0..MODULES[level] {
        let mut child = deployment(level + 1, number);
        child["dependsOn"] = json!(["account"]);
        resources[format!("child{number}")] = child;
    }
    json!({
        "$schema": format!("{SCHEMAS}/2019-04-01/deploymentTemplate.json#"),
        "languageVersion": "2.0",
        "contentVersion": "1.0.0.0",
        "metadata": {"_generator": {"name": "bicep", "version": "0.37.4.10188"}, "description": DESCRIPTION},
        "definitions": definitions(),
        "parameters": parameters(),
        "variables": variables(),
        "resources": resources,
        "outputs": outputs(),
    })
}

fn described(mut declaration: Value) -> Value {
    declaration["metadata"] = json!({ "description": DESCRIPTION });
    declaration
}

fn definitions() -> Value {
    let text = || described(json!({"type": "string", "nullable": true}));
    json!({
        "roleAssignmentType": {
            "type": "object",
            "properties": {
                "name": text(),
                "roleDefinitionIdOrName": described(json!({"type": "string"})),
                "principalId": described(json!({"type": "string", "minLength": 36})),
                "principalType": described(json!({
                    "type": "string", "nullable": true,
                    "allowedValues": ["Device", "ForeignGroup", "Group", "ServicePrincipal", "User"],
                })),
                "description": text(),
                "condition": text(),
                "conditionVersion": described(json!({"type": "string", "nullable": true, "allowedValues": ["2.0"]})),
                "delegatedManagedIdentityResourceId": text(),
            },
            "metadata": {"__bicep_imported_from!": {"sourceTemplate": "common-types"}},
        },
        "managedIdentityType": {
            "type": "object",
            "properties": {
                "systemAssigned": described(json!({"type": "bool", "nullable": true})),
                "userAssignedResourceIds": described(json!({"type": "array", "items": {"type": "string"}, "nullable": true})),
            },
        },
        "lockType": {
            "type": "object",
            "properties": {
                "name": text(),
                "kind": described(json!({"type": "string", "nullable": true, "allowedValues": ["CanNotDelete", "None", "ReadOnly"]})),
                "notes": text(),
            },
        },
        "diagnosticSettingType": {
            "type": "object",
            "properties": {
                "name": text(), "workspaceResourceId": text(), "storageAccountResourceId": text(),
                "eventHubName": text(), "marketplacePartnerResourceId": text(),
                "logCategoriesAndGroups": {"type": "array", "nullable": true, "items": {
                    "type": "object",
                    "properties": {"category": text(), "categoryGroup": text(), "enabled": {"type": "bool", "nullable": true}},
                }},
            },
        },
    })
}

fn parameters() -> Value {
    let list = |of: &str| {
        described(
            json!({"type": "array", "items": {"$ref": format!("#/definitions/{of}")}, "nullable": true}),
        )
    };
    json!({
        "name": described(json!({"type": "string", "maxLength": 80})),
        "location": described(json!({"type": "string", "defaultValue": "[resourceGroup().location]"})),
        "kind": described(json!({
            "type": "string", "defaultValue": "StorageV2",
            "allowedValues": ["Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage"],
        })),
        "tags": described(json!({"type": "object", "nullable": true})),
        "lock": described(json!({"$ref": "#/definitions/lockType", "nullable": true})),
        "roleAssignments": list("roleAssignmentType"),
        "diagnosticSettings": list("diagnosticSettingType"),
        "managedIdentities": described(json!({"$ref": "#/definitions/managedIdentityType", "nullable": true})),
        "accessTier": described(json!({"type": "string", "defaultValue": "Hot", "allowedValues": ["Premium", "Hot", "Cool", "Cold"]})),
        "networkAcls": described(json!({"type": "object", "nullable": true})),
        "retentionDays": described(json!({"type": "int", "defaultValue": 7, "minValue": 1, "maxValue": 365})),
        "enableTelemetry": described(json!({"type": "bool", "defaultValue": true})),
    })
}

fn variables() -> Value {
    let roles = ROLES.iter().enumerate().map(|(number, role)| {
        let id = format!("{number:08}-24e6-42a8-9d1f-000000000000");
        let path =
            format!("[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{id}')]");
        ((*role).to_owned(), json!(path))
    });
    json!({
        "copy": [{
            "name": "formattedRoleAssignments",
            "count": "[length(coalesce(parameters('roleAssignments'), createArray()))]",
            "input": "[union(coalesce(parameters('roleAssignments'), createArray())[copyIndex('formattedRoleAssignments')], createObject('roleDefinitionId', coalesce(tryGet(variables('builtInRoleNames'), coalesce(parameters('roleAssignments'), createArray())[copyIndex('formattedRoleAssignments')].roleDefinitionIdOrName), if(contains(coalesce(parameters('roleAssignments'), createArray())[copyIndex('formattedRoleAssignments')].roleDefinitionIdOrName, '/providers/Microsoft.Authorization/roleDefinitions/'), coalesce(parameters('roleAssignments'), createArray())[copyIndex('formattedRoleAssignments')].roleDefinitionIdOrName, subscriptionResourceId('Microsoft.Authorization/roleDefinitions', coalesce(parameters('roleAssignments'), createArray())[copyIndex('formattedRoleAssignments')].roleDefinitionIdOrName)))))]",
        }],
        "builtInRoleNames": roles.collect::<serde_json::Map<_, _>>(),
        "formattedUserAssignedIdentities": "[reduce(map(coalesce(tryGet(parameters('managedIdentities'), 'userAssignedResourceIds'), createArray()), lambda('id', createObject(format('{0}', lambdaVariables('id')), createObject()))), createObject(), lambda('cur', 'next', union(lambdaVariables('cur'), lambdaVariables('next'))))]",
        "identity": "[if(not(empty(parameters('managedIdentities'))), createObject('type', if(coalesce(tryGet(parameters('managedIdentities'), 'systemAssigned'), false()), if(not(empty(coalesce(tryGet(parameters('managedIdentities'), 'userAssignedResourceIds'), createObject()))), 'SystemAssigned,UserAssigned', 'SystemAssigned'), if(not(empty(coalesce(tryGet(parameters('managedIdentities'), 'userAssignedResourceIds'), createObject()))), 'UserAssigned', 'None')), 'userAssignedIdentities', if(not(empty(variables('formattedUserAssignedIdentities'))), variables('formattedUserAssignedIdentities'), null())), null())]",
    })
}

fn resources() -> Value {
    json!({
        "telemetry": {
            "condition": "[parameters('enableTelemetry')]",
            "type": "Microsoft.Resources/deployments",
            "apiVersion": "2024-03-01",
            "name": "[take(format('46d3xbcp.res.{0}.{1}.{2}', replace('module', '.', '-'), replace('-..--..-', '.', '-'), substring(uniqueString(deployment().name, parameters('location')), 0, 4)), 64)]",
            "properties": {"mode": "Incremental", "template": {
                "$schema": format!("{SCHEMAS}/2019-04-01/deploymentTemplate.json#"),
                "contentVersion": "1.0.0.0", "resources": [],
                "outputs": {"telemetry": {"type": "String", "value": "nothing is sent"}},
            }},
        },
        "account": {
            "type": "Microsoft.Storage/storageAccounts",
            "apiVersion": "2024-01-01",
            "name": "[parameters('name')]",
            "location": "[parameters('location')]",
            "kind": "[parameters('kind')]",
            "tags": "[parameters('tags')]",
            "identity": "[variables('identity')]",
            "properties": "[shallowMerge(createArray(createObject('accessTier', if(and(not(equals(parameters('kind'), 'Storage')), not(equals(parameters('kind'), 'BlockBlobStorage'))), parameters('accessTier'), null()), 'retention', parameters('retentionDays'), 'networkAcls', if(not(empty(parameters('networkAcls'))), union(createObject('resourceAccessRules', tryGet(parameters('networkAcls'), 'resourceAccessRules'), 'defaultAction', coalesce(tryGet(parameters('networkAcls'), 'defaultAction'), 'Deny')), parameters('networkAcls')), createObject('bypass', 'AzureServices', 'defaultAction', 'Deny'))), if(contains(createArray('StorageV2', 'BlobStorage'), parameters('kind')), createObject('isHnsEnabled', false()), createObject())))]",
        },
        "lock": {
            "condition": "[and(not(empty(coalesce(parameters('lock'), createObject()))), not(equals(tryGet(parameters('lock'), 'kind'), 'None')))]",
            "type": "Microsoft.Authorization/locks",
            "apiVersion": "2020-05-01",
            "scope": "[resourceId('Microsoft.Storage/storageAccounts', parameters('name'))]",
            "name": "[coalesce(tryGet(parameters('lock'), 'name'), format('lock-{0}', parameters('name')))]",
            "properties": {"level": "[coalesce(tryGet(parameters('lock'), 'kind'), '')]"},
            "dependsOn": ["account"],
        },
        "roleAssignments": {
            "copy": {
                "name": "roleAssignments",
                "count": "[length(coalesce(variables('formattedRoleAssignments'), createArray()))]",
            },
            "type": "Microsoft.Authorization/roleAssignments",
            "apiVersion": "2022-04-01",
            "scope": "[resourceId('Microsoft.Storage/storageAccounts', parameters('name'))]",
            "name": "[coalesce(tryGet(coalesce(variables('formattedRoleAssignments'), createArray())[copyIndex()], 'name'), guid(resourceId('Microsoft.Storage/storageAccounts', parameters('name')), coalesce(variables('formattedRoleAssignments'), createArray())[copyIndex()].principalId, coalesce(variables('formattedRoleAssignments'), createArray())[copyIndex()].roleDefinitionId))]",
            "properties": {
                "roleDefinitionId": "[coalesce(variables('formattedRoleAssignments'), createArray())[copyIndex()].roleDefinitionId]",
                "principalId": "[coalesce(variables('formattedRoleAssignments'), createArray())[copyIndex()].principalId]",
                "description": "[tryGet(coalesce(variables('formattedRoleAssignments'), createArray())[copyIndex()], 'description')]",
                "principalType": "[tryGet(coalesce(variables('formattedRoleAssignments'), createArray())[copyIndex()], 'principalType')]",
                "condition": "[tryGet(coalesce(variables('formattedRoleAssignments'), createArray())[copyIndex()], 'condition')]",
            },
            "dependsOn": ["account"],
        },
    })
}

fn outputs() -> Value {
    let output = |value: &str| described(json!({"type": "string", "value": value}));
    json!({
        "resourceId": output("[resourceId('Microsoft.Storage/storageAccounts', parameters('name'))]"),
        "name": output("[parameters('name')]"),
        "resourceGroupName": output("[resourceGroup().name]"),
        "location": output("[reference('account', '2024-01-01', 'full').location]"),
        "principalId": described(json!({
            "type": "string", "nullable": true,
            "value": "[tryGet(tryGet(reference('account', '2024-01-01', 'full'), 'identity'), 'principalId')]",
        })),
    })
}
