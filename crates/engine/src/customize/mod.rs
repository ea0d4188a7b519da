//! Customizers: what a template does to the machine, one file per kind.
//!
//! A customizer is resolved before anything is made: its scripts are fetched and its inputs named,
//! so that the key of its node covers everything it can read.

mod file;
mod shell;

use std::{collections::BTreeMap, path::Path};

use api::{
    ErrorCode,
    template::{Customizer as Block, CustomizerKind, Script},
};
use async_trait::async_trait;
use vm::Guest;

use crate::{
    cx::Cx,
    error::{Error, Result},
    fetch,
    output::StepOutput,
};

/// One customizer, ready to be applied.
#[async_trait]
pub trait Customizer: Send + Sync {
    /// `Shell`, `File`: the template's word.
    fn kind(&self) -> &'static str;

    /// Everything it can read, by name: digests and values, for the key.
    fn inputs(&self) -> BTreeMap<String, String>;

    /// Does it in the guest.
    async fn apply(&self, guest: &dyn Guest, out: &mut StepOutput) -> Result<()>;
}

/// Makes a customizer of the template ready: fetches what it names, checks what can be checked.
///
/// # Errors
/// `ScriptUnreachable`, `ChecksumMismatch`, or `UnsupportedCustomizerType` for what only Windows
/// has; each names the customizer's JSON path.
pub(crate) async fn resolve(
    cx: &Cx,
    block: &Block,
    base_dir: &Path,
) -> Result<Box<dyn Customizer>> {
    let path = &block.path;
    match &block.kind {
        CustomizerKind::Shell(shell) => Ok(Box::new(match &shell.script {
            Script::Inline(lines) => shell::Shell::inline(cx, lines).await?,
            Script::Uri { uri, sha256_checksum } => {
                let script = fetch_input(cx, uri, sha256_checksum.as_deref(), base_dir)
                    .await
                    .map_err(|e| e.target(format!("{path}.scriptUri")))?;
                shell::Shell::script(script)
            }
        })),
        CustomizerKind::File(file) => {
            let source =
                fetch_input(cx, &file.source_uri, file.sha256_checksum.as_deref(), base_dir)
                    .await
                    .map_err(|e| e.target(format!("{path}.sourceUri")))?;
            Ok(Box::new(file::File::new(source, &file.destination)))
        }
        CustomizerKind::PowerShell(_)
        | CustomizerKind::WindowsRestart(_)
        | CustomizerKind::WindowsUpdate(_) => Err(Error::new(
            ErrorCode::UnsupportedCustomizerType,
            format!("customizer type {} needs a Windows source", block.kind.name()),
        )
        .target(path)
        .hint("use type Shell or File with this source")),
    }
}

/// A script that runs like one of a Shell customizer.
pub(crate) async fn script(
    cx: &Cx,
    uri: &str,
    sha256: Option<&str>,
    base_dir: &Path,
) -> Result<Box<dyn Customizer>> {
    Ok(Box::new(shell::Shell::script(fetch_input(cx, uri, sha256, base_dir).await?)))
}

async fn fetch_input(
    cx: &Cx,
    uri: &str,
    sha256: Option<&str>,
    base_dir: &Path,
) -> Result<fetch::Fetched> {
    fetch::script(cx, uri, Some(base_dir), sha256, &fetch::Limits::default()).await
}

/// A word for the guest's shell: in single quotes, whatever is in it.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quoting_leaves_nothing_for_the_shell_to_read() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
