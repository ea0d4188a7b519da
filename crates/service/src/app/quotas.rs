//! The quotas of the subscription: `[limits.quota]` of `goldsmith.toml`. `crate::quotas` enforces them.

use serde::Deserialize;

/// The quotas. docs/configuration.md lists the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quotas {
    /// Resources of each type other than image templates, and resource groups.
    pub resources_of_a_type: u32,
    /// Image templates.
    pub templates: u32,
    /// Queued runs.
    pub waiting_runs: u32,
    /// Triggers of templates in one region.
    pub triggers_in_a_region: u32,
    /// MiB of scripts and files staged for templates.
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
