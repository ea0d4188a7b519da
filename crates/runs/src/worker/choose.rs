//! Which of the queued runs begin now. A pure function.

use std::collections::HashMap;

use engine::vm_size;
use jiff::Timestamp;

/// The total capacity for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Processors.
    pub vcpus: i64,
    /// Memory, in MiB.
    pub memory_mib: i64,
}

impl Capacity {
    /// All processors of the host, and its memory without what the host needs itself.
    pub fn of(host: &engine::Host) -> Self {
        let memory = host.memory_mib.saturating_sub(vm_size::RESERVED_MIB);
        Self { vcpus: i64::from(host.cpus), memory_mib: i64::try_from(memory).unwrap_or(i64::MAX) }
    }
}

/// A run, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weight<'a> {
    pub subscription: &'a str,
    pub queued: Timestamp,
    pub vcpus: i64,
    pub memory_mib: i64,
}

/// Indices of the waiting runs to begin now, in order. Subscriptions take turns, the one with the
/// fewest active runs first; within one, and between equals, the oldest first. The next in turn is never
/// passed over for a smaller one, so that a large run gets its turn; and one that is larger than
/// the host begins once it is alone.
pub(crate) fn choose(
    waiting: &[Weight<'_>],
    active: &[Weight<'_>],
    capacity: Capacity,
) -> Vec<usize> {
    let (mut vcpus, mut memory) = (0_i64, 0_i64);
    let mut share: HashMap<&str, usize> = HashMap::new();
    for run in active {
        vcpus = vcpus.saturating_add(run.vcpus);
        memory = memory.saturating_add(run.memory_mib);
        *share.entry(run.subscription).or_default() += 1;
    }
    let mut left: Vec<usize> = (0..waiting.len()).collect();
    let mut chosen = Vec::new();
    loop {
        let turn = |index: &usize| {
            let run = &waiting[*index];
            (share.get(run.subscription).copied().unwrap_or(0), run.queued, *index)
        };
        let Some(next) = left.iter().copied().min_by_key(turn) else { return chosen };
        let run = &waiting[next];
        let alone = active.is_empty() && chosen.is_empty();
        let fits = vcpus.saturating_add(run.vcpus) <= capacity.vcpus
            && memory.saturating_add(run.memory_mib) <= capacity.memory_mib;
        if !fits && !alone {
            return chosen;
        }
        vcpus = vcpus.saturating_add(run.vcpus);
        memory = memory.saturating_add(run.memory_mib);
        *share.entry(run.subscription).or_default() += 1;
        left.retain(|index| *index != next);
        chosen.push(next);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const HOST: Capacity = Capacity { vcpus: 4, memory_mib: 8192 };

    fn run(subscription: &str, second: i64, vcpus: i64) -> Weight<'_> {
        let queued = Timestamp::from_second(second).unwrap();
        Weight { subscription, queued, vcpus, memory_mib: vcpus * 1024 }
    }

    #[test]
    fn oldest_runs_begin_first_until_the_host_is_full() {
        let waiting = [run("a", 3, 2), run("a", 1, 2), run("a", 2, 2)];
        assert_eq!(choose(&waiting, &[], HOST), [1, 2]);
        assert_eq!(choose(&waiting, &[run("a", 0, 3)], HOST), Vec::<usize>::new());
    }

    #[test]
    fn memory_is_a_limit_too() {
        let big = Weight { memory_mib: 8000, ..run("a", 1, 1) };
        let waiting = [big, run("a", 2, 1)];
        assert_eq!(choose(&waiting, &[], HOST), [0]);
    }

    #[test]
    fn subscriptions_take_turns() {
        let waiting = [run("a", 1, 1), run("a", 2, 1), run("a", 3, 1), run("b", 9, 1)];
        assert_eq!(choose(&waiting, &[], HOST), [0, 3, 1, 2]);
        assert_eq!(choose(&waiting, &[run("a", 0, 3)], HOST), [3]);
    }

    #[test]
    fn run_larger_than_the_host_begins_alone() {
        let waiting = [run("a", 1, 16), run("a", 2, 1)];
        assert_eq!(choose(&waiting, &[], HOST), [0]);
        assert_eq!(choose(&waiting, &[run("b", 0, 1)], HOST), Vec::<usize>::new());
    }

    #[test]
    fn large_run_is_not_passed_over() {
        let waiting = [run("a", 1, 4), run("b", 2, 1)];
        assert_eq!(choose(&waiting, &[run("c", 0, 1)], HOST), Vec::<usize>::new());
    }
}
