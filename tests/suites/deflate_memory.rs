//! What a bomb costs: the heap while it is inflated. One test a process: the allocator counts for all.
//!
//! Never: measures time.

use std::alloc::System;

use cap::Cap;
use fanfare_codec::deflate::{DeflateSettings, DeflateTerms, Deflaters, Inflaters, Outgoing};
use fanfare_codec::{
    CloseCode, Encoder, Limits, MaskKeys, MessageDecoder, MessageKind, ProtocolError, Role,
};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

struct Key;

impl MaskKeys for Key {
    fn next_key(&mut self) -> Option<[u8; 4]> {
        Some([1, 2, 3, 4])
    }
}

/// 10 MB of zeros, deflated; behind a message of `first` bytes, if there is one, which the decoder takes for what is
/// usual.
fn bomb(first: Option<u64>) -> Vec<u8> {
    let settings = DeflateSettings::default().with_level(9);
    let mut deflaters = Deflaters::new(settings, 0);
    let mut outgoing = Outgoing::new(DeflateTerms::DEFAULT.client);
    let mut encoder = Encoder::with_keys(Key);
    let mut bomb = Vec::new();
    for len in first.into_iter().chain([10_000_000]) {
        let zeros = vec![0; usize::try_from(len).expect("small")];
        let kind = MessageKind::Text;
        encoder
            .deflate(&mut bomb, kind, &zeros, &mut outgoing, &mut deflaters)
            .expect("open");
    }
    bomb
}

#[test]
fn ten_megabytes_of_zeros_end_at_the_limit_within_64_kib_of_it() {
    let limits = [8_000, 20_000, 65_536, 1 << 20, 5_000_000];
    let bombs: Vec<(u64, Vec<u8>)> = limits
        .into_iter()
        .flat_map(|limit| [(limit, bomb(None)), (limit, bomb(Some(limit / 2 + 1)))])
        .collect();
    assert!(bombs.iter().all(|(_, bomb)| bomb.len() < 15_000));
    // Before anything else is measured: the peak of the process is that of the zeros above. So room is
    // taken until the heap stands at its peak, and what is used then shows.
    let filler = vec![1_u8; HEAP.max_allocated() - HEAP.allocated()];
    for (limit, bomb) in bombs {
        for reads in [bomb.len(), 100] {
            let mut copies: Vec<Vec<u8>> = bomb.chunks(reads).map(<[u8]>::to_vec).collect();
            let before = HEAP.allocated();
            let refill = vec![1_u8; HEAP.max_allocated().saturating_sub(before)];
            let before = HEAP.allocated();
            let peak_before = HEAP.max_allocated();
            assert!(before >= peak_before, "whatever is used now is a new peak");

            let mut inflaters = Inflaters::new(1);
            let limits = Limits::default().with_max_message_bytes(limit);
            let mut messages = MessageDecoder::new(Role::Server, limits)
                .with_deflate(DeflateTerms::DEFAULT.client);
            let mut error = None;
            for copy in &mut copies {
                let mut input = &mut copy[..];
                while error.is_none() {
                    match messages.next_message_with(&mut input, &mut inflaters) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(refused) => error = Some(refused),
                    }
                }
            }
            let used = HEAP.max_allocated() - before;
            let error = error.expect("a bomb");
            assert_eq!(error, ProtocolError::MessageTooLong(limit + 1));
            assert_eq!(error.close_code(), CloseCode::MESSAGE_TOO_BIG);
            let most = usize::try_from(limit).expect("small") + (64 << 10);
            assert!(
                used > 40_000,
                "the inflater alone takes more than {used} bytes"
            );
            assert!(used < most, "limit {limit}, reads of {reads}: {used} bytes");
            drop(messages);
            drop(inflaters);
            assert_eq!(HEAP.allocated(), before, "all of it comes back");
            drop(refill);
        }
    }
    drop(filler);
}
