//! Limits connections. At the limit, a new connection replaces the unauthenticated one that sent no complete request for
//! the longest time.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// The open connections and their limits. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    all: usize,
    each: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    /// Counts events, to order them.
    now: u64,
    of: HashMap<IpAddr, usize>,
    by_peer: HashMap<SocketAddr, Connection>,
}

#[derive(Debug)]
struct Connection {
    came: u64,
    /// The time of its last complete request, or of its arrival.
    asked: u64,
    is_trusted: bool,
    /// Closes the connection when dropped.
    _close: oneshot::Sender<()>,
}

/// An accepted connection, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    connections: Connections,
    peer: SocketAddr,
    came: u64,
}

impl Connections {
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self { all, each, open: Arc::default() }
    }

    /// Accepts a connection, unless all others are authenticated. The receiver ends when the connection must make
    /// room for another.
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<(Admitted, oneshot::Receiver<()>)> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let address = block(peer.ip());
        if open.of.get(&address).copied().unwrap_or_default() >= self.each {
            open.make_room(Some(address))?;
        } else if open.by_peer.len() >= self.all {
            open.make_room(None)?;
        }
        open.now += 1;
        let (close, closed) = oneshot::channel();
        let came = open.now;
        let connection = Connection { came, asked: came, is_trusted: false, _close: close };
        open.remove(peer);
        open.by_peer.insert(peer, connection);
        *open.of.entry(address).or_default() += 1;
        Some((Admitted { connections: self.clone(), peer, came }, closed))
    }

    /// Records a complete request.
    pub(crate) fn asked(&self, peer: SocketAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.now += 1;
        let now = open.now;
        if let Some(connection) = open.by_peer.get_mut(&peer) {
            connection.asked = now;
        }
    }

    /// Marks it as authenticated.
    pub(super) fn trust(&self, peer: SocketAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = open.by_peer.get_mut(&peer) {
            connection.is_trusted = true;
        }
    }

    /// The number of open connections.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_peer.len()
    }
}

impl Open {
    /// Closes an unauthenticated connection, of one address if given.
    fn make_room(&mut self, address: Option<IpAddr>) -> Option<()> {
        let of_address =
            |peer: &SocketAddr| address.is_none_or(|address| block(peer.ip()) == address);
        let strangers = self.by_peer.iter().filter(|(peer, c)| !c.is_trusted && of_address(peer));
        let peer = *strangers.min_by_key(|(_, connection)| connection.asked)?.0;
        self.remove(peer);
        Some(())
    }

    fn remove(&mut self, peer: SocketAddr) {
        if self.by_peer.remove(&peer).is_none() {
            return;
        }
        let address = block(peer.ip());
        if let Some(own) = self.of.get_mut(&address) {
            *own -= 1;
            if *own == 0 {
                self.of.remove(&address);
            }
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A later connection may already use the same port.
        let is_own = |connection: &Connection| connection.came == self.came;
        if open.by_peer.get(&self.peer).is_some_and(is_own) {
            open.remove(self.peer);
        }
    }
}

/// The unit of limits for each address: in IPv6, a /64 network.
pub(super) fn block(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, port: u16) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), port)
    }

    #[test]
    fn longest_idle_unauthenticated_connection_makes_room() {
        let connections = Connections::new(3, 9);
        let [mut one, mut two, mut three, _four] = [1, 2, 3, 4].map(|port| {
            if port == 4 {
                connections.asked(peer("192.0.2.1", 1));
            }
            connections.admit(peer("192.0.2.1", port)).unwrap()
        });
        assert!(two.1.try_recv() == Err(oneshot::error::TryRecvError::Closed));
        assert!(one.1.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        assert!(three.1.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        for port in [1, 3, 4] {
            connections.trust(peer("192.0.2.1", port));
        }
        assert!(connections.admit(peer("192.0.2.9", 1)).is_none());
        drop(one);
        assert!(connections.admit(peer("192.0.2.9", 1)).is_some());
    }

    #[test]
    fn address_at_its_limit_replaces_its_own_connections() {
        let connections = Connections::new(9, 2);
        let other = connections.admit(peer("192.0.2.2", 1)).unwrap();
        let mut own: Vec<_> =
            [1, 2, 3].map(|p| connections.admit(peer("2001:db8::1", p)).unwrap()).into();
        let mut other = other.1;
        assert!(other.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        assert!(own[0].1.try_recv() == Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(connections.count(), 3);
        // Dropping a closed connection does not change the count again.
        own.remove(0);
        assert_eq!(connections.count(), 3);
    }

    #[test]
    fn ipv6_network_counts_as_one_address() {
        let of = |text: &str| block(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
    }
}
