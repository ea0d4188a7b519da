"""Templates with one mistake each: how a good one is spoilt, and the answer that it gets.

A row is data. `changes` maps the path of a field to its new value; `DROP` takes the field away. The answer
is either HTTP 400 at once, or a creation that fails (`FAILED`): then `code` is `provisioningErrorCode`.
`path` is the field that is named, `says` a part of what the reader is to do about it.
"""

import dataclasses

DROP = object()
REFUSED, FAILED = "400", "Failed"
STRICT = "2025-10-01"


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    changes: dict
    code: str
    path: str
    says: str
    how: str = REFUSED
    version: str = STRICT
    # Whether `goldsmith validate` finds it too. It cannot find mistakes that need a service.
    local: bool = True


SUBSCRIPTION = "{subscription}"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
COMPUTE = f"{GROUP}/providers/Microsoft.Compute"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
NETWORK = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/net/subnets"
SUM = "a" * 64


def good(scripts):
    """A template with content in every part. `scripts` is the address of the served files."""
    return {
        "location": "westus2",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {f"{IDENTITY}/builder": {}}},
        "tags": {"team": "forge"},
        "properties": {
            "source": {
                "type": "PlatformImage", "publisher": "Tests", "offer": "tiny", "sku": "1",
                "version": "latest",
            },
            "customize": [
                {"type": "Shell", "name": "inline", "inline": ["echo hello"]},
                {"type": "Shell", "name": "uri", "scriptUri": f"{scripts}/hello.sh"},
                {"type": "File", "name": "file", "sourceUri": f"{scripts}/hello.sh", "destination": "x"},
            ],
            "validate": {"inVMValidations": [{"type": "Shell", "inline": ["true"]}]},
            "optimize": {"vmBoot": {"state": "Disabled"}},
            "errorHandling": {"onCustomizerError": "cleanup", "onValidationError": "cleanup"},
            "distribute": [
                {
                    "type": "ManagedImage", "runOutputName": "image", "location": "westus2",
                    "imageId": f"{COMPUTE}/images/img", "artifactTags": {"a": "b"},
                },
                {
                    "type": "SharedImage", "runOutputName": "version",
                    "galleryImageId": f"{COMPUTE}/galleries/g/images/d",
                    "targetRegions": [{"name": "westus2", "replicaCount": 1}],
                },
                {"type": "VHD", "runOutputName": "vhd"},
            ],
            "buildTimeoutInMinutes": 60,
            "vmProfile": {"vmSize": "Standard_B1s", "osDiskSizeGB": 0},
            "autoRun": {"state": "Disabled"},
            "managedResourceTags": {"cost": "42"},
        },
    }


SOURCE = "properties.source"
FIRST, SECOND, THIRD = (f"properties.customize[{n}]" for n in range(3))
IMAGE, VERSION, VHD = (f"properties.distribute[{n}]" for n in range(3))
VALIDATOR = "properties.validate.inVMValidations[0]"
PROFILE = "properties.vmProfile"
INVALID = "ValidationFailed"


def source(kind, **fields):
    return {SOURCE: {"type": kind, **fields}}


ENVELOPE = [
    Row("no location", {"location": DROP}, INVALID, "location", "Missing field 'location'", local=False),
    Row("unknown region", {"location": "moon"}, "LocationNotAvailableForResourceType", "location",
        "List of available regions", local=False),
    Row("no identity", {"identity": DROP}, INVALID, "identity", "Missing field 'identity'", local=False),
    Row("system-assigned identity", {"identity.type": "SystemAssigned"}, INVALID, "identity.type",
        "`UserAssigned`"),
    Row("no type of identity", {"identity.type": DROP}, INVALID, "identity.type", "Missing field 'type'"),
    Row("two identities",
        {"identity.userAssignedIdentities": {f"{IDENTITY}/builder": {}, f"{IDENTITY}/other": {}}},
        INVALID, "identity.userAssignedIdentities", "Exactly one"),
    Row("identity that is no identity", {"identity.userAssignedIdentities": {f"{COMPUTE}/images/img": {}}},
        INVALID, "identity.userAssignedIdentities", "userAssignedIdentities/"),
    Row("identity that is not there", {"identity.userAssignedIdentities": {f"{IDENTITY}/nobody": {}}},
        INVALID, "identity.userAssignedIdentities", "Create it first", local=False),
    Row("tag that is no text", {"tags": {"team": 5}}, INVALID, "tags.team", "write \"5\""),
    Row("tags that are a list", {"tags": ["team"]}, INVALID, "tags", "Expected an object"),
    Row("unknown field", {"colour": "red"}, INVALID, "colour", "known here"),
    Row("misspelt field", {"propertys": {}}, INVALID, "propertys", "did you mean `properties`?"),
    Row("field outside of properties", {"distribute": []}, INVALID, "distribute",
        "belongs inside `properties`"),
    Row("no properties", {"properties": DROP}, INVALID, "properties", "Missing field 'properties'"),
    Row("no source", {SOURCE: DROP}, INVALID, SOURCE, "Missing field 'source'"),
    Row("no distribute", {"properties.distribute": DROP}, INVALID, "properties.distribute",
        "Missing field 'distribute'"),
    Row("empty distribute", {"properties.distribute": []}, INVALID, "properties.distribute",
        "least one target is needed"),
]

SOURCES = [
    Row("unknown type of source", {f"{SOURCE}.type": "Marketplace"}, "BadSourceType", f"{SOURCE}.type",
        "`PlatformImage`"),
    Row("ISO source", {f"{SOURCE}.type": "ISO"}, "BadSourceType", f"{SOURCE}.type", "`PlatformImage`"),
    Row("type of source in another case", {f"{SOURCE}.type": "platformimage"}, "BadSourceType",
        f"{SOURCE}.type", "did you mean `PlatformImage`?"),
    Row("no type of source", {f"{SOURCE}.type": DROP}, INVALID, f"{SOURCE}.type", "one of `PlatformImage`"),
    Row("no publisher", {f"{SOURCE}.publisher": DROP}, INVALID, f"{SOURCE}.publisher",
        "Missing field 'publisher'"),
    Row("no offer", {f"{SOURCE}.offer": DROP}, INVALID, f"{SOURCE}.offer", "Missing field 'offer'"),
    Row("no sku", {f"{SOURCE}.sku": DROP}, INVALID, f"{SOURCE}.sku", "Missing field 'sku'"),
    Row("no version", {f"{SOURCE}.version": DROP}, INVALID, f"{SOURCE}.version", "Missing field 'version'"),
    Row("offer that nobody has", {f"{SOURCE}.offer": "nothing"}, "BadPIRSource", SOURCE,
        "goldsmith catalogue ls", FAILED, local=False),
    Row("version that nobody has", {f"{SOURCE}.version": "9.9.9"}, "BadPIRSource", SOURCE,
        "there is Tests:tiny:1:1.0.0", FAILED, local=False),
    Row("plan without a product", {f"{SOURCE}.planInfo": {"planName": "a", "planPublisher": "b"}}, INVALID,
        f"{SOURCE}.planInfo.planProduct", "Missing field 'planProduct'"),
    Row("sold image without a plan", {f"{SOURCE}.sku": "sold"}, "BadPIRSource", f"{SOURCE}.planInfo",
        "give planInfo with planName `silver`", FAILED, local=False),
    Row("sold image with another plan",
        {f"{SOURCE}.sku": "sold",
         f"{SOURCE}.planInfo": {"planName": "gold", "planProduct": "tiny", "planPublisher": "tests"}},
        "BadPIRSource", f"{SOURCE}.planInfo.planName", "give planInfo with planName `silver`", FAILED,
        local=False),
    Row("managed image without an id", source("ManagedImage"), INVALID, f"{SOURCE}.imageId",
        "Missing field 'imageId'"),
    Row("managed image by its name", source("ManagedImage", imageId="img"), INVALID, f"{SOURCE}.imageId",
        "begins with `/subscriptions/`"),
    Row("managed image that is not there", source("ManagedImage", imageId=f"{COMPUTE}/images/none"),
        "BadManagedImageSource", f"{SOURCE}.imageId", "make the image first", FAILED, local=False),
    Row("managed image that is specialized",
        source("ManagedImage", imageId=f"{COMPUTE}/images/specialized"), "BadManagedImageSource",
        f"{SOURCE}.imageId", "generalize the machine", FAILED, local=False),
    Row("gallery image without a version",
        source("SharedImageVersion", imageVersionId=f"{COMPUTE}/galleries/g/images/d"), INVALID,
        f"{SOURCE}.imageVersionId", "/versions/"),
    Row("gallery version of two numbers",
        source("SharedImageVersion", imageVersionId=f"{COMPUTE}/galleries/g/images/d/versions/1.2"), INVALID,
        f"{SOURCE}.imageVersionId", "/versions/1.2.3"),
    Row("gallery version that is not there",
        source("SharedImageVersion", imageVersionId=f"{COMPUTE}/galleries/g/images/d/versions/9.9.9"),
        "BadSharedImageVersionSource", f"{SOURCE}.imageVersionId", "make the image first", FAILED, local=False),
    Row("latest of a gallery under an old api-version",
        source("SharedImageVersion", imageVersionId=f"{COMPUTE}/galleries/g/images/d/versions/latest")
        | {"properties.distribute": [{"type": "VHD", "runOutputName": "vhd"}]},
        INVALID, f"{SOURCE}.imageVersionId", "use api-version 2022-07-01", version="2022-02-14"),
]

STEPS = [
    Row("unknown customizer", {f"{FIRST}.type": "Ansible"}, "BadCustomizerType", f"{FIRST}.type", "`Shell`"),
    Row("customizer without a type", {f"{FIRST}.type": DROP}, INVALID, f"{FIRST}.type", "one of `Shell`"),
    Row("PowerShell on Linux", {FIRST: {"type": "PowerShell", "inline": ["dir"]}}, "UnsupportedCustomizerType",
        FIRST, "use type Shell or File", FAILED, local=False),
    Row("WindowsRestart on Linux", {FIRST: {"type": "WindowsRestart"}}, "UnsupportedCustomizerType", FIRST,
        "use type Shell or File", FAILED, local=False),
    Row("WindowsUpdate on Linux", {FIRST: {"type": "WindowsUpdate"}}, "UnsupportedCustomizerType", FIRST,
        "use type Shell or File", FAILED, local=False),
    Row("script and lines", {f"{FIRST}.scriptUri": "https://example.com/x.sh"}, INVALID, f"{FIRST}.inline",
        "keep one of them"),
    Row("neither script nor lines", {f"{FIRST}.inline": DROP}, "NoCustomizerScript", FIRST,
        "give either `scriptUri` or `inline`"),
    Row("no lines", {f"{FIRST}.inline": []}, "NoCustomizerScript", f"{FIRST}.inline", "at least one command"),
    Row("line that is no text", {f"{FIRST}.inline": ["echo", 7]}, INVALID, f"{FIRST}.inline[1]", "write \"7\""),
    Row("checksum that is none", {f"{SECOND}.sha256Checksum": "abc"}, INVALID, f"{SECOND}.sha256Checksum",
        "`sha256sum FILE` prints it"),
    Row("checksum of something else", {f"{SECOND}.sha256Checksum": SUM}, "Other", f"{SECOND}.scriptUri",
        "if the new content is wanted, give its checksum", FAILED, local=False),
    Row("script that is not there", {f"{SECOND}.scriptUri": "{scripts}/none.sh"}, "Other",
        f"{SECOND}.scriptUri", "must be reachable", FAILED, local=False),
    Row("script in a private network", {f"{SECOND}.scriptUri": "http://127.0.0.2:9/x.sh"}, "Other",
        f"{SECOND}.scriptUri", "--allow-fetch-from", FAILED, local=False),
    Row("script at the metadata address", {f"{SECOND}.scriptUri": "http://169.254.169.254/x.sh"}, "Other",
        f"{SECOND}.scriptUri", "may not be fetched from", FAILED, local=False),
    Row("script by a path", {f"{SECOND}.scriptUri": "/etc/passwd"}, INVALID, f"{SECOND}.scriptUri",
        "goldsmith build", local=False),
    Row("script by ftp", {f"{SECOND}.scriptUri": "ftp://example.com/x.sh"}, INVALID, f"{SECOND}.scriptUri",
        "http or https"),
    Row("file from nowhere", {f"{THIRD}.sourceUri": DROP}, "NoCustomizerScript", f"{THIRD}.sourceUri",
        "Missing field 'sourceUri'"),
    Row("file to nowhere", {f"{THIRD}.destination": DROP}, INVALID, f"{THIRD}.destination",
        "Missing field 'destination'"),
    Row("file that is not there", {f"{THIRD}.sourceUri": "{scripts}/none"}, "Other", f"{THIRD}.sourceUri",
        "must be reachable", FAILED, local=False),
    Row("field of another customizer", {f"{FIRST}.runElevated": True}, INVALID, f"{FIRST}.runElevated",
        "known here"),
    Row("runAsSystem without runElevated",
        {FIRST: {"type": "PowerShell", "inline": ["dir"], "runAsSystem": True}}, INVALID,
        f"{FIRST}.runAsSystem", "runElevated"),
    Row("exit codes in quotes", {FIRST: {"type": "PowerShell", "inline": ["dir"], "validExitCodes": ["0"]}},
        INVALID, f"{FIRST}.validExitCodes[0]", "write 0 without quotes"),
    Row("timeout of a restart that is no time", {FIRST: {"type": "WindowsRestart", "restartTimeout": "soon"}},
        INVALID, f"{FIRST}.restartTimeout", "5m"),
    Row("limit of updates below zero", {FIRST: {"type": "WindowsUpdate", "updateLimit": -1}}, INVALID,
        f"{FIRST}.updateLimit", "at least 0"),
]

CHECKS = [
    Row("unknown validator", {f"{VALIDATOR}.type": "WindowsUpdate"}, "BadValidatorType", f"{VALIDATOR}.type",
        "`Shell`"),
    Row("validator without a script", {VALIDATOR: {"type": "Shell"}}, "NoValidatorScript", VALIDATOR,
        "give either `scriptUri` or `inline`"),
    Row("PowerShell validator on Linux", {VALIDATOR: {"type": "PowerShell", "inline": ["dir"]}},
        "UnsupportedValidatorType", VALIDATOR, "use type Shell or File", FAILED, local=False),
    Row("flag in quotes", {"properties.validate.continueDistributeOnFailure": "true"}, INVALID,
        "properties.validate.continueDistributeOnFailure", "write true without quotes"),
    Row("misspelt switch of validation", {"properties.validate.sourceValidation": True}, INVALID,
        "properties.validate.sourceValidation", "did you mean `sourceValidationOnly`?"),
    Row("state of optimization", {"properties.optimize.vmBoot.state": "On"}, INVALID,
        "properties.optimize.vmBoot.state", "`Enabled`"),
    Row("optimization in another case", {"properties.optimize": {"vmboot": {"state": "Enabled"}}}, INVALID,
        "properties.optimize.vmboot", "did you mean `vmBoot`?"),
    Row("error handling", {"properties.errorHandling.onCustomizerError": "keep"}, INVALID,
        "properties.errorHandling.onCustomizerError", "`cleanup`, `abort`"),
    Row("error handling of validators", {"properties.errorHandling.onValidationError": "Abort"}, INVALID,
        "properties.errorHandling.onValidationError", "did you mean `abort`?"),
]

TARGETS = [
    Row("unknown distributor", {f"{VHD}.type": "Blob"}, "BadDistributeType", f"{VHD}.type", "`VHD`"),
    Row("distributor without a type", {f"{VHD}.type": DROP}, INVALID, f"{VHD}.type",
        "one of `ManagedImage`"),
    Row("distributor without a name", {f"{VHD}.runOutputName": DROP}, INVALID, f"{VHD}.runOutputName",
        "Missing field 'runOutputName'"),
    Row("two of one name", {f"{VHD}.runOutputName": "image"}, INVALID, f"{VHD}.runOutputName", "give every target a different name"),
    Row("two of one image",
        {VHD: {"type": "ManagedImage", "runOutputName": "vhd", "location": "westus2",
               "imageId": f"{COMPUTE}/images/IMG"}},
        INVALID, f"{VHD}.imageId", "remove or change one of the two"),
    Row("two of one version",
        {IMAGE: {"type": "SharedImage", "runOutputName": "image",
                 "galleryImageId": f"{COMPUTE}/galleries/g/images/D/versions/7.0.0"},
         f"{VERSION}.galleryImageId": f"{COMPUTE}/galleries/g/images/d/versions/7.0.0"},
        INVALID, f"{VERSION}.galleryImageId", "remove or change one of the two"),
    Row("two of one blob",
        {IMAGE: {"type": "VHD", "runOutputName": "image",
                 "uri": "https://images.blob.core.windows.net/vhds/x.vhd"},
         f"{VHD}.uri": "https://Images.blob.core.windows.net/vhds/x.vhd"},
        INVALID, f"{VHD}.uri", "remove or change one of the two"),
    Row("name with a blank", {f"{VHD}.runOutputName": "my disk"}, INVALID, f"{VHD}.runOutputName",
        "letters, digits"),
    Row("image without an id", {f"{IMAGE}.imageId": DROP}, INVALID, f"{IMAGE}.imageId",
        "Missing field 'imageId'"),
    Row("image without a place", {f"{IMAGE}.location": DROP}, INVALID, f"{IMAGE}.location",
        "Missing field 'location'"),
    Row("image under an id of something else", {f"{IMAGE}.imageId": f"{COMPUTE}/disks/d"}, INVALID,
        f"{IMAGE}.imageId", "Microsoft.Compute/images/"),
    Row("tag of an artifact that is no text", {f"{IMAGE}.artifactTags": {"a": 1}}, INVALID,
        f"{IMAGE}.artifactTags.a", "write \"1\""),
    Row("version without a definition", {f"{VERSION}.galleryImageId": DROP}, INVALID,
        f"{VERSION}.galleryImageId", "Missing field 'galleryImageId'"),
    Row("version of a managed image", {f"{VERSION}.galleryImageId": f"{COMPUTE}/images/img"}, INVALID,
        f"{VERSION}.galleryImageId", "galleries/"),
    Row("version of two numbers", {f"{VERSION}.galleryImageId": f"{COMPUTE}/galleries/g/images/d/versions/1.0"},
        INVALID, f"{VERSION}.galleryImageId", "omit `/versions/…`"),
    Row("regions twice", {f"{VERSION}.replicationRegions": ["westus2"]}, INVALID,
        f"{VERSION}.replicationRegions", "keep `targetRegions`"),
    Row("region without a name", {f"{VERSION}.targetRegions[0].name": DROP}, INVALID,
        f"{VERSION}.targetRegions[0].name", "Missing field 'name'"),
    Row("no replica", {f"{VERSION}.targetRegions[0].replicaCount": 0}, INVALID,
        f"{VERSION}.targetRegions[0].replicaCount", "at least 1"),
    Row("unknown storage", {f"{VERSION}.targetRegions[0].storageAccountType": "Floppy"}, INVALID,
        f"{VERSION}.targetRegions[0].storageAccountType", "`Standard_LRS`"),
    Row("storage beside target regions", {f"{VERSION}.storageAccountType": "Standard_LRS"}, INVALID,
        f"{VERSION}.storageAccountType", "targetRegions"),
    Row("no regions under an old api-version",
        {f"{VERSION}.targetRegions": DROP}, INVALID, f"{VERSION}.replicationRegions",
        "Missing field 'replicationRegions'", version="2022-02-14"),
    Row("unknown numbering", {f"{VERSION}.versioning": {"scheme": "Date"}}, INVALID,
        f"{VERSION}.versioning.scheme", "`Latest`"),
    Row("major number below -1", {f"{VERSION}.versioning": {"scheme": "Latest", "major": -2}}, INVALID,
        f"{VERSION}.versioning.major", "at least -1"),
    Row("unknown replication", {f"{VERSION}.replicationMode": "Deep"}, INVALID, f"{VERSION}.replicationMode",
        "`Full`"),
    Row("excluded in quotes", {f"{VERSION}.excludeFromLatest": "yes"}, INVALID,
        f"{VERSION}.excludeFromLatest", "Expected true or false"),
    Row("definition of the other generation", {f"{VERSION}.galleryImageId": f"{COMPUTE}/galleries/g/images/gen1"},
        "BadSharedImageDistribute", f"{VERSION}.galleryImageId", "name an image definition with hyperVGeneration V2",
        FAILED, local=False),
    Row("definition for Windows", {f"{VERSION}.galleryImageId": f"{COMPUTE}/galleries/g/images/windows"},
        "BadSharedImageDistribute", f"{VERSION}.galleryImageId", "name an image definition with osType Linux",
        FAILED, local=False),
    Row("definition of another security type",
        {f"{VERSION}.galleryImageId": f"{COMPUTE}/galleries/g/images/launched"}, "BadSharedImageDistribute",
        f"{VERSION}.galleryImageId", "TrustedLaunchSupported", FAILED, local=False),
    Row("VHD at an address without a host", {f"{VHD}.uri": "disk.vhd"}, INVALID, f"{VHD}.uri", "https address of a blob"),
]

MACHINE = [
    Row("timeout too long", {"properties.buildTimeoutInMinutes": 961}, INVALID,
        "properties.buildTimeoutInMinutes", "between 0 and 960"),
    Row("timeout below zero", {"properties.buildTimeoutInMinutes": -1}, INVALID,
        "properties.buildTimeoutInMinutes", "between 0 and 960"),
    Row("timeout in quotes", {"properties.buildTimeoutInMinutes": "60"}, INVALID,
        "properties.buildTimeoutInMinutes", "write 60 without quotes"),
    Row("unknown size", {f"{PROFILE}.vmSize": "Standard_Nothing"}, "Other", f"{PROFILE}.vmSize",
        "a size has a name such as", FAILED, local=False),
    Row("disk below zero", {f"{PROFILE}.osDiskSizeGB": -1}, INVALID, f"{PROFILE}.osDiskSizeGB", "at least 0"),
    Row("identity of the machine that is not there", {f"{PROFILE}.userAssignedIdentities": [f"{IDENTITY}/none"]},
        INVALID, f"{PROFILE}.userAssignedIdentities", "Create it first", local=False),
    Row("subnet that is none", {f"{PROFILE}.vnetConfig": {"subnetId": f"{COMPUTE}/images/img"}}, INVALID,
        f"{PROFILE}.vnetConfig.subnetId", "/subnets/"),
    Row("container subnet alone", {f"{PROFILE}.vnetConfig": {"containerInstanceSubnetId": f"{NETWORK}/aci"}},
        INVALID, f"{PROFILE}.vnetConfig.containerInstanceSubnetId", "subnetId"),
    Row("container subnet with a proxy",
        {f"{PROFILE}.vnetConfig": {"subnetId": f"{NETWORK}/a", "containerInstanceSubnetId": f"{NETWORK}/aci",
                                   "proxyVmSize": "Standard_A1_v2"}},
        INVALID, f"{PROFILE}.vnetConfig.proxyVmSize", "remove one of them"),
    Row("state of autoRun", {"properties.autoRun.state": "Yes"}, INVALID, "properties.autoRun.state",
        "`Enabled`"),
    Row("staging group that is none", {"properties.stagingResourceGroup": "mine"}, INVALID,
        "properties.stagingResourceGroup", "begins with `/subscriptions/`"),
    Row("staging group that is in use", {"properties.stagingResourceGroup": GROUP}, "BadStagingResourceGroup",
        "properties.stagingResourceGroup", "empty", FAILED, local=False),
    Row("tags of staging that are no texts", {"properties.managedResourceTags": {"cost": 42}}, INVALID,
        "properties.managedResourceTags.cost", "write \"42\""),
    Row("data disk below zero", {"properties.additionalDataDisks": [{"sizeGB": -1}]}, INVALID,
        "properties.additionalDataDisks[0].sizeGB", "between 1 and 32767"),
    Row("data disk under an old api-version", {"properties.additionalDataDisks": [{"sizeGB": 1}]}, INVALID,
        "properties.additionalDataDisks", "use api-version 2025-10-01", version="2024-02-01"),
]

ROWS = ENVELOPE + SOURCES + STEPS + CHECKS + TARGETS + MACHINE
