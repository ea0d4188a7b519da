//! Five validators of one second each. They share one boot of the finished image, and the image is
//! converted concurrently.

use serde_json::{Value, json};

use super::{Row, lab::Lab};
use crate::Result;

const COUNT: usize = 5;
const SECONDS_EACH: f64 = 1.0;

pub(super) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    lab.make_source()?;
    lab.forget_steps()?;
    // Cloud-init runs on the validators' machine, so the boot to compare with runs it too.
    let boot = lab.build("cold", &lab.with_cloud_init())?.step("boot")?;
    lab.build("first-boot", &lab.template(&json!({})))?;
    let without = lab.build("without-validators", &lab.template(&json!({})))?.seconds;
    let validator = json!({ "type": "Shell", "inline": ["sleep 1"] });
    let all: Vec<Value> = vec![validator; COUNT];
    let validate = json!({ "validate": { "inVMValidations": all } });
    let built = lab.build("with-validators", &lab.template(&validate))?;
    built.step(&format!("validate[{}]", COUNT - 1))?;
    let with = built.seconds;
    let allowed = boot + SECONDS_EACH * COUNT as f64;
    Ok(vec![
        Row::seconds("a cold boot with cloud-init", boot),
        Row::seconds("a build without validators", without),
        Row::seconds(format!("with {COUNT} that take {SECONDS_EACH} s each"), with),
        Row::seconds("boot of their machine", built.step("fork")?),
        Row::seconds("added", with - without),
        Row::ratio("added / (cold boot + 5 s)", (with - without) / allowed, 1.0),
    ])
}
