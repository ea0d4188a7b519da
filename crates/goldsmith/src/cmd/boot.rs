//! `goldsmith image boot`: boots a temporary machine from an image, until Ctrl-C.

use std::path::Path;

use api::ErrorCode;
use engine::test_boot::{self, TestBoot};
use images::{error::Error, format::Format, layout::Layout, store::Store};
use serde_json::json;

use super::{Result, Session};
use crate::cli;

pub(super) async fn run(args: cli::Boot, session: Session<'_>) -> Result {
    let (cx, output) = (session.cx(), session.output);
    let (host, backend) = session.qemu().await?;
    let test_boot = test_boot(&args, session.layout, &host).await?;
    test_boot::run(&cx, &host, &backend, &test_boot, |ports, serial| {
        let published: Vec<_> =
            ports.iter().map(|(host, guest)| json!({ "host": host, "guest": guest })).collect();
        let value = json!({ "image": test_boot.disk, "published": published, "serial": serial });
        output.result("booting", &value, || {
            let mut text = format!("booting {}; Ctrl-C ends it\n", test_boot.disk.display());
            for (host, guest) in ports {
                text.push_str(&format!("127.0.0.1:{host} forwards to port {guest} of the guest\n"));
            }
            text + &format!("serial console: {}", serial.display())
        });
    })
    .await?;
    output.text("the machine has ended");
    Ok(0)
}

async fn test_boot(args: &cli::Boot, layout: &Layout, host: &vm::Host) -> Result<TestBoot> {
    let (vcpus, memory_mib, publish) = (args.cpus, args.memory, args.publish.clone());
    let file = Path::new(&args.image);
    if !file.is_file() {
        let stored = Store::open(layout).get(&args.image).map_err(|e| not_found(e, &args.image))?;
        return Ok(TestBoot {
            os: stored.record.origin.os(),
            disk: stored.disk(),
            format: "qcow2".to_owned(),
            virtual_size: stored.record.virtual_size,
            data: stored.data().into_iter().map(|disk| (disk.disk, disk.virtual_size)).collect(),
            uefi: stored.record.origin.generation != "V1",
            vcpus,
            memory_mib,
            publish,
        });
    }
    let header = sources::check_importable(host, file).await?;
    Ok(TestBoot {
        os: args.os.into(),
        disk: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
        format: Format::from_name(&header.format).map_or("raw", Format::driver).to_owned(),
        virtual_size: header.virtual_size,
        data: Vec::new(),
        uefi: args.generation == 2,
        vcpus,
        memory_mib,
        publish,
    })
}

fn not_found(mut error: Error, image: &str) -> Error {
    if error.code == ErrorCode::NotFound {
        error.message = format!("no file or image {image:?} exists");
    }
    error
}
