//! Reads the files that a command names.

use std::{io::Read, path::Path};

use api::ErrorCode;
use images::error::Error;
use vm::may_wait;

use super::bicep;
use crate::cmd::Result;

/// The file name that means standard input.
pub(in crate::cmd) const STANDARD_INPUT: &str = "-";
const LARGEST: u64 = 16 << 20;

/// The text of a file, or of standard input for `-`. Bicep is compiled.
pub(in crate::cmd) async fn text(file: &Path) -> Result<String> {
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("bicep")) {
        return bicep::compile(file).await;
    }
    let name = file.display();
    let bytes = may_wait(|| bytes(file)).map_err(|e| {
        Error::new(ErrorCode::NotFound, format!("cannot read the template {name}: {e}"))
            .hint("specify the path of a template in JSON, or - for standard input")
    })?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::new(ErrorCode::InvalidRequestContent, format!("{name} is not UTF-8 at byte {at}"))
            .hint("save it as UTF-8")
    })?;
    Ok(text)
}

/// The content of the file, or of standard input for `-`. A content above [`LARGEST`] is an error.
pub(super) fn bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new(STANDARD_INPUT) {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > LARGEST {
        let text = format!("it is larger than {} MiB", LARGEST >> 20);
        return Err(std::io::Error::other(text));
    }
    Ok(bytes)
}
