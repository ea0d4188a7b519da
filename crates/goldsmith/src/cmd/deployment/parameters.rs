//! `--parameters`: files, and values by name.

use std::path::Path;

use api::ErrorCode;
use arm_template::{Given, Limits, Node, Parameters, Template, Value, same_name};
use images::error::{Coded, Error};
use vm::may_wait;

use super::{read::bytes, report::Report};
use crate::{cmd::Result, output::Output};

const FLAG: &str = "--parameters";
/// Files of Bicep that compile to parameters.
const BICEP: &str = "bicepparam";

/// The values that the words of the option give. Values by name are read as the types that the template declares.
/// Without a template, what is JSON is read as JSON.
pub(super) fn read(
    words: &[String],
    template: Option<&Template>,
    output: &Output,
) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    for word in words {
        match by_name(word) {
            Some((name, text)) => {
                let value = value(name, text, template)?;
                parameters.set(name, Given::Value(value));
            }
            None => {
                for (name, given) in of_file(word, output)?.iter() {
                    parameters.set(name.clone(), readable(name, given, output));
                }
            }
        }
    }
    Ok(parameters)
}

/// `NAME=VALUE`, unless the word is a path that contains an equals sign.
fn by_name(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let plain = |c: char| c.is_alphanumeric() || "_-$".contains(c);
    (!name.is_empty() && name.chars().all(plain)).then_some((name, value))
}

/// The values in a file, or in JSON on the command line.
fn of_file(word: &str, output: &Output) -> Result<Parameters> {
    if word.trim_start().starts_with('{') {
        return parsed(Path::new(FLAG), word, output);
    }
    let path = Path::new(word.strip_prefix('@').unwrap_or(word));
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(BICEP)) {
        let message = format!("{} is Bicep, not JSON", path.display());
        let hint = format!("compile it and use the result: bicep build-params {}", path.display());
        return Err(Error::new(ErrorCode::InvalidArgument, message).target(FLAG).hint(hint).into());
    }
    let text = text(path).map_err(|error| {
        error.hint("give a parameters file, or NAME=VALUE; several may follow one --parameters")
    })?;
    parsed(path, &text, output)
}

fn parsed(path: &Path, text: &str, output: &Output) -> Result<Parameters> {
    let parsed = Parameters::parse(text, &Limits::default());
    parsed.map_err(|error| Report::of_file(path, text).print(&error, output))
}

fn text(path: &Path) -> Result<String, Error> {
    let failed = || format!("cannot read the parameters {}", path.display());
    let bytes = may_wait(|| bytes(path)).code(ErrorCode::NotFound, failed);
    let text = bytes
        .and_then(|bytes| String::from_utf8(bytes).code(ErrorCode::InvalidRequestContent, failed));
    text.map_err(|error| error.target(FLAG))
}

/// What is given, or that it is not known: a key vault is out of reach.
fn readable(name: &str, given: &Given, output: &Output) -> Given {
    match given {
        Given::Value(_) | Given::Unknown => given.clone(),
        Given::Secret(secret) => {
            output.note(&format!(
                "the parameter {name} is the secret {} of a key vault, which is not read here; to give its value: \
                 --parameters {name}=@FILE",
                secret.name
            ));
            Given::Unknown
        }
    }
}

/// The value that a text means for a parameter; `@FILE` stands for the content of the file.
fn value(name: &str, text: &str, template: Option<&Template>) -> Result<Value> {
    let content = text.strip_prefix('@').map(|path| self::text(Path::new(path))).transpose()?;
    let text = content.as_deref().unwrap_or(text);
    let type_name = match template {
        None => None,
        Some(template) => Some(type_name(name, template)?),
    };
    let json = || Node::parse(text, &Limits::default()).map(|node| node.to_value()).ok();
    let value = match type_name {
        Some("String" | "SecureString") => Some(Value::from(text)),
        Some("Bool") => text.to_ascii_lowercase().parse::<bool>().ok().map(Value::Bool),
        Some("Int") => text.trim().parse::<i64>().ok().map(Value::Int),
        Some(_) => json(),
        None => Some(json().unwrap_or_else(|| Value::from(text))),
    };
    value.ok_or_else(|| {
        // Not the text, which may be a secret.
        let type_name = type_name.unwrap_or_default();
        let message = format!("the value of the parameter {name} is not of type {type_name}");
        let hint = match type_name {
            "Bool" => "true or false",
            "Int" => "a whole number",
            _ => "JSON, in single quotes for the shell, or @FILE with a file that has it",
        };
        Error::new(ErrorCode::InvalidArgument, message).target(FLAG).hint(hint).into()
    })
}

/// The type of a declared parameter.
fn type_name(name: &str, template: &Template) -> Result<&'static str> {
    let mut declared = template.declared_parameters();
    if let Some(found) = declared.find(|declared| same_name(&declared.name, name)) {
        return Ok(found.type_name);
    }
    let names: Vec<_> = template.declared_parameters().map(|one| one.name.to_string()).collect();
    let message = format!("the template has no parameter {name}");
    let hint = match names.is_empty() {
        true => "it has no parameters".to_owned(),
        false => format!("its parameters: {}", names.join(", ")),
    };
    Err(Error::new(ErrorCode::InvalidArgument, message).target(FLAG).hint(hint).into())
}
