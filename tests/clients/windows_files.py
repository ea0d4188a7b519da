"""Windows templates as people send them: with all kinds of steps, and as one deployment for virtual desktops."""

from templates import body, managed, powershell, source, WINDOWS_URN

import deployment_files

RESTART = {"type": "WindowsRestart", "restartCheckCommand": "powershell -command \"echo up\"", "restartTimeout": "10m"}
UPDATE = {
    "type": "WindowsUpdate", "searchCriteria": "IsInstalled=0",
    "filters": ["exclude:$_.Title -like '*Preview*'", "include:$true"], "updateLimit": 20,
}


def steps(url):
    """Each kind of customizer of Windows; `url` serves a script and a file."""
    return [
        powershell("echo inline", "exit 3", name="inline", validExitCodes=[0, 3]),
        {"type": "PowerShell", "name": "by address", "scriptUri": f"{url}/setup.ps1", "runElevated": True,
         "runAsSystem": True},
        RESTART | {"name": "restart"},
        {"type": "File", "name": "file", "sourceUri": f"{url}/tool.zip", "destination": "C:\\tools\\tool.zip"},
        UPDATE | {"name": "update"},
    ]


def windows(service, image, group="rg", **properties):
    """The body of a template upon Windows that makes a managed image."""
    distribute = [managed(service.subscription, image, group)]
    return body(service, group, **{
        "source": source(WINDOWS_URN), "customize": [powershell("echo hello")], "distribute": distribute, **properties,
    })


def desktop(url):
    """A deployment for virtual desktops: identity, role, gallery, definition and image template by parameters. The
    step that would start the build from within the deployment is switched off, as its parameter says."""
    kinds = {
        "gallery": "Microsoft.Compute/galleries", "definition": "Microsoft.Compute/galleries/images",
        "role": "Microsoft.Authorization/roleDefinitions", "assigned": "Microsoft.Authorization/roleAssignments",
        "template": "Microsoft.VirtualMachineImages/imageTemplates",
        "script": "Microsoft.Resources/deploymentScripts",
    }
    identity = f"[resourceId('{deployment_files.IDENTITY}', parameters('identityName'))]"
    inner = identity[1:-1]
    definition = f"resourceId('{kinds['definition']}', parameters('galleryName'), parameters('definitionName'))"
    role = f"resourceId('{kinds['role']}', guid(parameters('roleName')))"
    assignment = f"guid(resourceGroup().id, {role}, {inner})"
    publisher, offer, sku, _ = WINDOWS_URN.split(":")
    text = {"type": "string"}
    place = "[parameters('location')]"
    return deployment_files.template(
        [
            {"type": deployment_files.IDENTITY, "apiVersion": "2018-11-30", "name": "[parameters('identityName')]",
             "location": place},
            {"type": kinds["role"], "apiVersion": "2018-01-01-preview", "name": "[guid(parameters('roleName'))]",
             "properties": {
                 "roleName": "[parameters('roleName')]", "description": "Builds images",
                 "permissions": [{"actions": [
                     "Microsoft.Compute/galleries/read", "Microsoft.Compute/galleries/images/read",
                     "Microsoft.Compute/galleries/images/versions/*",
                 ]}],
                 "assignableScopes": ["[resourceGroup().id]"],
             }},
            {"type": kinds["assigned"], "apiVersion": "2020-04-01-preview",
             "name": f"[{assignment}]", "dependsOn": [f"[{role}]", identity],
             "properties": {
                 "roleDefinitionId": f"[{role}]", "principalType": "ServicePrincipal",
                 "principalId": f"[reference({inner}, '2018-11-30').principalId]",
             }},
            {"type": kinds["gallery"], "apiVersion": "2022-03-03", "name": "[parameters('galleryName')]",
             "location": place, "properties": {"description": "desktops"}},
            {"type": kinds["definition"], "apiVersion": "2022-03-03",
             "name": "[format('{0}/{1}', parameters('galleryName'), parameters('definitionName'))]",
             "location": place, "dependsOn": [f"[resourceId('{kinds['gallery']}', parameters('galleryName'))]"],
             "properties": {
                 "osType": "Windows", "osState": "Generalized", "hyperVGeneration": "V2",
                 "identifier": {"publisher": "Contoso", "offer": "desktop", "sku": "multi-session"},
             }},
            {"type": kinds["template"], "apiVersion": "2020-02-14", "name": "[parameters('templateName')]",
             "location": place, "tags": {"userIdentity": "enabled"},
             "dependsOn": [identity, f"[{definition}]", f"[resourceId('{kinds['assigned']}', {assignment})]"],
             "identity": {"type": "UserAssigned", "userAssignedIdentities": {f"[format('{{0}}', {inner})]": {}}},
             "properties": {
                 "buildTimeoutInMinutes": 180,
                 "vmProfile": {"vmSize": "Standard_D2_v2", "osDiskSizeGB": 1},
                 "source": {
                     "type": "PlatformImage", "publisher": "[parameters('imagePublisher')]",
                     "offer": "[parameters('imageOffer')]", "sku": "[parameters('imageSku')]", "version": "latest",
                 },
                 "customize": [
                     {"type": "PowerShell", "name": "optimize", "runElevated": True, "runAsSystem": True,
                      "scriptUri": "[concat(parameters('scripts'), '/setup.ps1')]"},
                     {"type": "WindowsRestart", "name": "restart", "restartTimeout": "5m"},
                     {"type": "WindowsUpdate", "searchCriteria": "IsInstalled=0",
                      "filters": ["exclude:$_.Title -like '*Preview*'", "include:$true"], "updateLimit": 40},
                 ],
                 "distribute": [{
                     "type": "SharedImage", "galleryImageId": f"[{definition}]",
                     "runOutputName": "[parameters('outputName')]",
                     "artifactTags": {"source": "desktop", "baseosimg": "windows"},
                     "replicationRegions": [],
                 }],
             }},
            {"condition": "[parameters('runFromDeployment')]", "type": kinds["script"], "apiVersion": "2020-10-01",
             "name": "BuildImage", "location": place, "kind": "AzurePowerShell",
             "dependsOn": [f"[resourceId('{kinds['template']}', parameters('templateName'))]"],
             "properties": {
                 "azPowerShellVersion": "5.9", "retentionInterval": "P1D",
                 "scriptContent": "[format('Invoke-AzResourceAction -ResourceName {0}', parameters('templateName'))]",
             }},
        ],
        parameters={
            "location": text | {"defaultValue": "[resourceGroup().location]"},
            "identityName": text, "roleName": text | {"defaultValue": "[format('{0}{1}', 'Images', utcNow())]"},
            "galleryName": text, "definitionName": text, "templateName": text,
            "outputName": text | {"defaultValue": "[uniqueString(resourceGroup().name)]"},
            "imagePublisher": text | {"defaultValue": publisher}, "imageOffer": text | {"defaultValue": offer},
            "imageSku": text | {"defaultValue": sku}, "scripts": text | {"defaultValue": url},
            "runFromDeployment": {"type": "bool", "defaultValue": False},
        },
        outputs={"template": {"type": "string",
                              "value": f"[resourceId('{kinds['template']}', parameters('templateName'))]"}},
    )
