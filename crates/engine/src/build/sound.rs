//! Checks that a run continues from undamaged nodes.

use std::io;

use api::ErrorCode;
use images::{
    error::{Error, Result, io_fault},
    image_file::verified::Verified,
};
use vm::{RamFile, may_wait, off_runtime};

use super::Run;
use crate::node::{Damage, Node};

impl Run<'_> {
    /// Whether all nodes below and including this one are undamaged. Removes a damaged one, with
    /// the nodes on top of it.
    pub(super) async fn is_sound(&self, node: &Node) -> Result<bool> {
        let (store, of, cancel) = (self.store.clone(), node.clone(), self.cx.cancel.clone());
        let damage = off_runtime(move || store.damage(&of, &cancel)).await.map_err(fault)?;
        let Some(Damage { key, file }) = damage else { return Ok(true) };
        let what = format!("node {} is damaged: its {file} is not what was sealed", key.short());
        tracing::error!(%key, %file, "a node is damaged");
        let (store, bad) = (self.store.clone(), key.clone());
        if off_runtime(move || store.remove_with_children(&bad)).await.map_err(fault)? {
            self.cx.events.warn(format!("{what}. It is made again, with those upon it"));
            return Ok(false);
        }
        Err(Error::new(ErrorCode::BadImage, format!("{what}, and another run stands on it"))
            .hint("build again when that run has ended: the damaged node goes then"))
    }

    /// The saved RAM of a node, if it can be resumed here and is undamaged.
    pub(super) async fn ram_of(&self, node: &Node) -> Result<Option<RamFile>> {
        let Some(ram) = may_wait(|| node.ram_for(self.host)) else { return Ok(None) };
        let (node, verified) = (node.clone(), Verified::new(&self.cx.layout));
        let (key, cancel) = (node.meta.key.clone(), self.cx.cancel.clone());
        let is_sound =
            off_runtime(move || node.check_ram(&verified, &cancel)).await.map_err(fault)?;
        if !is_sound {
            let text = format!("the RAM of node {} is damaged: its disk is booted", key.short());
            tracing::error!(%key, "the RAM of a node is damaged");
            self.cx.events.warn(text);
        }
        Ok(is_sound.then_some(ram))
    }
}

fn fault(error: io::Error) -> Error {
    io_fault(error, ErrorCode::InternalError, "read a node".to_owned())
}
