//! Limits failed logins of each address. Secrets of 256 bits cannot be guessed; this limits the cost of failures in work
//! and log lines.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::connections::block;

/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(60);
/// The maximum number of addresses. Beyond it, expired ones are removed, and then all.
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

    /// How long an address must wait before the next login, if at all.
    pub(crate) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failed.get(&block(address))?;
        let left = WINDOW.checked_sub(now.duration_since(failed.since))?;
        (failed.count >= self.allowed).then_some(left)
    }

    /// Counts a failed login.
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
    fn address_waits_a_minute_after_its_failures() {
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
    fn number_of_addresses_is_limited() {
        let logins = Logins::new(1);
        let now = Instant::now();
        for number in 0..u32::try_from(2 * REMEMBERED).unwrap() {
            logins.fail(std::net::Ipv4Addr::from_bits(number).into(), now);
        }
        assert!(logins.failed.lock().unwrap().len() <= REMEMBERED);
    }
}
