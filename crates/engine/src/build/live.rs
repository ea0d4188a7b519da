//! The machine of a run: started from a source or a node, sealed after each step.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use futures_util::FutureExt;
use guests::{At, FirstBoot, Synced, System};
use images::{
    digest::Key,
    error::{Coded, Error, Result, io_fault, machine_error},
    event::Event,
    first_contact::FirstContact,
    lock::{Lock, UseLock},
};
use sources::SourceImage;
use tokio::task::JoinHandle;
use vm::{Access, Guest, Machine, RamFile, Seal, may_wait};

use super::{
    Run,
    chain::{Chain, Link},
    contact::{Came, Contact, Entered},
    data_disks, firmware, identities,
    overlay::overlay,
    plan::Plan,
    power::unless_gone,
    ram::{Ram, Tally, Unfinished},
    seeding::Seeding,
};
use crate::{
    customize::Place,
    metadata::Relay,
    node::{Node, NodeMeta, Parent, Shape},
};

/// A running machine and its known state.
pub(super) struct Live {
    pub machine: Box<dyn Machine>,
    pub guest: Box<dyn Guest>,
    pub access: Access,
    system: &'static dyn System,
    /// The folder of the unfinished node, which the machine writes to.
    work: PathBuf,
    parent: Parent,
    booted: Option<Key>,
    tally: Tally,
    /// Publishes the sealed nodes, in order.
    publishing: Option<JoinHandle<Result<()>>>,
    /// The metadata service in the guest, while the user's scripts run.
    relay: Option<Relay>,
    /// Protects the nodes below this machine from eviction.
    holds: Vec<UseLock>,
}

/// The start of a machine.
pub(super) enum From<'a> {
    Source(&'a SourceImage, Seeding),
    /// A node, with its protection from eviction.
    Node(Box<Node>, UseLock),
}

/// The parameters of a seal.
pub(super) struct SealAs<'a> {
    pub link: &'a Link,
    /// The duration of the step.
    pub seconds: f64,
    pub ram: Ram,
}

impl Live {
    /// Starts a machine and returns once its guest is ready for work.
    pub(super) async fn start(run: &Run<'_>, chain: &Chain, from: From<'_>) -> Result<Self> {
        let number = run.next_work_number();
        let work = run.store.work_dir(&run.id, number);
        may_wait(|| fs::create_dir_all(&work)).code(ErrorCode::InternalError, || at(&work))?;
        let is_larger =
            matches!(from, From::Source(source, _) if source.virtual_size < chain.shape.disk_bytes);
        let prepared = prepare(run, chain, from, &work).await?;
        let Prepared { access, seeding, below, booted, .. } = prepared;
        let spec = run.spec(&chain.shape, &run.run_dir, &work, prepared.resume_from);
        let contact = Contact {
            access: &access,
            seeding,
            seed: work.join("seed.img"),
            instance_id: &run.id,
            is_new: booted.is_none(),
            boot: Came::Booted,
            serial_log: &run.log_dir.join("serial.log"),
        };
        let disks = || disks(run, chain, &work, &below, booted.is_none()).boxed();
        let Entered { machine, guest, access, seeding, .. } =
            contact.establish(run, &chain.shape, spec, &disks).await?;
        let live = Self {
            machine,
            guest,
            access,
            system: guests::system(chain.shape.os),
            work,
            parent: prepared.parent,
            booted,
            tally: Tally::new(prepared.since_ram, prepared.ram_cost),
            publishing: None,
            relay: None,
            holds: prepared.hold.into_iter().collect(),
        };
        if let Some(image) = prepared.image {
            let path = live.work.join("access.json");
            may_wait(|| super::access::write(&path, &live.access, &image))?;
            live.prepare(run, &chain.shape, &seeding, is_larger).await?;
        }
        Ok(live)
    }

    /// Does what nothing else has done at the first boot.
    async fn prepare(
        &self,
        run: &Run<'_>,
        shape: &Shape,
        seeding: &Seeding,
        is_larger: bool,
    ) -> Result<()> {
        let is_seeded = *seeding != Seeding::Nothing;
        let first = FirstBoot { uefi: shape.uefi, is_larger, is_seeded };
        let exit = self.system.prepare(self.at(), first).await?;
        if !exit.success() {
            run.cx.events.warn(format!(
                "what the first boot leaves to goldsmith {exit}: the root file system may have the \
                 source's size"
            ));
        }
        Ok(())
    }

    /// Makes the metadata service available to scripts in the guest, if the template has one.
    pub(super) async fn serve_metadata(&mut self, run: &Run<'_>, plan: &Plan) -> Result<()> {
        if self.relay.is_none() {
            self.relay =
                identities::serve_metadata(run, plan, self.machine.as_ref(), &self.access).await?;
        }
        Ok(())
    }

    /// Removes the metadata service from the guest.
    pub(super) async fn end_metadata(&mut self, run: &Run<'_>) {
        if let Some(relay) = self.relay.take()
            && let Err(error) = relay.stop().await
        {
            run.cx.events.warn(error.to_string());
        }
    }

    /// Seals the state of the machine as a node, on which the machine continues, usually before the
    /// RAM is written. `making` is released once the node is published.
    pub(super) async fn seal(
        &mut self,
        run: &Run<'_>,
        chain: &Chain,
        seal: SealAs<'_>,
        making: Lock,
    ) -> Result<()> {
        let number = run.next_work_number();
        let next = run.store.work_dir(&run.id, number);
        may_wait(|| fs::create_dir_all(&next)).code(ErrorCode::InternalError, || at(&next))?;
        let key = &seal.link.key;
        let below = format!("../{key}");
        tokio::try_join!(self.sync(run), overlays(run, chain, &next, &below))?;
        let at_node = self.tally.add(seal.seconds);
        let ram = match self.tally.wants(seal.ram) {
            true => Some(may_wait(|| run.save_ram(&self.work, &chain.shape))),
            false => None,
        };
        let request = Seal {
            next_disk: next.join("disk.qcow2"),
            next_vars: chain.shape.uefi.then(|| next.join("vars.qcow2")),
            next_data: data_disks::files(&chain.shape, &next),
            tpm: firmware::sealed_tpm(&chain.shape, &self.work),
            ram: ram.transpose().code(ErrorCode::InternalError, || at(&run.run_dir))?,
        };
        let sealed = self.machine.seal(&request).await.map_err(machine_error)?;
        firmware::keep_tpm(&chain.shape, &self.work)?;
        run.cx.events.send(Event::Sealed {
            title: seal.link.title.clone(),
            key: key.to_string(),
            ram: sealed.ram.is_some(),
            seconds: sealed.seconds,
        });
        if let Some(save) = &sealed.ram {
            self.tally.begin(at_node, seal.ram, save.give_up());
        }
        let meta = self.meta(chain, seal.link, seal.seconds);
        self.booted = Some(meta.booted.clone());
        self.parent = Parent::Node(key.clone());
        let work = std::mem::replace(&mut self.work, next);
        let tally = self.tally.clone();
        let node = Unfinished { save: sealed.ram, at: at_node, tally, meta };
        self.publish(run, work, seal.link, node, making).await
    }

    async fn sync(&self, run: &Run<'_>) -> Result<()> {
        let _syncing = run.cx.events.wait("sync in the guest");
        match self.unless_gone(self.system().sync(self.at())).await? {
            Synced::Done => Ok(()),
            Synced::Stopping => {
                let ended = vm::Ended::GuestShutdown;
                let serial = self.machine.serial_tail(20);
                Err(machine_error(vm::Error::Gone { ended, serial }))
            }
            Synced::Failed(exit) => {
                let text = format!("sync in the guest {exit}");
                Err(Error::new(ErrorCode::GuestUnreachable, text))
            }
        }
    }

    /// The machine and its guest.
    pub(super) fn at(&self) -> At<'_> {
        At { machine: self.machine.as_ref(), guest: self.guest.as_ref(), access: &self.access }
    }

    /// The guest's system.
    pub(super) fn system(&self) -> &'static dyn System {
        self.system
    }

    /// What an action is applied to.
    pub(super) fn place(&self) -> Place<'_> {
        Place { at: self.at(), system: self.system }
    }

    /// Awaits work in the guest, unless the machine ends first. A guest that shuts down closes its
    /// connections first. So if the machine ends right after a broken connection, the error reports
    /// the end of the machine.
    pub(super) async fn unless_gone<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        unless_gone(self.machine.as_ref(), work).await
    }

    /// Seals the disk of the machine, which is off, as the last node. Nothing can run afterwards.
    pub(super) async fn seal_off(
        mut self,
        run: &Run<'_>,
        chain: &Chain,
        link: &Link,
        seconds: f64,
        making: Lock,
    ) -> Result<()> {
        let (at, tally) = (self.tally.add(seconds), self.tally.clone());
        let node = Unfinished { save: None, at, tally, meta: self.meta(chain, link, seconds) };
        let work = self.work.clone();
        self.publish(run, work, link, node, making).await?;
        self.settled(run).await
    }

    /// Waits until every sealed node is published. The publication runs in parallel with the next
    /// step.
    pub(super) async fn settled(&mut self, run: &Run<'_>) -> Result<()> {
        let _waiting = run.cx.events.wait("the publication of nodes");
        settled(self.publishing.take()).await
    }

    async fn publish(
        &mut self,
        run: &Run<'_>,
        work: PathBuf,
        link: &Link,
        node: Unfinished,
        making: Lock,
    ) -> Result<()> {
        let store = run.store.clone();
        let (base, key) = (link.base.clone(), link.key.clone());
        // Locked before the node is published, so that no process can evict it while we use it.
        self.holds.push(store.hold_new(&key).await.code(ErrorCode::InternalError, || at(&work))?);
        let activity = format!("publish {}", link.title);
        let publish = move |meta| {
            let done = store
                .publish(&work, meta)
                .and_then(|_| if base == key { Ok(()) } else { store.supersede(&base, &key) });
            drop(making);
            let doing = format!("publish node {}", key.short());
            done.map_err(|e| io_fault(e, ErrorCode::InternalError, doing))
        };
        // In order, since a node must not be published before its parent. The machine does not wait
        // for the publication.
        let (before, cx, host) = (self.publishing.take(), run.cx.clone(), run.host.clone());
        self.publishing = Some(tokio::spawn(async move {
            settled(before).await?;
            let meta = node.finish(&cx, &host).await;
            let _publishing = cx.events.work(activity);
            cx.confirm_ownership().await?;
            settled(Some(tokio::task::spawn_blocking(move || publish(meta)))).await
        }));
        Ok(())
    }

    /// The description of the node, without its RAM.
    fn meta(&self, chain: &Chain, link: &Link, seconds: f64) -> NodeMeta {
        NodeMeta {
            format: images::digest::FORMAT,
            key: link.key.clone(),
            parent: self.parent.clone(),
            kind: link.kind.clone(),
            title: link.title.clone(),
            inputs: link.inputs.clone(),
            shape: chain.shape.clone(),
            created: jiff::Timestamp::now(),
            seconds,
            // Filled in when the node is published, like the files.
            since_ram_seconds: 0.0,
            ram: None,
            files: BTreeMap::new(),
            booted: self.booted.clone().unwrap_or_else(|| link.key.clone()),
        }
    }
}

async fn settled(publishing: Option<JoinHandle<Result<()>>>) -> Result<()> {
    let Some(task) = publishing else { return Ok(()) };
    task.await
        .code(ErrorCode::InternalError, || "the task that publishes a node died".to_owned())?
}

/// A machine before its start.
struct Prepared {
    /// How a machine of the image is entered, if it boots for the first time.
    image: Option<FirstContact>,
    access: Access,
    seeding: Seeding,
    /// The folder below the overlays, relative to theirs.
    below: String,
    resume_from: Option<RamFile>,
    parent: Parent,
    booted: Option<Key>,
    since_ram: f64,
    ram_cost: f64,
    hold: Option<UseLock>,
}

async fn prepare(run: &Run<'_>, chain: &Chain, from: From<'_>, work: &Path) -> Result<Prepared> {
    let prepared = match from {
        From::Source(source, seeding) => Prepared {
            access: super::access::of_image(chain.shape.os, &source.first_contact)?,
            image: Some(source.first_contact.clone()),
            seeding,
            below: format!("../../sources/{}", source.digest),
            resume_from: None,
            parent: Parent::Source(source.digest.clone()),
            booted: None,
            since_ram: 0.0,
            ram_cost: 0.0,
            hold: None,
        },
        From::Node(node, hold) => {
            let booted = run.booted(&node.meta)?;
            Prepared {
                image: None,
                access: super::access::read(&booted.file("access.json"))?,
                seeding: Seeding::of_node(booted.file("seed.img")),
                below: format!("../{}", node.meta.key),
                resume_from: run.ram_of(&node).await?,
                ram_cost: booted.meta.ram.as_ref().map_or(0.0, |ram| ram.seconds),
                since_ram: node.meta.since_ram_seconds,
                booted: Some(node.meta.booted.clone()),
                parent: Parent::Node(node.meta.key),
                hold: Some(hold),
            }
        }
    };
    disks(run, chain, work, &prepared.below, prepared.booted.is_none()).await?;
    Ok(prepared)
}

/// Creates the disks of a machine that starts from a node, or from a source if `is_new`.
async fn disks(run: &Run<'_>, chain: &Chain, work: &Path, below: &str, is_new: bool) -> Result<()> {
    let shape = &chain.shape;
    let node = (!is_new).then(|| work.join(below));
    firmware::begin_tpm(shape, &run.run_dir, node.as_deref())?;
    if !is_new {
        return overlays(run, chain, work, below).await;
    }
    let below = Path::new(below);
    overlay(run.host, work, below, "disk.qcow2", shape.disk_bytes).await?;
    match (shape.uefi, shape.secure_boot) {
        (true, true) => firmware::new_vars(run, shape, work).await?,
        (true, false) => firmware::vars_upon(run, shape, work, below).await?,
        (false, _) => {}
    }
    data_disks::first(run, shape, work).await
}

/// Creates overlays in `work` on the files with the same names in the node `below` (relative to
/// `work`).
async fn overlays(run: &Run<'_>, chain: &Chain, work: &Path, below: &str) -> Result<()> {
    let (shape, below) = (&chain.shape, Path::new(below));
    overlay(run.host, work, below, "disk.qcow2", shape.disk_bytes).await?;
    if shape.uefi {
        firmware::vars_upon(run, shape, work, below).await?;
    }
    data_disks::upon(run, shape, work, below).await
}

/// An unreadable node does not count as absent: making it again would take hours, and it could not
/// be stored.
pub(super) fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorCode::HostNotReady, error.to_string()).hint(
        "mend what keeps goldsmith from reading its cache, or remove that folder, then build again",
    )
}

impl Run<'_> {
    /// The node with that key, if it exists.
    pub(super) fn node(&self, key: &Key) -> Result<Option<Node>> {
        self.store.get(key).map_err(unreadable)
    }

    /// The first boot at the root of a node's chain, which has the seed and the keys.
    pub(super) fn booted(&self, meta: &NodeMeta) -> Result<Node> {
        self.node(&meta.booted)?.ok_or_else(|| {
            Error::new(ErrorCode::InternalError, format!("node {} lost its first boot", meta.key))
                .hint("goldsmith cache prune --all, then build again")
        })
    }
}

fn at(path: &Path) -> String {
    format!("cannot write below {}", path.display())
}
