//! Logins that failed, by address. Secrets have 256 bits and are not guessed; this is about the work and the
//! log that wrong ones cost.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::connections::block;

/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond it those whose time is over are forgotten, and then all.
const REMEMBERED: usize = 4096;

/// The budget.
#[derive(Debug)]
pub(crate) struct Logins {
    allowed: u32,
    failed: Mutex<HashMap<IpAddr, Failed>>,
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    count: u32,
    since: Instant,
}

impl Logins {
    pub(crate) fn new(allowed: u32) -> Self {
        Self { allowed, failed: Mutex::default() }
    }

    /// How long that address has to wait before it may try again, if it has to.
    pub(crate) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failed.get(&block(address))?;
        let left = WINDOW.checked_sub(now.duration_since(failed.since))?;
        (failed.count >= self.allowed).then_some(left)
    }

    /// Counts one.
    pub(crate) fn fail(&self, address: IpAddr, now: Instant) {
        let mut all = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |failed: &Failed| now.duration_since(failed.since) >= WINDOW;
        if all.len() >= REMEMBERED {
            all.retain(|_, failed| !is_over(failed));
        }
        if all.len() >= REMEMBERED {
            all.clear();
        }
        let failed = all.entry(block(address)).or_insert(Failed { count: 0, since: now });
        if is_over(failed) {
            *failed = Failed { count: 0, since: now };
        }
        failed.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_after_its_failures_until_the_minute_is_over() {
        let logins = Logins::new(2);
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        logins.fail(one, now);
        assert_eq!(logins.wait(one, now), None);
        logins.fail(one, now);
        let later = now + Duration::from_secs(20);
        assert_eq!(logins.wait(one, later), Some(Duration::from_secs(40)));
        assert_eq!(logins.wait(other, later), None);
        let over = now + WINDOW + Duration::from_secs(1);
        assert_eq!(logins.wait(one, over), None);
        logins.fail(one, over);
        assert_eq!(logins.wait(one, over), None);
    }

    #[test]
    fn no_number_of_addresses_makes_it_grow() {
        let logins = Logins::new(1);
        let now = Instant::now();
        for number in 0..u32::try_from(2 * REMEMBERED).unwrap() {
            logins.fail(std::net::Ipv4Addr::from_bits(number).into(), now);
        }
        assert!(logins.failed.lock().unwrap().len() <= REMEMBERED);
    }
}
