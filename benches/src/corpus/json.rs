//! What feeds and chats send as JSON. In: a size. Out: objects of exactly that size, the same ones each time.
//!
//! Prices, names and times differ from one object to the next, as they do on the wire: what compresses one of
//! them can't be learnt from the others.
//!
//! Never: measures, compresses.

use std::fmt::Write as _;

use super::text::SEED;

const SYMBOLS: [&str; 8] = [
    "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT", "ADAUSDT", "AVAXUSDT", "DOTUSDT",
];
const SIDES: [&str; 2] = ["buy", "sell"];
/// Of the first trade, in milliseconds since 1970.
const START: u64 = 1_785_000_000_000;

/// `count` messages of `len` bytes each: lists of trades, the last one with a note that fills them up.
#[must_use]
pub fn trades(len: usize, count: usize) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(SEED);
    (0..count).map(|_| message(len, &mut random)).collect()
}

fn message(len: usize, random: &mut fastrand::Rng) -> String {
    const END: &str = r#"],"note":""}"#;
    let mut text = String::from(r#"{"type":"trades","data":["#);
    let mut sent = START + random.u64(..1 << 30);
    loop {
        let before = text.len();
        let comma = if text.ends_with('}') { "," } else { "" };
        let symbol = SYMBOLS[random.usize(..SYMBOLS.len())];
        let (price, quantity) = (random.u32(..10_000_000), random.u32(1..100_000));
        let side = SIDES[random.usize(..SIDES.len())];
        sent += random.u64(..40);
        let _ = write!(
            text,
            r#"{comma}{{"symbol":"{symbol}","price":"{}.{:02}","quantity":"{}.{:04}","side":"{side}","time":{sent}}}"#,
            price / 100,
            price % 100,
            quantity / 10_000,
            quantity % 10_000,
        );
        if text.len() + END.len() > len {
            text.truncate(before);
            break;
        }
    }
    text.push_str(r#"],"note":""#);
    while text.len() + 2 < len {
        text.push(char::from(random.u8(b'a'..=b'z')));
    }
    text.push_str(r#""}"#);
    text
}
