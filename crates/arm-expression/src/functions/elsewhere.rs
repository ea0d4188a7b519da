//! Functions that are not evaluated here.

use std::ops::RangeInclusive;

use super::{ANY, By, Entry, LIST};

const BICEP_ONLY: &str = "it exists in Bicep only, which evaluates it at compile time";

pub(super) const FUNCTIONS: &[Entry] = &[
    // Lazy functions, lambdas, and names of the template.
    evaluator("and", 2..=ANY),
    evaluator("coalesce", 1..=ANY),
    evaluator("copyIndex", 0..=2),
    evaluator("filter", 2..=2),
    evaluator("groupBy", 2..=3),
    evaluator("if", 3..=3),
    evaluator("lambda", 1..=ANY),
    evaluator("lambdaVariables", 1..=1),
    evaluator("map", 2..=2),
    evaluator("mapValues", 2..=2),
    evaluator("or", 2..=ANY),
    evaluator("parameters", 1..=1),
    evaluator("reduce", 3..=3),
    evaluator("sort", 2..=2),
    evaluator("toObject", 2..=3),
    evaluator("variables", 1..=1),
    // Resources.
    deployment(LIST, 2..=3),
    deployment("reference", 1..=3),
    deployment("references", 1..=2),
    deployment("resourceInfo", 1..=1),
    deployment("target", 0..=1),
    // The deployment, its scope, and the cloud.
    deployment("deployer", 0..=0),
    deployment("deployment", 0..=0),
    deployment("environment", 0..=0),
    deployment("externalInputs", 1..=1),
    deployment("managementGroup", 0..=0),
    deployment("newGuid", 0..=0),
    deployment("pickZones", 3..=5),
    deployment("providers", 1..=2),
    deployment("resourceGroup", 0..=0),
    deployment("roleDefinitions", 1..=1),
    deployment("subscription", 0..=0),
    deployment("tenant", 0..=0),
    deployment("toLogicalZone", 3..=3),
    deployment("toLogicalZones", 3..=3),
    deployment("toPhysicalZone", 3..=3),
    deployment("toPhysicalZones", 3..=3),
    // Only in parameter files, which the clients resolve.
    unsupported("extensions", "extensions other than Azure Resource Manager are not available"),
    unsupported("externalInput", "a client resolves external inputs before it sends them"),
    unsupported("any", BICEP_ONLY),
    unsupported("getSecret", BICEP_ONLY),
    unsupported("loadDirectoryFileInfo", BICEP_ONLY),
    unsupported("loadFileAsBase64", BICEP_ONLY),
    unsupported("loadJsonContent", BICEP_ONLY),
    unsupported("loadTextContent", BICEP_ONLY),
    unsupported("loadYamlContent", BICEP_ONLY),
    unsupported("nameof", BICEP_ONLY),
    unsupported("readEnvironmentVariable", BICEP_ONLY),
];

const fn evaluator(name: &'static str, arguments: RangeInclusive<usize>) -> Entry {
    Entry { name, arguments, by: By::Evaluator }
}

const fn deployment(name: &'static str, arguments: RangeInclusive<usize>) -> Entry {
    Entry { name, arguments, by: By::Deployment }
}

const fn unsupported(name: &'static str, reason: &'static str) -> Entry {
    Entry { name, arguments: 0..=ANY, by: By::Unsupported(reason) }
}
