//! Scripts in the guest, run as a template's PowerShell steps are.

use std::{fmt::Display, io::Cursor};

use api::ErrorCode;
use guests::{
    StepOutput,
    windows::{
        self,
        script::{Rights, Script},
    },
};
use images::error::{Error, Result};
use serde_json::json;

use super::Facts;
use crate::bed::Bed;

const GUEST: &str = include_str!("../scripts/guest.ps1");
const TEXT: &str = include_str!("../scripts/text.ps1");
const IDENTITY: &str = include_str!("../scripts/identity.ps1");
const NETWORK: &str = include_str!("../scripts/network.ps1");
const CLOCK: &str = include_str!("../scripts/clock.ps1");
const DIGEST: &str = include_str!("../scripts/digest.ps1");
const TRUSTED: &str = include_str!("../scripts/trusted.ps1");

/// What begins the answers of a trial's scripts.
const MARK: &str = "trial";
/// What the script of [`TEXT`] writes.
const WORDS: &str = "Grüße, 世界, 😀";
const COMPLAINT: &str = "schön schiefgegangen";
/// The exit code of the script of [`IDENTITY`].
const SEVEN: u32 = 7;
/// Exit codes, and how PowerShell writes them.
const EXITS: [(u32, &str); 4] =
    [(0, "0"), (SEVEN, "7"), (0x8007_0005, "-2147024891"), (u32::MAX, "-1")];
/// The card of the hardware for Windows (Intel 82574L).
const CARD: &str = "VEN_8086&DEV_10D3";

/// The end of a script.
pub(super) struct Ran {
    pub(super) code: u32,
    out: StepOutput,
}

impl Ran {
    /// The rest of the first answer that begins with a word.
    pub(super) fn answer(&self, word: &str) -> Result<&str> {
        let rest = |line: &'_ String| line.starts_with(&format!("{word} "));
        let line = self.out.answers().iter().find(|line| rest(line));
        line.map(|line| line[word.len() + 1..].trim()).ok_or_else(|| {
            failed(format!("the script did not tell its {word}")).details(self.out.tail())
        })
    }

    fn succeeded(self) -> Result<Self> {
        match self.code {
            0 => Ok(self),
            code => Err(failed(format!("the script exited with {code}")).details(self.out.tail())),
        }
    }

    fn into_facts(self, facts: &mut Facts) {
        for line in self.out.answers() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            facts.insert(name.to_owned(), json!(value.trim()));
        }
    }
}

/// Runs a script to its end.
pub(super) async fn run(bed: &mut Bed<'_>, step: &str, text: &str, rights: Rights) -> Result<Ran> {
    let mut out = bed.output(step)?;
    out.expect_answers(MARK);
    let live = bed.at().await?;
    // The mark at the beginning tells PowerShell that the text is UTF-8.
    let mut content = Cursor::new(format!("\u{feff}{text}").into_bytes());
    let failure = ErrorCode::CustomizerFailed;
    let script = Script { content: &mut content, rights, failure };
    let code = script.run(live.at()?, &mut out).await?.code;
    let code = code.ok_or_else(|| failed("the script ended without an exit code".to_owned()))?;
    Ok(Ran { code, out })
}

pub(super) async fn guest(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let ran = run(bed, "guest", GUEST, Rights::Plain).await?.succeeded()?;
    ran.answer("build")?;
    ran.into_facts(facts);
    Ok(())
}

pub(super) async fn exit_codes(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    for (expected, written) in EXITS {
        let text = format!("# goldsmith: trial-exit\nexit {written}\n");
        let code = run(bed, "exit-codes", &text, Rights::Plain).await?.code;
        facts.insert(format!("exit {written}"), json!(code));
        expect("the exit code", &expected, &code)?;
    }
    Ok(())
}

pub(super) async fn text(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let ran = run(bed, "text", TEXT, Rights::Plain).await?.succeeded()?;
    let tail = ran.out.tail();
    facts.insert("lines".into(), json!(tail));
    expect("the text on standard output", &WORDS, &ran.answer("text")?)?;
    let lines = tail.join("\n");
    if lines.contains("CLIXML") || lines.contains("<S S=") || lines.contains("_x000D_") {
        return Err(failed("the error arrived as XML".to_owned()).details(tail));
    }
    match lines.contains(COMPLAINT) {
        true => Ok(()),
        false => Err(failed("the text of the error did not arrive".to_owned()).details(tail)),
    }
}

pub(super) async fn job(bed: &mut Bed<'_>, facts: &mut Facts, as_system: bool) -> Result<()> {
    let (step, rights) = match as_system {
        true => ("job-system", Rights::System),
        false => ("job-user", Rights::Elevated),
    };
    let ran = run(bed, step, IDENTITY, rights).await?;
    expect("the exit code", &SEVEN, &ran.code)?;
    let (system, administrator) = (ran.answer("system")?, ran.answer("administrator")?);
    expect("whether it is SYSTEM", &as_system.to_string(), &system.to_lowercase())?;
    expect("whether it is an administrator", &"true", &administrator.to_lowercase().as_str())?;
    ran.into_facts(facts);
    Ok(())
}

pub(super) async fn network(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let ran = run(bed, "network", NETWORK, Rights::Plain).await?.succeeded()?;
    let card = ran.answer("card")?.to_owned();
    ran.answer("driver")?;
    ran.into_facts(facts);
    match card.to_uppercase().contains(CARD) {
        true => Ok(()),
        false => Err(failed(format!("the network card is {card}, not {CARD}"))),
    }
}

pub(super) async fn trusted(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let ran = run(bed, "trusted", TRUSTED, Rights::Elevated).await?.succeeded()?;
    for word in ["tpm", "secure-boot"] {
        expect(word, &"true", &ran.answer(word)?.to_lowercase().as_str())?;
    }
    ran.into_facts(facts);
    Ok(())
}

/// The guest's clock, in seconds since 1970.
pub(super) async fn clock(bed: &mut Bed<'_>) -> Result<f64> {
    let ran = run(bed, "resume", CLOCK, Rights::Plain).await?.succeeded()?;
    let text = ran.answer("clock")?;
    let milliseconds: f64 =
        text.parse().map_err(|_| failed(format!("{text:?} is not a time in milliseconds")))?;
    Ok(milliseconds / 1000.0)
}

/// The digest of the file that was there before the seal.
pub(super) async fn digest(bed: &mut Bed<'_>) -> Result<String> {
    let ran = run(bed, "cold-boot", DIGEST, Rights::Plain).await?.succeeded()?;
    Ok(ran.answer("digest")?.to_owned())
}

/// Changes with each boot of the guest.
pub(super) async fn boot_id(bed: &mut Bed<'_>) -> Result<String> {
    let limit = bed.trial.boot_timeout;
    let live = bed.at().await?;
    windows::boot_id(live.at()?, limit).await
}

fn expect<T: PartialEq + Display>(what: &str, expected: &T, actual: &T) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(failed(format!("{what} should be {expected}, and is {actual}")))
}

pub(super) fn failed(why: String) -> Error {
    Error::new(ErrorCode::CustomizerFailed, why)
}
