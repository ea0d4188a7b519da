//! Who is connected. Where there is no room for one more, the connection goes that has asked nothing for the
//! longest time and never showed a valid token: half requests give way to whole ones.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// All connections, and how many there may be. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    all: usize,
    each: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    /// Counts what happens, to know what was before what.
    now: u64,
    of: HashMap<IpAddr, usize>,
    by_peer: HashMap<SocketAddr, Connection>,
}

#[derive(Debug)]
struct Connection {
    came: u64,
    /// When it last asked something, or else when it came.
    asked: u64,
    is_trusted: bool,
    /// Closes it when it is dropped.
    _close: oneshot::Sender<()>,
}

/// A connection that was let in; it is no longer counted when this is dropped.
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

    /// Lets a connection in, or nobody if all who are there have shown a token. The receiver ends when it has to
    /// make room for another.
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

    /// A whole request has come.
    pub(crate) fn asked(&self, peer: SocketAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.now += 1;
        let now = open.now;
        if let Some(connection) = open.by_peer.get_mut(&peer) {
            connection.asked = now;
        }
    }

    /// It has shown a valid token or secret.
    pub(super) fn trust(&self, peer: SocketAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = open.by_peer.get_mut(&peer) {
            connection.is_trusted = true;
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_peer.len()
    }
}

impl Open {
    /// Closes one, of that address if it is given.
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
        // A later connection may have the same port already.
        let is_own = |connection: &Connection| connection.came == self.came;
        if open.by_peer.get(&self.peer).is_some_and(is_own) {
            open.remove(self.peer);
        }
    }
}

/// What counts as one address: in IPv6 everyone has a /64.
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
    fn who_has_asked_nothing_for_longest_makes_room_and_who_has_a_token_never_does() {
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
    fn an_address_that_has_its_share_makes_room_among_its_own() {
        let connections = Connections::new(9, 2);
        let other = connections.admit(peer("192.0.2.2", 1)).unwrap();
        let mut own: Vec<_> =
            [1, 2, 3].map(|p| connections.admit(peer("2001:db8::1", p)).unwrap()).into();
        let mut other = other.1;
        assert!(other.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        assert!(own[0].1.try_recv() == Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(connections.count(), 3);
        // What was closed is not taken away a second time.
        own.remove(0);
        assert_eq!(connections.count(), 3);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let of = |text: &str| block(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
    }
}
