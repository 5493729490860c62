//! How many sockets one client address may have: so that one machine that opens thousands, or opens them and says
//! nothing, takes no place from the others.

use crate::hub::lock;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

/// What one address may have at a time. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressLimits {
    /// Sockets.
    pub sockets_max: Option<u32>,
    /// Sockets that have not said who they are: page loads, and WebSockets before `hello`.
    pub strangers_max: Option<u32>,
}

/// Who has how many.
pub struct Addresses {
    limits: AddressLimits,
    counts: Mutex<HashMap<IpAddr, Counts>>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    sockets: u32,
    strangers: u32,
}

/// A socket's place among those of its address, free again when dropped.
pub struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
    is_stranger: Mutex<bool>,
}

impl Addresses {
    /// Nobody has any.
    pub fn new(limits: AddressLimits) -> Arc<Addresses> {
        Arc::new(Addresses { limits, counts: Mutex::default() })
    }

    /// A place for a socket from this address. `None`: it has all that it may have.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = whole_client(address);
        let mut all = lock(&self.counts);
        let counts = all.get(&address).copied().unwrap_or_default();
        let is_full = |count: u32, max: Option<u32>| max.is_some_and(|max| count >= max);
        if is_full(counts.sockets, self.limits.sockets_max) || is_full(counts.strangers, self.limits.strangers_max) {
            return None;
        }
        all.insert(address, Counts { sockets: counts.sockets + 1, strangers: counts.strangers + 1 });
        Some(Place { addresses: self.clone(), address, is_stranger: Mutex::new(true) })
    }

    fn less(&self, address: IpAddr, less: Counts) {
        let mut all = lock(&self.counts);
        if let Some(counts) = all.get_mut(&address) {
            counts.sockets -= less.sockets;
            counts.strangers -= less.strangers;
            if counts.sockets == 0 {
                all.remove(&address);
            }
        }
    }
}

impl Place {
    /// It has said who it is.
    pub fn greeted(&self) {
        if std::mem::take(&mut *lock(&self.is_stranger)) {
            self.addresses.less(self.address, Counts { sockets: 0, strangers: 1 });
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.greeted();
        self.addresses.less(self.address, Counts { sockets: 1, strangers: 0 });
    }
}

/// What one client is given as a whole: an IPv4 address, or the first 64 bits of an IPv6 one.
fn whole_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_places_and_others_have_theirs() {
        let addresses = Addresses::new(AddressLimits { sockets_max: Some(2), strangers_max: None });
        let first = addresses.admit(ip("192.0.2.1")).unwrap();
        let _second = addresses.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert!(addresses.admit(ip("192.0.2.1")).is_none());
        assert!(addresses.admit(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(addresses.admit(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn strangers_are_fewer_than_those_who_have_said_hello() {
        let addresses = Addresses::new(AddressLimits { sockets_max: Some(3), strangers_max: Some(1) });
        let first = addresses.admit(ip("192.0.2.1")).unwrap();
        assert!(addresses.admit(ip("192.0.2.1")).is_none());
        first.greeted();
        first.greeted();
        let second = addresses.admit(ip("192.0.2.1")).unwrap();
        second.greeted();
        assert!(addresses.admit(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn an_ipv6_client_has_its_64_bits_and_nothing_is_kept_of_who_has_gone() {
        let addresses = Addresses::new(AddressLimits { sockets_max: Some(1), strangers_max: None });
        let place = addresses.admit(ip("2001:db8::1")).unwrap();
        assert!(addresses.admit(ip("2001:db8::2:3")).is_none());
        assert!(addresses.admit(ip("2001:db8:0:1::1")).is_some());
        drop(place);
        assert!(lock(&addresses.counts).is_empty());
    }
}
