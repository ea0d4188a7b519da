//! `optimize.vmBoot`: boot time and size before and after it, as goldsmith measures them in each build,
//! and its cost in a build. Times are medians of several boots, because one boot on a busy host is not
//! reliable.

use serde_json::{Value, json};

use super::{Row, lab::Built, lab::Lab, middle};
use crate::Result;

const ROUNDS: usize = 3;
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    lab.make_source()?;
    // Afterwards the first boot is cached for both.
    lab.build("first-boot", &lab.template(&json!({})))?;
    let without = lab.build("without-optimization", &lab.template(&json!({})))?.seconds;
    let optimize = json!({ "optimize": { "vmBoot": { "state": "Enabled" } } });
    let mut builds = Vec::new();
    for _ in 0..ROUNDS {
        builds.push(lab.build("with-optimization", &lab.template(&optimize))?);
    }
    let figure = |name: &str| middle(builds.iter().map(|built| one(built, name)).collect());
    let steps = |name: &str| middle(builds.iter().map(|built| built.step(name)).collect());
    Ok(vec![
        Row::seconds("boot before", figure("bootSecondsBefore")?),
        Row::seconds("boot after", figure("bootSecondsAfter")?),
        Row::seconds("first answer before", figure("answerSecondsBefore")?),
        Row::seconds("first answer after", figure("answerSecondsAfter")?),
        Row::mib("size before", figure("bytesBefore")? / MIB),
        Row::mib("size after", figure("bytesAfter")? / MIB),
        Row::seconds("the step itself", steps("optimize")?),
        Row::seconds("both boots", steps("measure")?),
        Row::seconds("a build without it", without),
        Row::seconds("a build with it", middle(builds.iter().map(|b| Ok(b.seconds)).collect())?),
    ])
}

fn one(built: &Built, name: &str) -> Result<f64> {
    let figure = built.result().map(|result: &Value| result["optimization"][name].as_f64());
    figure.flatten().ok_or_else(|| format!("the result has no {name}"))
}
