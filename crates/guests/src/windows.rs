//! Guests with Windows: commands are for `cmd.exe`, as an administrator with all rights.
//!
//! All work is done by scripts for Windows PowerShell 5.1, in files that the crate includes. None of
//! them has run on Windows here: how they reach the guest is tested, what they do there is not.

use std::{collections::BTreeMap, path::Path, time::Duration};

use async_trait::async_trait;
use images::error::Result;
use tokio_util::sync::CancellationToken;
use vm::{Access, Exit, Machine, OsType, seed::Seed};

use crate::{
    linux::BUILD_USER,
    output::StepOutput,
    system::{At, Copied, Copying, FirstBoot, Resumed, Synced, System, Traces, Within},
};

mod boot;
mod call;
mod copy;
mod disks;
mod generalize;
mod job;
mod lines;
mod marked;
mod network;
mod optimize;
pub mod played;
pub mod restart;
pub mod script;
mod scripts;
mod seed;
pub mod update;

pub use job::Content;

/// Guests with Windows.
#[derive(Debug, Clone, Copy)]
pub struct Windows;

/// Which boot of the guest this is. Another one after each boot, and not after a resume. A guest that
/// restarts is asked again until the limit.
///
/// # Errors
/// It does not answer.
pub async fn boot_id(at: At<'_>, limit: Duration) -> Result<String> {
    boot::id_within(at, limit).await
}

/// How a script that has no exit code of its own ended.
fn exit(code: u32) -> Exit {
    Exit { code: Some(code), signal: None }
}

#[async_trait]
impl System for Windows {
    fn os_type(&self) -> OsType {
        OsType::Windows
    }

    fn new_access(&self) -> Result<Access> {
        seed::access(BUILD_USER)
    }

    async fn write_seed(
        &self,
        path: &Path,
        seed: &Seed<'_>,
        cancel: &CancellationToken,
    ) -> Result<()> {
        seed::write(path, seed, cancel).await
    }

    async fn meet(
        &self,
        machine: &dyn Machine,
        access: Access,
        instance_id: &str,
        within: Within<'_>,
    ) -> Result<Access> {
        seed::meet(machine, access, instance_id, within).await
    }

    /// What [`System::prepare`] does follows every seed.
    fn seed_input(&self) -> String {
        format!("{} {}", seed::version(), boot::prepare_version())
    }

    fn ready_input(&self) -> String {
        boot::ready_version()
    }

    fn prepare_input(&self) -> String {
        boot::prepare_version()
    }

    fn data_disks_input(&self, disks: usize) -> String {
        disks::version(disks)
    }

    fn generalize_inputs(&self) -> BTreeMap<String, String> {
        generalize::inputs()
    }

    fn optimize_inputs(&self) -> BTreeMap<String, String> {
        optimize::inputs()
    }

    async fn boot_ended(&self, at: At<'_>, is_examined: bool) -> Result<Exit> {
        boot::ended(at, is_examined).await
    }

    async fn resumed(&self, at: At<'_>, resumed: Resumed<'_>) -> Result<Exit> {
        boot::resumed(at, resumed.now).await
    }

    async fn prepare(&self, at: At<'_>, first: FirstBoot) -> Result<Exit> {
        boot::prepare(at, first).await
    }

    async fn name_data_disks(&self, at: At<'_>, disks: usize) -> Result<Exit> {
        disks::online(at, disks).await
    }

    async fn unplugged(&self, at: At<'_>, mac: &str) -> Result<Exit> {
        network::unplugged(at, mac).await
    }

    async fn addressed(&self, at: At<'_>, mac: &str) -> Result<Exit> {
        network::addressed(at, mac).await
    }

    async fn sync(&self, at: At<'_>) -> Result<Synced> {
        disks::sync(at).await
    }

    async fn copy(&self, at: At<'_>, copying: Copying<'_>, _: &mut StepOutput) -> Result<Copied> {
        copy::copy(at, copying).await
    }

    async fn optimize(&self, at: At<'_>, out: &mut StepOutput) -> Result<()> {
        optimize::run(at, out).await
    }

    async fn generalize(&self, at: At<'_>, _: &Traces, out: &mut StepOutput) -> Result<()> {
        generalize::run(at, out).await
    }
}
