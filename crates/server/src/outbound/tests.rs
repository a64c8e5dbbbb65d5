//! Queues without sockets. In: chunks. Out: what a socket would be offered.
//!
//! Never: opens a socket.

use super::*;
use crate::push::test_segment as segment;

/// Everything that is still to be sent.
fn contents(outbound: &Outbound) -> Vec<u8> {
    let chunks = outbound.0.iter().flat_map(|queue| &queue.chunks);
    chunks.flat_map(Chunk::slices).flatten().copied().collect()
}

/// Takes `len` bytes as a socket would.
fn take(outbound: &mut Outbound, mut len: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while len > 0 && !outbound.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_PER_SEND_MAX];
        let used = outbound.unsent(&mut slices);
        let offered: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
        assert!(
            !offered.is_empty(),
            "something waits, and nothing is offered"
        );
        let n = len.min(offered.len());
        taken.extend_from_slice(&offered[..n]);
        outbound.advance(n);
        len -= n;
    }
    taken
}

fn whole(segment: &Arc<Segment>) -> Range<u32> {
    0..u32::try_from(segment.bytes().len()).unwrap()
}

fn push(outbound: &mut Outbound, texts: &[&str], excess: Excess, cap: usize) -> Fit {
    let segment = segment(texts);
    outbound.push_shared(part(&segment, whole(&segment), 0), excess, cap)
}

/// A part that is of a channel, by its number.
fn part(segment: &Arc<Segment>, range: Range<u32>, channel: u64) -> Part {
    Part {
        segment: Arc::clone(segment),
        range,
        channel: ChannelId::from_bits(channel),
    }
}

/// What one segment of these texts counts.
fn cost(texts: &[&str]) -> usize {
    let segment = segment(texts);
    let range = whole(&segment);
    Chunk::Shared(part(&segment, range, 0)).pinned()
}

#[test]
fn bytes_leave_in_order_and_memory_with_them() {
    let mut outbound = Outbound::default();
    let mut expected: Vec<u8> = Vec::new();
    let mut received: Vec<u8> = Vec::new();
    for round in 0..200_u8 {
        let mut replies: Vec<u8> = (0..=round).collect();
        let sent = if outbound.is_empty() {
            usize::from(round) / 3
        } else {
            0
        };
        expected.extend_from_slice(&replies);
        received.extend_from_slice(&replies[..sent]);
        match round % 3 {
            0 => outbound.append(&replies[sent..]),
            1 => {
                outbound.queue(&mut replies, sent);
                assert!(replies.is_empty());
            }
            _ => {
                let (head, payload) = replies[sent..].split_at((replies.len() - sent) / 4);
                outbound.push_history(head, Bytes::copy_from_slice(payload));
            }
        }
        if round % 5 == 0 {
            let shared = segment(&["shared", "by many"]);
            expected.extend_from_slice(shared.bytes());
            let range = whole(&shared);
            let fit = outbound.push_shared(part(&shared, range, 0), Excess::Report, usize::MAX);
            assert_eq!(fit, Fit::Fits);
        }
        let len = outbound.len().min(usize::from(round) * 7 % 160);
        received.extend(take(&mut outbound, len));
        assert_eq!(received.len() + outbound.len(), expected.len());
        assert_eq!(contents(&outbound).len(), outbound.len());
    }
    received.extend(take(&mut outbound, usize::MAX));
    assert_eq!(received, expected);
    assert!(outbound.is_empty() && outbound.0.is_none());
}

#[test]
fn what_a_cursor_pins_counts_whole_and_one_segment_always_fits() {
    let mut outbound = Outbound::default();
    let long = "x".repeat(100);
    let cap = cost(&[&long]) + cost(&["a"]);
    assert_eq!(push(&mut outbound, &[&long], Excess::Report, 50), Fit::Fits);
    take(&mut outbound, 101);
    assert_eq!(outbound.len(), 1);
    assert_eq!(push(&mut outbound, &["a"], Excess::Report, cap), Fit::Fits);
    assert_eq!(push(&mut outbound, &["a"], Excess::Report, cap), Fit::Over);
}

#[test]
fn short_publications_cost_what_keeping_them_takes() {
    let mut outbound = Outbound::default();
    let cap = 100 * 1024;
    let mut count = 0;
    while push(&mut outbound, &["a"], Excess::Report, cap) == Fit::Fits {
        count += 1;
    }
    assert!(
        count < cap / 100,
        "{count} chunks of three bytes under {cap}"
    );
}

#[test]
fn history_may_be_over_the_cap_until_it_has_left() {
    let mut outbound = Outbound::default();
    outbound.push_history(b"head", Bytes::from(vec![0; 100]));
    outbound.allow();
    let cap = cost(&["1234"]);
    assert_eq!(
        push(&mut outbound, &["1234"], Excess::Report, cap),
        Fit::Fits
    );
    take(&mut outbound, 104 + 1);
    assert!(
        !outbound.is_empty(),
        "the history has left, and not all behind it"
    );
    assert_eq!(
        push(&mut outbound, &["1234"], Excess::Report, cap),
        Fit::Over
    );
}

#[test]
fn the_oldest_go_but_not_what_has_begun_to_leave_nor_replies() {
    let mut outbound = Outbound::default();
    let cap = 2 * cost(&["11"]) + cost(&["11"]) / 2;
    for text in ["11", "22"] {
        let fit = push(&mut outbound, &[text], Excess::DropOldest, cap);
        assert_eq!(fit, Fit::Fits);
    }
    take(&mut outbound, 1); // "11" has begun
    outbound.append(b"PONG");
    for text in ["33", "44"] {
        let fit = push(&mut outbound, &[text], Excess::DropOldest, cap);
        assert_eq!(fit, Fit::Fits);
    }
    assert_eq!(contents(&outbound), b"\x0211PONG\x81\x0244");
}

#[test]
fn the_latest_stays_alone_behind_what_has_begun_to_leave() {
    let mut outbound = Outbound::default();
    let cap = 0;
    let first = segment(&["1", "2", "3"]);
    // One byte of "2" has left already.
    let fit = outbound.push_shared(part(&first, 4..9, 0), Excess::KeepLatest, cap);
    assert_eq!(fit, Fit::Fits);
    assert_eq!(contents(&outbound), b"\x012\x81\x013");
    outbound.append(b"PONG");
    assert_eq!(
        push(&mut outbound, &["4", "5"], Excess::KeepLatest, cap),
        Fit::Fits
    );
    assert_eq!(contents(&outbound), b"\x012PONG\x81\x015");
    assert_eq!(
        push(&mut outbound, &["6"], Excess::KeepLatest, cap),
        Fit::Fits
    );
    assert_eq!(take(&mut outbound, usize::MAX), b"\x012PONG\x81\x016");
}

#[test]
fn what_one_channel_may_lose_is_no_others() {
    let kept = segment(&["kept"]);
    for (excess, expected) in [
        (Excess::KeepLatest, &b"\x81\x04kept\x81\x012"[..]),
        (Excess::DropOldest, b"\x81\x04kept\x81\x011\x81\x012"),
    ] {
        let mut outbound = Outbound::default();
        let cap = 10 * cost(&["kept"]);
        let fit = outbound.push_shared(part(&kept, whole(&kept), 1), Excess::Report, cap);
        assert_eq!(fit, Fit::Fits);
        for text in ["1", "2"] {
            assert_eq!(push(&mut outbound, &[text], excess, cap), Fit::Fits);
        }
        assert_eq!(contents(&outbound), expected, "{excess:?}");
        // Past the cap it is its own that go, and if that is not enough, nothing does.
        let fit = push(
            &mut outbound,
            &["3"],
            excess,
            cost(&["kept"]) + cost(&["3"]),
        );
        assert_eq!(fit, Fit::Fits);
        assert_eq!(contents(&outbound), b"\x81\x04kept\x81\x013");
        assert_eq!(push(&mut outbound, &["4"], excess, 1), Fit::Over);
        assert!(contents(&outbound).starts_with(b"\x81\x04kept"));
    }
}

#[test]
fn cut_short_only_what_has_begun_is_ended() {
    let mut outbound = Outbound::default();
    let first = segment(&["1", "2"]);
    let fit = outbound.push_shared(part(&first, 1..6, 0), Excess::Report, usize::MAX);
    assert_eq!(fit, Fit::Fits);
    outbound.append(b"PONG");
    assert_eq!(
        push(&mut outbound, &["3"], Excess::Report, usize::MAX),
        Fit::Fits
    );
    outbound.push_history(b"h", Bytes::from_static(b"p"));
    outbound.cut_short();
    assert_eq!(contents(&outbound), b"\x011PONG");

    let mut outbound = Outbound::default();
    assert_eq!(
        push(&mut outbound, &["3"], Excess::Report, usize::MAX),
        Fit::Fits
    );
    outbound.cut_short();
    assert!(outbound.is_empty() && outbound.0.is_none());
}
