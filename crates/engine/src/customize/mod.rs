//! Customizers: a template's changes to the machine, one file per kind.
//!
//! A customizer is resolved before anything is created: its scripts are fetched and its inputs
//! named, so that the key of its node covers everything it can read. Validators are customizers on
//! another machine.

mod file;
mod shell;

use std::{collections::BTreeMap, path::Path};

use api::{
    ErrorCode,
    template::{Customizer as Block, CustomizerKind, FileCopy, Script},
};
use async_trait::async_trait;
use images::{
    cx::Cx,
    error::{Error, Result},
};
use sources::fetch;
use vm::Guest;

use crate::{output::StepOutput, windows};

/// One customizer, ready to be applied.
#[async_trait]
pub trait Customizer: Send + Sync {
    /// `Shell`, `File`: the type in the template.
    fn kind(&self) -> &'static str;

    /// Everything it can read, by name: digests and values, for the key.
    fn inputs(&self) -> BTreeMap<String, String>;

    /// Applies it in the guest.
    async fn apply(&self, guest: &dyn Guest, out: &mut StepOutput) -> Result<()>;
}

/// The origin of scripts and files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// The base of relative paths.
    pub base_dir: &'a Path,
    /// Limits for fetching addresses.
    pub limits: &'a fetch::Limits,
}

/// The position of a block in its template, and the error code of its failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Its JSON path.
    pub path: &'a str,
    pub inputs: Inputs<'a>,
    /// The code for a script that fails, or a file that cannot be copied.
    pub failure: ErrorCode,
}

/// Resolves a customizer of the template: fetches its files and checks what can be checked.
///
/// # Errors
/// `ScriptUnreachable`, `ChecksumMismatch`, or `UnsupportedCustomizerType` for a type that only
/// Windows has; each names the customizer's JSON path.
pub(crate) async fn resolve(
    cx: &Cx,
    block: &Block,
    inputs: Inputs<'_>,
) -> Result<Box<dyn Customizer>> {
    let place = Place { path: &block.path, inputs, failure: ErrorCode::CustomizerFailed };
    match &block.kind {
        CustomizerKind::Shell(shell) => self::shell(cx, shell, place).await,
        CustomizerKind::File(file) => self::file(cx, file, place).await,
        CustomizerKind::PowerShell(_)
        | CustomizerKind::WindowsRestart(_)
        | CustomizerKind::WindowsUpdate(_) => Err(windows::only(
            ErrorCode::UnsupportedCustomizerType,
            "customizer",
            block.kind.name(),
            &block.path,
        )),
    }
}

/// Resolves a script.
pub(crate) async fn shell(
    cx: &Cx,
    given: &api::template::Shell,
    place: Place<'_>,
) -> Result<Box<dyn Customizer>> {
    let script = match &given.script {
        Script::Inline(lines) => shell::inline(cx, lines).await?,
        Script::Uri { uri, sha256_checksum } => {
            let at = |e: Error| e.target(format!("{}.scriptUri", place.path));
            let sent =
                fetch_input(cx, uri, sha256_checksum.as_deref(), place.inputs).await.map_err(at)?;
            shell::text(cx, sent, place.failure).await.map_err(at)?
        }
    };
    Ok(Box::new(shell::Shell::new(script, place.failure)))
}

/// Resolves a file.
pub(crate) async fn file(
    cx: &Cx,
    given: &FileCopy,
    place: Place<'_>,
) -> Result<Box<dyn Customizer>> {
    let source = fetch_input(cx, &given.source_uri, given.sha256_checksum.as_deref(), place.inputs)
        .await
        .map_err(|e| e.target(format!("{}.sourceUri", place.path)))?;
    let target = given.target().unwrap_or_else(|| given.destination.clone());
    Ok(Box::new(file::File::new(source, &target, place.failure)))
}

async fn fetch_input(
    cx: &Cx,
    uri: &str,
    sha256: Option<&str>,
    inputs: Inputs<'_>,
) -> Result<fetch::Fetched> {
    fetch::script(cx, uri, Some(inputs.base_dir), sha256, inputs.limits).await
}

/// Quotes a word for the guest's shell, with single quotes and any content.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quoted_word_is_not_interpreted_by_the_shell() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
