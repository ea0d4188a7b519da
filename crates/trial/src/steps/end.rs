//! The end of a build: generalization, and a new machine from its result.

use api::ErrorCode;
use guests::Traces;
use images::error::{Error, Result};
use serde_json::json;
use tokio::time::Instant;

use super::Facts;
use crate::bed::{Bed, Start, system};

pub(super) async fn generalize(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let mut out = bed.output("generalize")?;
    let begun = Instant::now();
    let live = bed.at().await?;
    let traces = Traces { cards: Vec::new() };
    system().generalize(live.at()?, &traces, &mut out).await?;
    let left = bed.powered_off().await?;
    facts.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    bed.generalized = Some(left.drives.without_vars());
    Ok(())
}

/// A new machine from the generalized disk, as a validator or a user of the image starts one.
pub(super) async fn fork(bed: &mut Bed<'_>, facts: &mut Facts, is_trusted: bool) -> Result<()> {
    bed.end().await?;
    let on = bed
        .generalized
        .clone()
        .ok_or_else(|| Error::new(ErrorCode::InternalError, "there is no generalized disk"))?;
    let identity = bed.new_identity().await?;
    let begun = Instant::now();
    bed.start(Start { on, identity, resume_from: None, is_trusted }).await?;
    bed.enter(true).await?;
    facts.insert("secondsToAnswer".into(), json!(begun.elapsed().as_secs()));
    if is_trusted {
        super::scripts::trusted(bed, facts).await?;
    }
    Ok(())
}
