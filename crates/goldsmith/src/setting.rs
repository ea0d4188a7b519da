//! The folders and the host, from flags and environment.

use api::ErrorCode;
use etcetera::BaseStrategy;
use images::{error::Error, layout::Layout};
use vm::{CpuChoice, Host};

use crate::cli::{Accel, Cpu, Global};

pub(crate) fn layout(global: &Global) -> Result<Layout, Error> {
    let base = etcetera::choose_base_strategy();
    let folder =
        |given: &Option<std::path::PathBuf>, flag: &str, default: Option<std::path::PathBuf>| {
            given.clone().or_else(|| Some(default?.join("goldsmith"))).ok_or_else(|| {
                Error::new(ErrorCode::HostNotReady, "this user has no home folder")
                    .hint(format!("say where to keep things: {flag} DIR"))
            })
        };
    let base = base.as_ref().ok();
    let cache = folder(&global.cache_dir, "--cache-dir", base.map(BaseStrategy::cache_dir))?;
    let data = folder(&global.data_dir, "--data-dir", base.map(BaseStrategy::data_dir))?;
    let absolute = |path: std::path::PathBuf| {
        std::path::absolute(&path).map_err(|e| {
            Error::new(ErrorCode::InvalidArgument, format!("bad folder {}: {e}", path.display()))
        })
    };
    Ok(Layout::new(absolute(cache)?, absolute(data)?))
}

/// Probes this host with the requested acceleration and CPU.
pub(crate) async fn host(global: &Global) -> Result<Host, Error> {
    probe(global).await.map_err(|e| {
        Error::new(ErrorCode::HostNotReady, e.to_string())
            .hint("goldsmith doctor lists all problems and how to fix them")
    })
}

/// The same, with QEMU's part of the error.
pub(crate) async fn probe(global: &Global) -> Result<Host, vm::host::Error> {
    let wanted = match global.accel {
        Accel::Auto => None,
        Accel::Kvm => Some(vm::Accel::Kvm),
        Accel::Tcg => Some(vm::Accel::Tcg { why: "requested with --accel tcg".to_owned() }),
    };
    let cpu = match global.cpu {
        Cpu::Named => CpuChoice::Named,
        Cpu::Host => CpuChoice::Host,
    };
    Host::probe(wanted).await.map(|host| vm::may_wait(|| host.with_cpu(cpu)))
}
