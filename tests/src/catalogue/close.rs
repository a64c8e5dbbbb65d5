//! The closing handshake (RFC 6455 §5.5.1, §7): every code, every length, every way to end.
//!
//! Never: leaves open who closes TCP (§7.1.1: the server; a client waits for it).

use super::{Case, Closer, Group, Level, Step};
use crate::texts;
use crate::wire::{CLOSE, Frame};
use fanfare_codec::Role;

/// The group's cases for an endpoint of this role.
#[must_use]
pub fn cases(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(codes(role));
    cases.extend(lengths(role));
    cases.extend(reasons(role));
    cases.extend(after_close(role));
    cases.extend(both_sides(role));
    cases.extend(no_close(role));
    cases
}

fn case(role: Role, rfc: &'static str, id: impl AsRef<str>) -> Case {
    Case::open(Group::Close, role, rfc, id)
}

/// §7.4.1–7.4.2 and the IANA registry: 1000–1003, 1007–1014 and 3000–4999 may be sent. 1004 is
/// reserved, 1005, 1006 and 1015 must not be sent, 0–999 are not used, 1016–2999 are for future
/// revisions; of 5000 and above the RFC says nothing, and the registry has no range for them.
const fn is_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn codes(role: Role) -> Vec<Case> {
    let borders = [
        0, 1, 999, 1_100, 2_000, 2_999, 3_000, 3_999, 4_000, 4_999, 5_000, 65_535,
    ];
    (0..=u16::MAX)
        .map(|code| {
            let case = case(role, "7.4", format!("code/{code}")).send([Frame::close(code, "")]);
            let case = if is_code(code) {
                case.expect_close_answer(Some(code))
            } else {
                case.expect_fail(1002)
            };
            let sample =
                matches!(code, 1_000..=1_016) || borders.contains(&code) || code % 997 == 0;
            if sample { case } else { case.codec_only() }
        })
        .collect()
}

/// §5.5.1: no payload, or a code and up to 123 bytes; one byte is half a code.
fn lengths(role: Role) -> Vec<Case> {
    (0..=125_usize)
        .map(|len| {
            let case = case(role, "5.5.1", format!("length/{len}"));
            match len {
                0 => case.send([Frame::new(CLOSE, "")]).expect_close_answer(None),
                1 => case.send([Frame::new(CLOSE, [3])]).expect_fail(1002),
                _ => case
                    .send([Frame::close(4_321, "r".repeat(len - 2))])
                    .expect_close_answer(Some(4_321)),
            }
        })
        .collect()
}

/// §5.5.1: the reason is UTF-8; §8.1: if it is not, 1007.
fn reasons(role: Role) -> Vec<Case> {
    let valid = texts::VALID.iter().enumerate().map(|(n, text)| {
        case(role, "5.5.1", format!("reason/valid-{n}"))
            .send([Frame::close(1000, text)])
            .expect_close_answer(Some(1000))
    });
    let invalid = texts::INVALID
        .iter()
        .chain(&texts::UNFINISHED)
        .enumerate()
        .map(|(n, bytes)| {
            case(role, "8.1", format!("reason/invalid-{n}"))
                .send([Frame::close(1000, bytes)])
                .expect_fail(1007)
        });
    let both = case(role, "7.4", "reason/invalid-under-invalid-code")
        .send([Frame::close(1005, b"\xFF")])
        .step(Step::ExpectClose {
            codes: vec![Some(1002), Some(1007)],
            tcp: Closer::Endpoint,
        });
    valid.chain(invalid).chain([both]).collect()
}

/// §5.5.1: nothing that follows a close frame is looked at.
fn after_close(role: Role) -> Vec<Case> {
    let answered = |id: &str, frames: Vec<Frame>| {
        case(role, "5.5.1", format!("after/{id}"))
            .send([Frame::close(1001, "bye")])
            .send(frames)
            .expect_close_answer(Some(1001))
    };
    vec![
        answered("text", vec![Frame::text("late")]),
        answered("ping", vec![Frame::ping("late")]),
        answered("close", vec![Frame::close(1002, "again")]),
        answered(
            "broken-frame",
            vec![Frame::text("late").rsv(7).wrong_mask()],
        ),
        answered("bad-utf8", vec![Frame::text([0xFF])]),
        answered("start-of-frame", vec![Frame::binary("").declaring(1 << 40)]),
        case(role, "5.5.1", "after/garbage")
            .send([Frame::close(1000, "")])
            .send_bytes([0xFF; 64])
            .expect_close_answer(Some(1000)),
        case(role, "5.5.1", "before/text-is-answered-first")
            .send([Frame::text("first"), Frame::close(1000, "")])
            .expect_text("first")
            .expect_close_answer(Some(1000)),
        case(role, "5.4", "inside-message")
            .send([
                Frame::text("never whole").not_final(),
                Frame::close(1000, ""),
            ])
            .expect_close_answer(Some(1000)),
        case(role, "7.4", "inside-message-bad-code")
            .send([
                Frame::text("never whole").not_final(),
                Frame::close(1006, ""),
            ])
            .expect_fail(1002),
    ]
}

/// §7.1.2–7.1.3: the endpoint closes by itself; the peer may be in the middle of anything.
fn both_sides(role: Role) -> Vec<Case> {
    let begun = |id: &str| {
        let case = case(role, "7.1.2", format!("initiated/{id}")).codec_only();
        case.step(Step::BeginClose(1001)).step(Step::Expect {
            opcode: CLOSE,
            payload: 1001_u16.to_be_bytes().to_vec(),
        })
    };
    let ends = |case: Case| match role {
        Role::Server => case.step(Step::ExpectEnd),
        Role::Client => case.expect_silence().step(Step::Eof).step(Step::ExpectEnd),
    };
    vec![
        ends(begun("answered").send([Frame::close(1001, "")])),
        ends(begun("crossed").send([Frame::close(1000, "me too")])),
        ends(begun("data-before-answer").send([
            Frame::text("was on its way"),
            Frame::ping("also"),
            Frame::close(1001, ""),
        ])),
        ends(begun("inside-message").send([
            Frame::text("a").not_final(),
            Frame::continuation("b"),
            Frame::close(1001, ""),
        ])),
        begun("never-answered")
            .step(Step::Eof)
            .step(Step::ExpectEnd),
        begun("answer-is-broken")
            .send([Frame::close(1005, "")])
            .step(Step::ExpectEnd),
    ]
}

/// §7.1.4, §7.1.5: TCP may end without any closing handshake; 1006 never reaches the wire.
fn no_close(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, end) in [("fin", Step::Eof), ("rst", Step::Reset)] {
        let mut ended = |id: &str, case: Case| {
            let case = Case {
                id: format!("{}/{name}-{id}", case.id),
                ..case
            };
            cases.push(
                case.level(Level::Must)
                    .step(end.clone())
                    .step(Step::ExpectEnd),
            );
        };
        let new = || case(role, "7.1.4", "no-close");
        ended("at-once", new());
        ended(
            "after-text",
            new().send([Frame::text("t")]).expect_text("t"),
        );
        ended("inside-message", new().send([Frame::text("t").not_final()]));
        let frame = Frame::binary("payload").encode(new().sender());
        for at in 1..frame.len() {
            ended(
                &format!("inside-frame-at-{at}"),
                new().send_bytes(&frame[..at]),
            );
        }
    }
    cases
}
