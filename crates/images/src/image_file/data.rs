//! The data disks of an image: whole disks beside the one that boots, in the order of their LUNs.
//!
//! ```text
//! disk.qcow2  data0.qcow2  data1.qcow2     beside each other wherever goldsmith keeps an image
//! web.vhd  web_dataDisk_0.vhd              where a user or a distributor named the first
//! ```

use std::path::{Path, PathBuf};

use vm::Host;

use super::{
    Image,
    artifact::{self, Artifact, DataDisk, Form, Standalone},
};
use crate::{error::Result, format::Format, run_context::RunContext};

/// The name of a data disk beside `disk.qcow2`.
pub fn file_name(lun: usize) -> String {
    format!("data{lun}.qcow2")
}

/// The name of a data disk beside an image file with any name: `web.vhd`, `web_dataDisk_0.vhd`.
pub fn beside(image: &Path, lun: usize) -> PathBuf {
    let mut name = image.file_stem().unwrap_or_default().to_owned();
    name.push(format!("_dataDisk_{lun}"));
    if let Some(extension) = image.extension() {
        name.push(".");
        name.push(extension);
    }
    image.with_file_name(name)
}

impl Standalone {
    /// Makes the data disks standalone too, side by side: sealed qcow2s with their chains, by LUN.
    ///
    /// # Errors
    /// `ExportFailed`, `DiskFull`, `Canceled`.
    pub async fn with_data(
        mut self,
        cx: &RunContext,
        host: &Host,
        disks: &[PathBuf],
    ) -> Result<Self> {
        for (lun, disk) in disks.iter().enumerate() {
            let from = Image { path: disk.clone(), format: Format::Qcow2 };
            let made =
                artifact::get_or_make(cx, host, &from, &self.key, Form::Standalone, Some(lun));
            let Artifact { path, digest, virtual_size, .. } = made.await?;
            let sha256 = digest.hex().to_owned();
            self.data.push(DataDisk { disk: path, sha256, virtual_size });
        }
        Ok(self)
    }

    /// A data disk in another form, from the cache or converted now.
    ///
    /// # Errors
    /// `ExportFailed`, `HostNotReady`, `DiskFull`, `Canceled`.
    pub async fn data_as(
        &self,
        cx: &RunContext,
        host: &Host,
        lun: usize,
        form: Form,
    ) -> Result<Artifact> {
        let from = Image { path: self.data[lun].disk.clone(), format: Format::Qcow2 };
        artifact::get_or_make(cx, host, &from, &self.key, form, Some(lun)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_disk_is_named_after_the_image() {
        let of = |path: &str| beside(Path::new(path), 2).display().to_string();
        assert_eq!(of("/a.b/web.vhd"), "/a.b/web_dataDisk_2.vhd");
        assert_eq!(of("/a.b/web"), "/a.b/web_dataDisk_2");
        assert_eq!(of("/a/web.1.0.qcow2"), "/a/web.1.0_dataDisk_2.qcow2");
    }
}
