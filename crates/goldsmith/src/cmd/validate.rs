//! `goldsmith validate`: every mistake of a template, and nothing else.

use serde_json::json;

use super::{Result, template};
use crate::{cli, output::Output};

#[expect(clippy::unused_async, reason = "every command has the same shape")]
pub(super) async fn run(args: &cli::Validate, output: &Output) -> Result {
    let input = template::read(&args.template, output)?;
    let customizers = input.template.properties.customize.len();
    let distributors = input.template.properties.distribute.len();
    let value = json!({
        "valid": true,
        "customizers": customizers,
        "distributors": distributors,
    });
    output.result("result", &value, || {
        format!(
            "{} is valid: {customizers} customizers, {distributors} distributors",
            args.template.file.display()
        )
    });
    Ok(0)
}
