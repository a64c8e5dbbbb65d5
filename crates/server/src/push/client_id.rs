//! Names for connections. In: a connection. Out: an id that no other has, the same each time.
//!
//! It is made anew from the process's seed and the connection's slot and generation, so that an idle
//! connection keeps nothing.
//!
//! Never: a secret: whoever knows two ids may guess a third.

use std::sync::Arc;

use fanfare_hub::{ClientId, ClientInfo, UserId};
use mio::Token;

use crate::slab::ConnId;

/// The ids of one worker's connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientIds {
    seed: u64,
    worker: u64,
}

impl ClientIds {
    /// `seed` is the process's, drawn at random.
    pub(crate) const fn new(seed: u64, worker: u64) -> Self {
        Self { seed, worker }
    }

    /// 32 hexadecimal digits: a bijection of worker, slot and generation, over the seed.
    pub(crate) fn id(self, conn: ConnId) -> ClientId {
        let conn = mix(self.seed ^ Token::from(conn).0 as u64);
        let worker = mix(conn ^ mix(self.seed.wrapping_add(self.worker)));
        ClientId::from(format!("{worker:016x}{conn:016x}").as_str())
    }

    /// What others learn of an anonymous client.
    pub(crate) fn info(self, conn: ConnId) -> Arc<ClientInfo> {
        Arc::new(ClientInfo {
            user: UserId::from(""),
            client: self.id(conn),
            connection_info: None,
            channel_info: None,
        })
    }
}

/// SplitMix64's finaliser (Steele et al. 2014), a bijection.
const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_is_one_connections_and_stays_so() {
        let mut seen = HashSet::new();
        for worker in 0..4 {
            let ids = ClientIds::new(7, worker);
            for bits in (0..64).chain((1 << 32)..(1 << 32) + 64) {
                let conn = ConnId::from(Token(bits));
                assert_eq!(ids.id(conn), ids.id(conn));
                assert!(seen.insert(ids.id(conn)), "worker {worker}, {bits}");
            }
        }
    }
}
