//! `goldsmith template eval`: the value of an expression.

use arm_template::{
    Error, Evaluated, Given, Kind, Limits, Node, NothingDeployed, Parameters, Plan, Template, Value,
};

use super::{file::File, json, parameters, place, read::text, report::Report};
use crate::{
    cli,
    cmd::Result,
    failure::{Failure, internal},
    output::Output,
};

pub(super) async fn run(args: &cli::Eval, output: &Output) -> Result {
    let expression = bracketed(&args.expression);
    let evaluated = match &args.template {
        Some(path) => {
            let mut file = File::parse(path, text(path).await?, &args.deployment, output)?;
            of_file(&mut file, &expression, args, output)?
        }
        None => alone(&expression, args, output)?,
    };
    let value = json::object([("value", Some(evaluated.value.clone()))]);
    output.result("value", &json::Ordered(&value), || json::pretty(&evaluated.value));
    Ok(0)
}

/// The expression as a template has it.
fn bracketed(text: &str) -> String {
    let text = text.trim();
    match text.starts_with('[') {
        true => text.to_owned(),
        false => format!("[{text}]"),
    }
}

/// Evaluates the expression among the names of a file. Parameters without a value matter only to what uses them.
fn of_file(
    file: &mut File,
    expression: &str,
    args: &cli::Eval,
    output: &Output,
) -> Result<Evaluated> {
    let open = file.open_parameters();
    for name in &open {
        file.parameters.set(name.as_str(), Given::Unknown);
    }
    let plan = file.plan(&args.deployment, output)?;
    evaluate(&plan, expression).map_err(|error| {
        let report = match error.path.is_empty() {
            true => Report::of_expression(expression),
            false => file.report(),
        };
        advised(report, &error, &open).print(&error, output)
    })
}

/// Evaluates the expression in a template that has only the given parameters.
fn alone(expression: &str, args: &cli::Eval, output: &Output) -> Result<Evaluated> {
    let parameters = parameters::read(&args.deployment.parameters, None, output)?;
    let wrong = |error: Error| Failure::from(internal(&error));
    let template = Template::parse(&bare(&parameters), &Limits::default()).map_err(wrong)?;
    let facts = place::facts(&args.deployment, &template, "main")?;
    let plan = template.plan(&parameters, facts).map_err(wrong)?;
    evaluate(&plan, expression).map_err(|error| {
        advised(Report::of_expression(expression), &error, &[]).print(&error, output)
    })
}

/// A template without resources, in which each parameter has the type of its value.
fn bare(parameters: &Parameters) -> String {
    let declared = parameters.iter().map(|(name, given)| {
        let type_name = match given {
            Given::Value(Value::Bool(_)) => "bool",
            Given::Value(Value::Int(_)) => "int",
            Given::Value(Value::Array(_)) => "array",
            Given::Value(Value::Object(_)) => "object",
            Given::Value(Value::Null | Value::Float(_) | Value::String(_))
            | Given::Secret(_)
            | Given::Unknown => "string",
        };
        (name.to_string(), serde_json::json!({ "type": type_name, "nullable": true }))
    });
    serde_json::json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "languageVersion": "2.0",
        "contentVersion": "1.0.0.0",
        "parameters": declared.collect::<serde_json::Map<_, _>>(),
        "resources": {},
    })
    .to_string()
}

fn evaluate(plan: &Plan, expression: &str) -> Result<Evaluated, Error> {
    let text = serde_json::Value::from(expression).to_string();
    plan.evaluate(&Node::parse(&text, &Limits::default())?, &NothingDeployed)
}

fn advised<'a>(report: Report<'a>, error: &Error, open: &[String]) -> Report<'a> {
    if error.kind != Kind::Pending {
        return report;
    }
    match open.iter().find(|name| error.message.contains(&format!("'{name}'"))) {
        Some(name) => report.hint(format!("add --parameters {name}=VALUE")),
        None => report.hint("nothing is deployed here; what a resource has then cannot be read"),
    }
}
