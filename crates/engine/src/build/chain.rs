//! The keys of a build: every node it needs, from the first boot to the generalized disk.

use std::{collections::BTreeMap, io};

use images::digest::{Key, KeyBuilder};
use sources::SourceImage;
use vm::Host;

use super::{Freshness, first_boot, plan::Plan};
use crate::node::{Node, NodeStore, Shape};

/// Version of how steps are executed. Raise it when the same template would now give another
/// result: all existing nodes become misses.
const EXECUTOR: &str = "1";

/// The effect of a link on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// First boot, guest reachable.
    Boot,
    /// The customizer with that index.
    Customize(usize),
    /// The user's workload.
    Workload,
    /// Our optimization of boot and disk.
    Optimize,
    /// Generalization and power-off.
    Generalize,
}

/// A node that the build needs.
#[derive(Debug, Clone)]
pub struct Link {
    pub role: Role,
    pub kind: String,
    pub title: String,
    pub inputs: BTreeMap<String, String>,
    /// The key of everything that produces the node.
    pub base: Key,
    /// The key to look up: `base`, or that of the fresh node that supersedes it.
    pub key: Key,
}

/// All links, in order.
#[derive(Debug, Clone)]
pub struct Chain {
    pub links: Vec<Link>,
    pub shape: Shape,
    pub freshness: Freshness,
}

impl Chain {
    /// Computes every key. Links that must not be reused for the sake of freshness get keys of
    /// their own, derived from `run_id`. If only the source is validated, the chain is its first
    /// boot.
    pub fn compute(
        plan: &Plan,
        source: &SourceImage,
        host: &Host,
        store: &NodeStore,
        freshness: Freshness,
        run_id: &str,
    ) -> Self {
        Self::on_port(plan, source, host, store, (freshness, run_id), 0)
    }

    /// The same on one of the ports of the plan's subnet, if it has one.
    pub(super) fn on_port(
        plan: &Plan,
        source: &SourceImage,
        host: &Host,
        store: &NodeStore,
        (freshness, run_id): (Freshness, &str),
        port: u32,
    ) -> Self {
        let shape = plan.shape(source, host);
        let mut chain = Self { links: Vec::new(), shape, freshness };
        let mut inputs =
            first_boot::inputs(&plan.seeding(source), &chain.shape, &source.first_contact);
        if let Some(subnet) = &plan.subnet {
            first_boot::port_inputs(&mut inputs, subnet, port);
        }
        // The keys of all links follow from that of the first.
        let partition = plan.partition.distinction();
        inputs.extend(partition.map(|name| ("partition".to_owned(), name)));
        chain.push(store, &source.digest, Role::Boot, "Boot", "first boot", inputs, None);
        if plan.validates_source_only() {
            return chain;
        }
        for step in &plan.steps {
            let parent = chain.last_key();
            let role = Role::Customize(step.index);
            let kind = step.action.kind();
            let inputs = plan.with_identities(step.action.inputs());
            let fresh = Some((freshness, run_id));
            chain.push(store, &parent, role, kind, &step.title, inputs, fresh);
        }
        if let Some(workload) = &plan.optimize.workload {
            let (parent, inputs) = (chain.last_key(), plan.with_identities(workload.inputs()));
            let fresh = Some((freshness, run_id));
            chain.push(store, &parent, Role::Workload, "Workload", "workload", inputs, fresh);
        }
        if plan.optimize.vm_boot {
            let (parent, inputs) =
                (chain.last_key(), guests::system(chain.shape.os).optimize_inputs());
            chain.push(store, &parent, Role::Optimize, "Optimize", "optimize", inputs, None);
        }
        let parent = chain.last_key();
        let inputs = guests::system(chain.shape.os).generalize_inputs();
        chain.push(store, &parent, Role::Generalize, "Generalize", "generalize", inputs, None);
        chain
    }

    #[expect(clippy::too_many_arguments, reason = "one private place that makes a link")]
    fn push(
        &mut self,
        store: &NodeStore,
        parent: &str,
        role: Role,
        kind: &str,
        title: &str,
        inputs: BTreeMap<String, String>,
        fresh: Option<(Freshness, &str)>,
    ) {
        let mut builder = KeyBuilder::new(parent, kind)
            .field("executor", EXECUTOR)
            .field("vcpus", &self.shape.vcpus.to_string())
            .field("memory", &self.shape.memory_mib.to_string())
            .field("disk", &self.shape.disk_bytes.to_string())
            .field("uefi", &self.shape.uefi.to_string())
            .field("cpu", &self.shape.cpu);
        for (name, is_set) in [
            ("windows", !self.shape.os.is_linux()),
            ("secure boot", self.shape.secure_boot),
            ("tpm", self.shape.tpm),
        ] {
            if is_set {
                builder = builder.field(name, "true");
            }
        }
        for (lun, disk) in self.shape.data.iter().enumerate() {
            let content = disk.source.as_deref().unwrap_or("blank");
            builder = builder.field(&format!("data{lun}"), &format!("{} {content}", disk.bytes));
        }
        for (name, value) in &inputs {
            builder = builder.field(name, value);
        }
        let base = builder.finish();
        let mut key = store.current(base.clone());
        if let Some((freshness, run_id)) = fresh
            && !freshness.allows(store.get(&key).ok().flatten().as_ref())
        {
            key = KeyBuilder::new(base.as_str(), "fresh").field("run", run_id).finish();
        }
        let (kind, title) = (kind.to_owned(), title.to_owned());
        self.links.push(Link { role, kind, title, inputs, base, key });
    }

    fn last_key(&self) -> String {
        self.links.last().map_or_else(String::new, |link| link.key.to_string())
    }

    /// The link before the optimization of boot and disk, and that of the optimization, if there is
    /// one.
    pub(super) fn around_optimize(&self) -> Option<(&Link, &Link)> {
        let index = self.links.iter().position(|link| link.role == Role::Optimize)?;
        Some((self.links.get(index.checked_sub(1)?)?, &self.links[index]))
    }

    /// The node at the end, if it exists.
    ///
    /// # Errors
    /// It cannot be read, so its existence is unknown.
    pub fn last(&self, store: &NodeStore) -> io::Result<Option<Node>> {
        self.links.last().map_or(Ok(None), |link| store.get(&link.key))
    }

    /// The index of the newest link whose node exists, and that node.
    ///
    /// # Errors
    /// One of the nodes cannot be read, so its existence is unknown.
    pub fn newest(&self, store: &NodeStore) -> io::Result<Option<(usize, Node)>> {
        for (index, link) in self.links.iter().enumerate().rev() {
            if let Some(node) = store.get(&link.key)? {
                return Ok(Some((index, node)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use images::layout::Layout;
    use vm::OsType;

    use super::*;

    /// Nodes that people have stay usable: a change of this key makes all of them misses.
    #[test]
    fn key_of_given_inputs_is_the_same_in_every_release() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        let shape = Shape {
            os: OsType::Linux,
            vcpus: 2,
            memory_mib: 4096,
            disk_bytes: 1 << 30,
            uefi: true,
            secure_boot: false,
            tpm: false,
            data: Vec::new(),
            cpu: "host".to_owned(),
        };
        let mut chain = Chain { links: Vec::new(), shape, freshness: Freshness::default() };
        let inputs = BTreeMap::from([("seed".to_owned(), "1".to_owned())]);
        let store = NodeStore::new(&layout);
        chain.push(&store, &"0".repeat(64), Role::Boot, "Boot", "first boot", inputs, None);
        let key = "c52ca79731f1f9bf88f74fe515938ff4698ad8bc21a4f16e32d4e7ee47ed2bfc";
        assert_eq!(chain.last_key(), key);
    }
}
