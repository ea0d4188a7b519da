//! `Autounattend.xml`: the answers to all questions of Windows Setup.
//!
//! Setup partitions the disk, installs the edition, and restarts into audit mode instead of the
//! dialogs of a first start. There, `install.ps1` generalizes Windows and powers the machine off.

use std::fmt::Write as _;

use crate::{
    catalogue::WindowsIso,
    scripts::{WINDOWS_ANSWERS, WINDOWS_INSTALL},
};

/// The letters that Windows may give to a medium.
const LETTERS: &str = "D E F G H I J K";
/// The ports on which a guest reports. Where Windows has its own console on the first one, programs
/// cannot open that one.
const PORTS: [&str; 2] = ["COM2", "COM1"];
/// What Setup of Windows 11 does not look for if told so.
const WITHOUT_TPM: &[&str] = &["BypassTPMCheck"];
const WITHOUT_SECURE_BOOT: &[&str] = &["BypassSecureBootCheck"];
const ALWAYS: &[&str] = &["BypassCPUCheck", "BypassRAMCheck"];

/// Partitions of a disk with UEFI: those of the firmware and of Windows' own use, then the system.
const GPT: &[Partition] = &[
    Partition { kind: "EFI", mib: Some(260), format: Some("FAT32"), is_active: false },
    Partition { kind: "MSR", mib: Some(16), format: None, is_active: false },
    Partition { kind: "Primary", mib: None, format: Some("NTFS"), is_active: false },
];
/// The same with BIOS.
const MBR: &[Partition] = &[
    Partition { kind: "Primary", mib: Some(500), format: Some("NTFS"), is_active: true },
    Partition { kind: "Primary", mib: None, format: Some("NTFS"), is_active: false },
];

struct Partition {
    kind: &'static str,
    /// Its size; without one, the rest of the disk.
    mib: Option<u32>,
    format: Option<&'static str>,
    is_active: bool,
}

/// The files of the medium, besides drivers. `mark` is the word that begins the guest's reports.
pub(super) fn files(recipe: &WindowsIso, generation: u8, mark: &str) -> [(String, Vec<u8>); 2] {
    // Windows' own tools write the ends of lines so.
    let text = |text: &str| text.replace('\n', "\r\n").into_bytes();
    [
        ("Autounattend.xml".to_owned(), text(&answers(recipe, generation, mark))),
        ("install.ps1".to_owned(), text(WINDOWS_INSTALL)),
    ]
}

/// The content of `Autounattend.xml`.
fn answers(recipe: &WindowsIso, generation: u8, mark: &str) -> String {
    let partitions = if generation == 1 { MBR } else { GPT };
    let mut checks = ALWAYS.to_vec();
    if !recipe.tpm {
        checks.extend(WITHOUT_TPM);
    }
    if !recipe.secure_boot {
        checks.extend(WITHOUT_SECURE_BOOT);
    }
    let checks = checks.into_iter().map(|check| {
        format!(r"reg.exe add HKLM\SYSTEM\Setup\LabConfig /v {check} /t REG_DWORD /d 1 /f")
    });
    let begun = reports(mark, "step 1 Windows Setup has begun");
    let specialized = reports(mark, "step 2 Windows starts for the first time");
    let install = format!(
        "cmd.exe /c for %i in ({LETTERS}) do @if exist %i:\\install.ps1 powershell.exe -NoProfile \
         -ExecutionPolicy Bypass -File %i:\\install.ps1 {mark} & exit 0"
    );
    let values = [
        ("language", escaped(&recipe.language)),
        ("drivers", recipe.drivers.as_ref().map(|_| drivers()).unwrap_or_default()),
        ("commands", commands(begun.into_iter().chain(checks))),
        ("partitions", layout(partitions)),
        ("partition", partitions.len().to_string()),
        ("index", recipe.index.to_string()),
        ("key", recipe.product_key.as_ref().map(|key| product_key(&key.0)).unwrap_or_default()),
        ("specialize", commands(specialized)),
        ("audit", commands([install])),
    ];
    let mut text = WINDOWS_ANSWERS.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), &value);
    }
    text
}

/// Commands that write a line to each port. The empty line before it ends what stands there. Setup
/// ends when a command fails, so they never do.
fn reports(mark: &str, text: &str) -> Vec<String> {
    let line =
        |port| format!(r"cmd.exe /c (echo. & echo goldsmith {mark} {text})>\\.\{port} & exit 0");
    PORTS.iter().map(line).collect()
}

fn commands(lines: impl IntoIterator<Item = String>) -> String {
    let mut xml = String::new();
    for (index, line) in lines.into_iter().enumerate() {
        let _ = write!(
            xml,
            "        <RunSynchronousCommand wcm:action=\"add\">\n          <Order>{}</Order>\n          \
             <Path>{}</Path>\n        </RunSynchronousCommand>\n",
            index + 1,
            escaped(&line)
        );
    }
    xml
}

fn layout(partitions: &[Partition]) -> String {
    let (mut made, mut changed) = (String::new(), String::new());
    for (index, partition) in partitions.iter().enumerate() {
        let order = index + 1;
        let size = match partition.mib {
            Some(mib) => format!("<Size>{mib}</Size>"),
            None => "<Extend>true</Extend>".to_owned(),
        };
        let _ = writeln!(
            made,
            "            <CreatePartition wcm:action=\"add\"><Order>{order}</Order><Type>{}</Type>{size}\
             </CreatePartition>",
            partition.kind
        );
        let format = partition.format.map(|name| format!("<Format>{name}</Format>"));
        let active = if partition.is_active { "<Active>true</Active>" } else { "" };
        let _ = writeln!(
            changed,
            "            <ModifyPartition wcm:action=\"add\"><Order>{order}</Order>\
             <PartitionID>{order}</PartitionID>{}{active}</ModifyPartition>",
            format.unwrap_or_default()
        );
    }
    format!(
        "          <CreatePartitions>\n{made}          </CreatePartitions>\n          \
         <ModifyPartitions>\n{changed}          </ModifyPartitions>\n"
    )
}

fn drivers() -> String {
    let mut paths = String::new();
    for (index, letter) in LETTERS.split(' ').enumerate() {
        let _ = writeln!(
            paths,
            "        <PathAndCredentials wcm:action=\"add\" wcm:keyValue=\"{}\">\
             <Path>{letter}:\\</Path></PathAndCredentials>",
            index + 1
        );
    }
    format!(
        "    <component name=\"Microsoft-Windows-PnpCustomizationsWinPE\" \
         processorArchitecture=\"amd64\" publicKeyToken=\"31bf3856ad364e35\" language=\"neutral\" \
         versionScope=\"nonSxS\">\n      <DriverPaths>\n{paths}      </DriverPaths>\n    \
         </component>\n"
    )
}

fn product_key(key: &str) -> String {
    format!(
        "        <ProductKey>\n          <Key>{}</Key>\n          <WillShowUI>Never</WillShowUI>\n        \
         </ProductKey>\n",
        escaped(key)
    )
}

/// As the text of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
