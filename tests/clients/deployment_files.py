"""Deployment templates as people keep them in files."""

import json

import templates

SCHEMA = "https://schema.management.azure.com/schemas/{}#"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
ROLES = "Microsoft.Authorization/roleAssignments"

# With comments and an expression over two lines, which az sends unchanged.
COMMENTED = """{
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {
    "name": { "type": "string" }, // the identity
    "count": { "type": "int", "defaultValue": 1, "minValue": 1 }
  },
  "resources": [
    {
      "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
      "apiVersion": "2023-01-31",
      "name": "[concat(parameters('name'),
        '-', copyIndex())]",
      "location": "[resourceGroup().location]", /* where the group is */
      "copy": { "name": "all", "count": "[parameters('count')]" }
    }
  ],
  "outputs": {
    "first": { "type": "string", "value": "[reference(concat(parameters('name'), '-0')).principalId]" }
  }
}
"""


def template(resources, schema="2019-04-01/deploymentTemplate.json", **more):
    return {"$schema": SCHEMA.format(schema), "contentVersion": "1.0.0.0", "resources": resources, **more}


def image_template(service, group, name):
    """The usual file: an identity, its role, and an image template that depends on both."""
    identity = f"[resourceId('{IDENTITY}', 'deployed')]"
    assigned = "guid(resourceGroup().id, 'deployed')"
    built = templates.body(
        service, group, customize=[templates.shell("echo hello", name="hello")],
        distribute=[templates.managed(service.subscription, f"{name}-image", group)],
    )
    built["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    return template([
        {"type": IDENTITY, "apiVersion": "2023-01-31", "name": "deployed", "location": "[resourceGroup().location]"},
        {
            "type": ROLES, "apiVersion": "2022-04-01", "name": f"[{assigned}]", "dependsOn": [identity],
            "properties": {
                "roleDefinitionId": "[subscriptionResourceId('Microsoft.Authorization/roleDefinitions',"
                                    " 'b24988ac-6180-42a0-ab88-20f7382dd24c')]",
                "principalId": f"[reference('deployed').principalId]", "principalType": "ServicePrincipal",
            },
        },
        {
            "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2024-02-01", "name": name,
            "dependsOn": [identity, f"[resourceId('{ROLES}', {assigned})]"], **built,
        },
    ])


def subscription(group):
    """A deployment to the subscription, which creates a group and deploys into it."""
    inside = template([
        {"type": IDENTITY, "apiVersion": "2023-01-31", "name": "inside", "location": "[resourceGroup().location]"},
    ])
    return template(
        [
            {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2022-09-01", "name": group,
             "location": "[deployment().location]"},
            {"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inside",
             "resourceGroup": group, "dependsOn": [group],
             "properties": {"mode": "Incremental", "expressionEvaluationOptions": {"scope": "inner"},
                            "template": inside}},
        ],
        schema="2018-05-01/subscriptionDeploymentTemplate.json",
    )


def orphan():
    """Its only resource has no parent, which the service finds out when it is made."""
    return template([
        {"type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "2024-07-01", "name": "none/x",
         "properties": {"addressPrefix": "10.0.0.0/24"}},
    ])


def identity(name, **more):
    """An identity alone."""
    return template([{
        "type": IDENTITY, "apiVersion": "2023-01-31", "name": name, "location": "[resourceGroup().location]",
    }], **more)


def linking(path):
    """An identity, and a deployment of the template at that path."""
    linking = identity("[parameters('name')]", parameters={"name": {"type": "string"}})
    linking["resources"].append({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "linked",
        "properties": {"mode": "Incremental", "templateLink": {"relativePath": path}},
    })
    return linking


def write(folder, name, content):
    file = folder / f"{name}.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return str(file)
