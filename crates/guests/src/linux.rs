//! Guests with Linux: commands are for `/bin/sh`, as a user who may use `sudo`.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use images::{
    digest::digest,
    error::{Result, machine_error},
};
use tokio_util::sync::CancellationToken;
use vm::{
    Access, Exit, Machine, OsType,
    seed::{self, Seed},
};

use crate::{
    output::StepOutput,
    system::{At, Copied, Copying, FirstBoot, Resumed, Synced, System, Traces, Within},
};

mod boot;
mod copy;
mod disks;
mod generalize;
mod network;
mod optimize;
mod script;

pub use generalize::played;
pub use optimize::{warm, warm_input};
pub use script::run as run_script;

/// The unprivileged user that customizers run as.
pub const BUILD_USER: &str = "goldsmith";

/// Guests with Linux.
#[derive(Debug, Clone, Copy)]
pub struct Linux;

#[async_trait]
impl System for Linux {
    fn os_type(&self) -> OsType {
        OsType::Linux
    }

    fn new_access(&self) -> Result<Access> {
        Access::generate(BUILD_USER).map_err(machine_error)
    }

    async fn write_seed(
        &self,
        path: &Path,
        seed: &Seed<'_>,
        cancel: &CancellationToken,
    ) -> Result<()> {
        seed::write(path, seed, cancel).await.map_err(machine_error)
    }

    /// The host has made all keys.
    async fn meet(
        &self,
        _: &dyn Machine,
        access: Access,
        _: &str,
        _: Within<'_>,
    ) -> Result<Access> {
        Ok(access)
    }

    fn seed_input(&self) -> String {
        seed::VERSION.to_string()
    }

    fn ready_input(&self) -> String {
        digest(boot::BOOTED.as_bytes())
    }

    fn prepare_input(&self) -> String {
        digest(boot::STAND_IN.as_bytes())
    }

    fn data_disks_input(&self, disks: usize) -> String {
        disks::input(disks)
    }

    fn generalize_inputs(&self) -> BTreeMap<String, String> {
        generalize::inputs()
    }

    fn optimize_inputs(&self) -> BTreeMap<String, String> {
        optimize::inputs()
    }

    async fn boot_ended(&self, at: At<'_>, is_examined: bool) -> Result<Exit> {
        boot::ended(at.guest, is_examined).await
    }

    async fn resumed(&self, at: At<'_>, resumed: Resumed<'_>) -> Result<Exit> {
        boot::resumed(at.guest, resumed).await
    }

    async fn prepare(&self, at: At<'_>, first: FirstBoot) -> Result<Exit> {
        boot::prepare(at.guest, first).await
    }

    async fn name_data_disks(&self, at: At<'_>, disks: usize) -> Result<Exit> {
        disks::name(at.guest, disks).await
    }

    async fn unplugged(&self, at: At<'_>, mac: &str) -> Result<Exit> {
        network::ask(at.guest, network::UNPLUGGED, mac).await
    }

    async fn addressed(&self, at: At<'_>, mac: &str) -> Result<Exit> {
        network::ask(at.guest, network::ADDRESSED, mac).await
    }

    async fn sync(&self, at: At<'_>) -> Result<Synced> {
        disks::sync(at.guest).await
    }

    async fn copy(&self, at: At<'_>, copying: Copying<'_>, out: &mut StepOutput) -> Result<Copied> {
        copy::copy(at.guest, copying, out).await
    }

    async fn optimize(&self, at: At<'_>, out: &mut StepOutput) -> Result<()> {
        optimize::vm_boot(at.guest, out).await
    }

    async fn generalize(&self, at: At<'_>, traces: &Traces, out: &mut StepOutput) -> Result<()> {
        generalize::run(at.guest, at.access, traces, out).await
    }
}

/// Quotes a word for the guest's shell, with single quotes and any content.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quoted_word_is_not_interpreted_by_the_shell() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
