//! Mask keys (RFC 6455 §5.3, §10.3). In: the system's random bytes, a block at a time. Out: four for each frame that
//! a client sends, and sixteen for its handshake.
//!
//! Never: gives bytes twice; makes them up where the system has none.

use std::cell::RefCell;

use fanfare_codec::{MaskKeys, Role};

/// Bytes of one call to the system.
const BLOCK_BYTES: usize = 1024;

struct Block {
    bytes: [u8; BLOCK_BYTES],
    used: usize,
}

thread_local! {
    static BLOCK: RefCell<Block> = const {
        RefCell::new(Block { bytes: [0; BLOCK_BYTES], used: BLOCK_BYTES })
    };
}

/// Bytes that nobody can predict.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let drawn = BLOCK.try_with(|block| {
        let mut block = block.borrow_mut();
        if block.used + N > BLOCK_BYTES {
            fill(&mut block.bytes);
            block.used = 0;
        }
        let mut bytes = [0; N];
        let from = block.used;
        bytes.copy_from_slice(&block.bytes[from..from + N]);
        block.used += N;
        bytes
    });
    drawn.unwrap_or_else(|_| {
        let mut bytes = [0; N]; // the thread ends, and its block has gone
        fill(&mut bytes);
        bytes
    })
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has random bytes");
}

/// Keys as a role needs them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys(pub(crate) Role);

impl MaskKeys for Keys {
    #[inline]
    fn next_key(&mut self) -> Option<[u8; 4]> {
        self.0.masks().then(random)
    }
}
