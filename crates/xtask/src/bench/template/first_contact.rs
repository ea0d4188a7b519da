//! The first boot of a build until the guest answers: by systemd credentials, and with cloud-init and
//! its NoCloud seed. Both take turns, because one boot on a busy host is not reliable.

use serde_json::json;

use super::{
    Row,
    lab::{Built, Lab},
    middle,
};
use crate::Result;

const ROUNDS: usize = 3;
/// First contact by credentials takes at most this part of the time with cloud-init.
const LIMIT: f64 = 0.6;

pub(super) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    lab.make_source()?;
    let (mut credentials, mut cloud_init) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        lab.forget_steps()?;
        credentials.push(lab.build("credentials", &lab.template(&json!({})))?);
        lab.forget_steps()?;
        cloud_init.push(lab.build("cloud-init", &lab.with_cloud_init())?);
    }
    let answer = |all: &[Built]| middle(all.iter().map(answered).collect());
    let boot = |all: &[Built]| middle(all.iter().map(|built| built.step("boot")).collect());
    let (by_credentials, by_cloud_init) = (answer(&credentials)?, answer(&cloud_init)?);
    Ok(vec![
        Row::seconds("first answer, credentials", by_credentials),
        Row::seconds("first answer, cloud-init", by_cloud_init),
        Row::ratio("credentials / cloud-init", by_credentials / by_cloud_init, LIMIT),
        Row::seconds("the whole first boot, credentials", boot(&credentials)?),
        Row::seconds("the whole first boot, cloud-init", boot(&cloud_init)?),
    ])
}

/// From power-on to the first answer.
fn answered(built: &Built) -> Result<f64> {
    Ok(built.span("start the machine")? + built.span("the guest's first answer")?)
}
