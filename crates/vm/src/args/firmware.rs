//! The firmware's part of the arguments, and the TPM's.

use std::path::Path;

use super::{Args, drive, node, read_only};
use crate::{Firmware, Host, MachineSpec, tpm};

/// Options of `-machine`.
///
/// Secure Boot relies on System Management Mode: only code in that mode may write to the variables.
pub(super) fn machine(spec: &MachineSpec) -> String {
    match spec.firmware {
        Firmware::Uefi { secure_boot, .. } => {
            let smm = if secure_boot { ",smm=on" } else { "" };
            format!("{smm},pflash0=code,pflash1={}", node("vars", 0))
        }
        Firmware::Bios => String::new(),
    }
}

pub(super) fn drives(args: &mut Args, host: &Host, spec: &MachineSpec) {
    let Firmware::Uefi { vars, secure_boot } = &spec.firmware else { return };
    let code = host.firmware(*secure_boot).map_or(Path::new(""), |uefi| &uefi.code);
    args.blockdev(&read_only("code", code));
    args.blockdev(&drive(&node("vars", 0), vars, false));
    if *secure_boot {
        args.put("-global", "driver=cfi.pflash01,property=secure,value=on");
        // Waking from S3 would run code from memory that the guest can write to.
        args.put("-global", "ICH9-LPC.disable_s3=1");
    }
}

/// The state of the emulator travels in a saved RAM.
pub(super) fn tpm(args: &mut Args, spec: &MachineSpec) {
    if spec.tpm.is_some() {
        args.put("-chardev", format!("socket,id=tpm0,path={}", tpm::SOCKET));
        args.put("-tpmdev", "emulator,id=tpm0,chardev=tpm0");
        args.put("-device", "tpm-crb,tpmdev=tpm0");
    }
}
