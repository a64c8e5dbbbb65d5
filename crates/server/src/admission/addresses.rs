//! How many connections each address has. In: addresses that come and go. Out: a share for each connection.
//!
//! Of IPv6 the first 64 bits count: whoever has one address has all of those (RFC 6177 §2).
//!
//! Never: forgets an address that has a connection, or keeps one that has none.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Debug)]
pub(super) struct Addresses {
    max: NonZeroU32,
    counts: Mutex<HashMap<IpAddr, u32>>,
}

/// One connection of an address, until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl Addresses {
    pub(super) fn new(max: NonZeroU32) -> Self {
        Self {
            max,
            counts: Mutex::default(),
        }
    }

    /// None: it has all that it may.
    pub(super) fn claim(self: &Arc<Self>, ip: IpAddr) -> Option<Share> {
        let network = network_of(ip);
        let mut counts = self.lock();
        let count = counts.entry(network).or_default();
        if *count >= self.max.get() {
            return None; // there is one at least, so the entry is no empty one
        }
        *count += 1;
        Some(Share {
            addresses: Arc::clone(self),
            network,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.counts
            .lock()
            .expect("nothing under this lock panics but for want of memory")
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock();
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_and_another_as_many() {
        let addresses = Arc::new(Addresses::new(NonZeroU32::new(2).unwrap()));
        let first = addresses.claim(ip("10.0.0.1")).unwrap();
        let _second = addresses.claim(ip("::ffff:10.0.0.1")).unwrap();
        assert!(addresses.claim(ip("10.0.0.1")).is_none());
        assert!(addresses.claim(ip("10.0.0.2")).is_some());
        drop(first);
        assert!(addresses.claim(ip("10.0.0.1")).is_some());
    }

    #[test]
    fn a_network_of_ipv6_is_one() {
        let addresses = Arc::new(Addresses::new(NonZeroU32::MIN));
        let _first = addresses.claim(ip("2001:db8:0:1::1")).unwrap();
        assert!(addresses.claim(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(addresses.claim(ip("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let addresses = Arc::new(Addresses::new(NonZeroU32::MIN));
        for n in 0..100 {
            drop(addresses.claim(ip(&format!("10.0.0.{n}"))).unwrap());
        }
        assert!(addresses.lock().is_empty());
    }
}
