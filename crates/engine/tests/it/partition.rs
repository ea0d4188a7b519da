//! Builds that use parts of one cache: none begins with what another part has.

use engine::{
    build::{self, Chain, Freshness, Request},
    node::NodeStore,
};
use images::{digest::KeyBuilder, partition::Partition, run_context::RunContext};
use uuid::Uuid;

use crate::matrix::Bench;

const ONE: Partition = Partition::Own(Uuid::from_u128(1));
const OTHER: Partition = Partition::Own(Uuid::from_u128(2));

fn within(bench: &Bench, partition: &Partition) -> RunContext {
    RunContext { partition: partition.clone(), ..bench.cx() }
}

/// How many machines were started for the build, and how many of them from power-on.
async fn started(bench: &Bench, partition: &Partition) -> (usize, usize) {
    let before = bench.starts().len();
    let cx = within(bench, partition);
    let plan = bench.plan(&cx).await;
    let request = Request { exports: Vec::new(), ..bench.request() };
    build::build(&cx, &bench.host, &bench.fake, &plan, &request).await.unwrap();
    let new = bench.starts().split_off(before);
    (new.len(), new.iter().filter(|machine| machine.resume_from.is_none()).count())
}

async fn chain(bench: &Bench, partition: &Partition) -> Chain {
    let cx = within(bench, partition);
    let plan = bench.plan(&cx).await;
    let source = plan.source.present(&cx, &bench.host).await.unwrap().unwrap();
    let store = NodeStore::new(&bench.layout);
    Chain::compute(&plan, &source, &bench.host, &store, Freshness::default(), "run")
}

#[tokio::test]
async fn each_part_boots_cold_once() {
    let bench = Bench::new().await;
    assert_eq!(started(&bench, &ONE).await, (1, 1));
    assert_eq!(started(&bench, &OTHER).await, (1, 1), "another part has nothing for it");
    assert_eq!(started(&bench, &Partition::Whole).await, (1, 1));
    for partition in [&ONE, &OTHER, &Partition::Whole, &Partition::Shared] {
        assert_eq!(started(&bench, partition).await, (0, 0), "{partition:?}");
    }
}

#[tokio::test]
async fn only_keys_of_an_own_part_are_distinct() {
    let bench = Bench::new().await;
    let keys = |chain: &Chain| chain.links.iter().map(|link| link.key.clone()).collect::<Vec<_>>();
    let whole = chain(&bench, &Partition::Whole).await;
    assert_eq!(keys(&whole), keys(&chain(&bench, &Partition::Shared).await));
    let (one, other) = (chain(&bench, &ONE).await, chain(&bench, &OTHER).await);
    for (at, key) in keys(&whole).iter().enumerate() {
        assert!(*key != keys(&one)[at] && *key != keys(&other)[at]);
        assert_ne!(keys(&one)[at], keys(&other)[at]);
    }
    // The first boot alone has the name of the part.
    let named = |link: &engine::build::Link| link.inputs.contains_key("partition");
    assert_eq!(one.links.iter().filter(|link| named(link)).count(), 1);
    assert!(named(&one.links[0]));
}

/// What a first boot without a part depends on, field by field.
#[tokio::test]
async fn key_of_a_build_on_this_machine_has_no_part() {
    let bench = Bench::new().await;
    let chain = chain(&bench, &Partition::Whole).await;
    let (boot, shape) = (&chain.links[0], &chain.shape);
    let plan = bench.plan(&bench.cx()).await;
    let source = plan.source.present(&bench.cx(), &bench.host).await.unwrap().unwrap();
    let inputs: Vec<_> = boot.inputs.keys().map(String::as_str).collect();
    assert_eq!(inputs, ["credentials", "ready", "seed", "user"]);
    let mut key = KeyBuilder::new(&source.digest, "Boot")
        .field("executor", "1")
        .field("vcpus", &shape.vcpus.to_string())
        .field("memory", &shape.memory_mib.to_string())
        .field("disk", &shape.disk_bytes.to_string())
        .field("uefi", &shape.uefi.to_string())
        .field("cpu", &shape.cpu);
    for (name, value) in &boot.inputs {
        key = key.field(name, value);
    }
    assert_eq!(boot.base, key.finish());
}
