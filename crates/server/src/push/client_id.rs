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

    /// 32 hexadecimal digits: a check that only this worker makes, and slot and generation, scrambled.
    pub(crate) fn id(self, conn: ConnId) -> ClientId {
        let scrambled = mix(self.seed ^ Token::from(conn).0 as u64);
        let check = self.check(scrambled);
        ClientId::from(format!("{check:016x}{scrambled:016x}").as_str())
    }

    /// The connection with this id, if it is one of this worker's; it may have gone.
    pub(crate) fn conn(self, id: &ClientId) -> Option<ConnId> {
        let text = id.as_str();
        let is_id = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let (check, scrambled) = text.split_at_checked(16).filter(|_| is_id)?;
        let scrambled = u64::from_str_radix(scrambled, 16).ok()?;
        if u64::from_str_radix(check, 16) != Ok(self.check(scrambled)) {
            return None;
        }
        let token = usize::try_from(unmix(scrambled) ^ self.seed).ok()?;
        Some(ConnId::from(Token(token)))
    }

    const fn check(self, scrambled: u64) -> u64 {
        mix(scrambled ^ mix(self.seed.wrapping_add(self.worker)))
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

/// [`mix`] backwards: its constants' inverses modulo 2^64.
const fn unmix(mut z: u64) -> u64 {
    z = z ^ (z >> 31) ^ (z >> 62);
    z = z.wrapping_mul(0x3196_42B2_D24D_8EC3);
    z = z ^ (z >> 27) ^ (z >> 54);
    z = z.wrapping_mul(0x96DE_1B17_3F11_9089);
    z = z ^ (z >> 30) ^ (z >> 60);
    z.wrapping_sub(0x9E37_79B9_7F4A_7C15)
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
                assert_eq!(ids.conn(&ids.id(conn)), Some(conn));
                let another = ClientIds::new(7, worker + 1);
                assert_eq!(another.conn(&ids.id(conn)), None);
            }
        }
    }
    #[test]
    fn any_other_text_is_nobody() {
        let ids = ClientIds::new(7, 0);
        let id = ids.id(ConnId::from(Token(5)));
        let upper = id.as_str().to_uppercase();
        for other in ["", "x", &id.as_str()[1..], &"+".repeat(32), &"é".repeat(16)] {
            assert_eq!(ids.conn(&ClientId::from(other)), None, "{other}");
        }
        assert_eq!(ids.conn(&ClientId::from(upper.as_str())), ids.conn(&id));
    }
}
