//! What the subscription may have at most, `[limits.quota]` of `goldsmith.toml`; `crate::quotas` counts.

use serde::Deserialize;

/// How much of everything. docs/configuration.md lists them with their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quotas {
    /// Resources of any one type but image templates, and resource groups.
    pub resources_of_a_type: u32,
    /// Image templates.
    pub templates: u32,
    /// Runs that wait for their turn.
    pub waiting_runs: u32,
    /// Triggers of templates in one region.
    pub triggers_in_a_region: u32,
    /// MiB of the scripts and files that are staged for templates.
    pub script_storage_mib: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            resources_of_a_type: 50_000,
            templates: 20_000,
            waiting_runs: 5_000,
            // As in Azure.
            triggers_in_a_region: 100,
            script_storage_mib: 200 * 1024,
        }
    }
}
