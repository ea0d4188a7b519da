"""Templates of many resources that are records only, and what their deployments did."""

from deployment_files import IDENTITY, template
from resource_manager import path_of

DEPLOYMENTS_API = "2024-11-01"
GALLERY = "Microsoft.Compute/galleries"
NETWORK = "Microsoft.Network/virtualNetworks"
ROLE = "b24988ac-6180-42a0-ab88-20f7382dd24c"
PLACE = "[resourceGroup().location]"
ENDS = {"Succeeded", "Failed", "Canceled"}

IDENTITIES, GALLERIES, DEFINITIONS, NETWORKS, SUBNETS, ROLES, MODULES = 25, 10, 20, 10, 5, 20, 10
RESOURCES = IDENTITIES + GALLERIES + DEFINITIONS + NETWORKS + SUBNETS + ROLES + MODULES
IN_A_MODULE = 2


def loop(title, count, resource_type, version, **more):
    """A resource and its copies."""
    return {"type": resource_type, "apiVersion": version, "copy": {"name": title, "count": count}, **more}


def hundred():
    """A hundred resources, some of which need others; ten of them are deployments of two more resources each."""
    inside = template(
        [loop("inside", IN_A_MODULE, IDENTITY, "2023-01-31", location=PLACE,
              name="[format('{0}-{1}', parameters('prefix'), copyIndex())]")],
        parameters={"prefix": {"type": "string"}},
    )
    resources = [
        loop("roles", ROLES, "Microsoft.Authorization/roleAssignments", "2022-04-01", dependsOn=["identities"],
             name="[guid(resourceGroup().id, string(copyIndex()))]",
             properties={
                 "roleDefinitionId": f"[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{ROLE}')]",
                 "principalId": f"[reference(resourceId('{IDENTITY}', format('id-{{0}}', copyIndex()))).principalId]",
                 "principalType": "ServicePrincipal",
             }),
        loop("definitions", DEFINITIONS, f"{GALLERY}/images", "2023-07-03", location=PLACE, dependsOn=["galleries"],
             name=f"[format('gallery{{0}}/image{{1}}', mod(copyIndex(), {GALLERIES}), copyIndex())]",
             properties={
                 "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
                 "identifier": {"publisher": "p", "offer": "o", "sku": "[string(copyIndex())]"},
             }),
        loop("galleries", GALLERIES, GALLERY, "2023-07-03", name="[format('gallery{0}', copyIndex())]", location=PLACE),
        loop("identities", IDENTITIES, IDENTITY, "2023-01-31", name="[format('id-{0}', copyIndex())]", location=PLACE),
        # Those of one network are written at the same time.
        loop("subnets", SUBNETS, f"{NETWORK}/subnets", "2024-07-01", dependsOn=["networks"],
             name="[format('net-0/subnet-{0}', copyIndex())]",
             properties={"addressPrefix": "[format('10.0.{0}.0/24', copyIndex())]"}),
        loop("networks", NETWORKS, NETWORK, "2024-07-01", name="[format('net-{0}', copyIndex())]", location=PLACE,
             properties={"addressSpace": {"addressPrefixes": ["[format('10.{0}.0.0/16', copyIndex())]"]}}),
        loop("modules", MODULES, "Microsoft.Resources/deployments", "2022-09-01",
             name="[format('module-{0}', copyIndex())]",
             properties={
                 "mode": "Incremental", "expressionEvaluationOptions": {"scope": "inner"}, "template": inside,
                 "parameters": {"prefix": {"value": "[format('in-{0}', copyIndex())]"}},
             }),
    ]
    outputs = {"first": {"type": "string", "value": f"[reference(resourceId('{IDENTITY}', 'id-0')).principalId]"}}
    return template(resources, outputs=outputs)


def orphan():
    """A resource that is tried again and again, because nobody makes its parent."""
    return {
        "type": f"{GALLERY}/images", "apiVersion": "2023-07-03", "name": "none/image", "location": PLACE,
        "@options": {"retryOn": [["ParentResourceNotFound"], 1_000_000]},
        "properties": {
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": {"publisher": "p", "offer": "o", "sku": "s"},
        },
    }


class Deployment:
    """A deployment to a group of its own."""

    def __init__(self, arm, group, name="main"):
        self.arm, self.group, self.name = arm, group, name
        self.path = f"resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name}"

    def put_group(self):
        made = self.arm("PUT", f"resourceGroups/{self.group}", json={"location": "westus2"})
        assert made.status_code == 201, made.text

    def ask(self, method, action="", **more):
        return self.arm(method, self.path + action, DEPLOYMENTS_API, **more)

    def put(self, content):
        return self.ask("PUT", json={"properties": {"mode": "Incremental", "template": content}})

    def shown(self):
        answer = self.ask("GET")
        assert answer.status_code == 200, answer.text
        return answer.json()["properties"]

    def is_over(self):
        return self.shown()["provisioningState"] in ENDS

    def operations(self):
        return [one["properties"] for one in pages(self.arm, f"{self.path}/operations")]

    def count(self, state):
        return sum(one["provisioningState"] == state for one in self.operations())


def pages(arm, path, version=DEPLOYMENTS_API):
    """A list with all its pages."""
    found, page = [], arm("GET", path, version)
    while True:
        assert page.status_code == 200, page.text
        found += page.json()["value"]
        if "nextLink" not in page.json():
            return found
        page = arm("GET", path_of(page.json()["nextLink"]), None)
