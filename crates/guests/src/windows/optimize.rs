//! The optimization of boot and disk.

use std::collections::BTreeMap;

use api::ErrorCode;
use images::error::{Error, Result};

use super::{
    job::{self, Job, User},
    scripts,
};
use crate::{output::StepOutput, system::At};

pub(super) fn inputs() -> BTreeMap<String, String> {
    BTreeMap::from([("script".to_owned(), job::version(Some(scripts::OPTIMIZE)))])
}

pub(super) async fn run(at: At<'_>, out: &mut StepOutput) -> Result<()> {
    let mut script = std::io::Cursor::new(scripts::OPTIMIZE);
    let failure = ErrorCode::OptimizationFailed;
    let job = Job { script: &mut script, user: User::System, arguments: None, failure };
    let code = job.run(at, out).await;
    out.flush().await;
    match code? {
        0 => Ok(()),
        code => {
            Err(Error::new(failure, format!("goldsmith's own script exited with status {code}"))
                .target("properties.optimize")
                .details(out.tail())
                .hint("set the state to Disabled to build without it"))
        }
    }
}
