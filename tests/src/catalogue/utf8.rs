//! Text is UTF-8 (RFC 6455 §5.6, §8.1): valid text passes however it is cut, invalid text fails at the
//! very byte that makes it so.
//!
//! Never: asks the codec where that byte is (see [`crate::texts::fails_at`]).

use super::{Case, Group, Level};
use crate::texts;
use crate::wire::{Frame, TEXT};
use fanfare_codec::Role;

/// The group's cases for an endpoint of this role.
#[must_use]
pub fn cases(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(valid(role));
    cases.extend(invalid(role));
    cases.extend(long(role));
    cases.extend(unfinished(role));
    cases
}

fn case(role: Role, id: impl AsRef<str>) -> Case {
    Case::open(Group::Utf8, role, "8.1", id)
}

/// Every border character, whole and with the frame cut at each of its bytes.
fn valid(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, text) in texts::VALID.iter().enumerate() {
        cases.push(
            case(role, format!("valid/{n}"))
                .send([Frame::text(*text)])
                .expect_text(*text)
                .then_close(),
        );
        for at in 0..=text.len() {
            let (left, right) = text.as_bytes().split_at(at);
            cases.push(
                case(role, format!("valid/{n}-fragmented-at-{at}"))
                    .send([Frame::text(left).not_final(), Frame::continuation(right)])
                    .expect_text(*text)
                    .then_close(),
            );
        }
        cases.push(
            case(role, format!("valid/{n}-byte-by-byte-with-pings"))
                .send([Frame::text("").not_final()])
                .send(text.bytes().flat_map(|byte| {
                    [
                        Frame::continuation([byte]).not_final(),
                        Frame::pong("between"),
                    ]
                }))
                .send([Frame::continuation("")])
                .expect_text(*text)
                .then_close(),
        );
    }
    cases.push(
        case(role, "binary-need-not-be-utf8")
            .level(Level::Must)
            .send([Frame::binary([0xFF, 0xC0, 0x80])])
            .expect_binary([0xFF, 0xC0, 0x80])
            .then_close(),
    );
    cases
}

/// Each fault after ASCII of every length that matters to a block: inside one frame, at the byte.
fn invalid(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, bad) in texts::INVALID.iter().enumerate() {
        for ascii in [0, 1, 3, 7, 15, 16, 31, 32, 61, 63, 64, 127, 128] {
            let text = [&vec![b'a'; ascii], *bad, b"tail"].concat();
            let at = texts::fails_at(&text).expect("invalid");
            let case = case(role, format!("invalid/{n}-after-{ascii}"));
            let bytes = Frame::text(text.clone()).encode(case.sender());
            let header = bytes.len() - text.len();
            cases.push(case.fails_at(&bytes, header + at, 1007));
        }
        // The same fault, cut between two frames at each of its bytes.
        let at = texts::fails_at(bad).expect("invalid");
        for cut in 0..at {
            let (left, right) = bad.split_at(cut);
            let case = case(role, format!("invalid/{n}-fragmented-at-{cut}"))
                .send([Frame::text(left).not_final(), Frame::pong("between")]);
            let bytes = Frame::continuation(right).not_final().encode(case.sender());
            let header = bytes.len() - right.len();
            cases.push(case.fails_at(&bytes, header + at - cut, 1007));
        }
        cases.push(
            case(role, format!("invalid/{n}-whole-after-good-text"))
                .send([Frame::text("kept"), Frame::text(*bad)])
                .expect_text("kept")
                .expect_fail(1007),
        );
    }
    cases
}

/// Faults deep in long texts of each kind of script; at the end of what a read brought.
fn long(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, unit) in [
        ("ascii", "abcdefg"),
        ("greek", "κόσμε"),
        ("hangul", "한국어"),
        ("emoji", "\u{1F600}"),
    ] {
        for len in [200, 1_000, 5_000] {
            let good = unit.repeat(len / unit.len());
            cases.push(
                case(role, format!("long/{name}-{len}"))
                    .send([Frame::text(good.clone())])
                    .expect_text(good.clone())
                    .then_close(),
            );
            for bad in [&b"\xFF"[..], b"\xED\xA0", b"\xF4\x90"] {
                let text = [good.as_bytes(), bad, good.as_bytes()].concat();
                let id = format!("long/{name}-{len}-then-{:02x}", bad[0]);
                let case = case(role, id);
                let bytes = Frame::text(text.clone()).encode(case.sender());
                let at = bytes.len() - text.len() + good.len() + bad.len();
                cases.push(case.fails_at(&bytes, at, 1007));
            }
        }
    }
    cases
}

/// A character that the end of the message cuts: wrong at FIN, not before.
fn unfinished(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, start) in texts::UNFINISHED.iter().enumerate() {
        for ascii in [0, 1, 62, 64, 127] {
            let text = [&vec![b'a'; ascii], *start].concat();
            let whole = case(role, format!("unfinished/{n}-after-{ascii}"));
            let bytes = Frame::text(text.clone()).encode(whole.sender());
            cases.push(whole.fails_at(&bytes, bytes.len(), 1007));
            let open = case(role, format!("unfinished/{n}-after-{ascii}-then-empty-fin"))
                .send([Frame::new(TEXT, text).not_final()])
                .expect_silence();
            let fin = Frame::continuation("").encode(open.sender());
            cases.push(open.fails_at(&fin, fin.len(), 1007));
        }
        cases.push(
            case(
                role,
                format!("unfinished/{n}-does-not-reach-the-next-message"),
            )
            .send([Frame::text(*start).not_final(), Frame::ping("p")])
            .expect_pong("p")
            .send([Frame::continuation("a")])
            .expect_fail(1007),
        );
    }
    cases
}
