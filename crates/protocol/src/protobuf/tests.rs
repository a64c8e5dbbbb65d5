//! The Protobuf wire, literally and by seed. In: frames as the Python SDK's own schema writes them, and
//! values. Out: verdicts.
//!
//! Never: takes a number of a field from `schema.rs` alone.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{ClientInfo, Position, Publication};
use prost::Message;

use super::schema;
use crate::command::{Connect, History, Publish, Refresh, Rpc, SubRefresh, Subscribe};
use crate::message::{Expiry, Outcome, Push, Reply, Subscription};
use crate::samples::World;
use crate::{Command, Commands, Encoding, Malformed, Method, append_ping};

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    reply.append_to(&mut out, Encoding::Protobuf);
    out
}

fn pushed(push: &Push<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    push.append_to(&mut out, Encoding::Protobuf);
    out
}

fn all(frame: &[u8]) -> Result<Vec<Command>, Malformed> {
    Commands::new(Encoding::Protobuf, frame).collect()
}

#[test]
fn commands_are_read_as_sdks_write_them() {
    let position = |offset, epoch: &str| crate::Position {
        offset,
        epoch: epoch.to_owned(),
    };
    let channel = || "c".to_owned();
    let token = || "t".to_owned();
    let server_side = Subscribe {
        recover: true,
        since: position(1 << 40, "e"),
        ..Subscribe::default()
    };
    let cases: [(&[u8], u32, Method); 16] = [
        (
            b":\x08\x01\"6\x0a\x01t\x12\x07{\"a\":1}\x1a\x11\x0a\x01s\x12\x0c\x18\x012\x01e8\x80\x80\x80\x80\x80 \
              \"\x06python*\x030.72\x06\x0a\x01h\x12\x01v8\x03",
            1,
            Method::Connect(Box::new(Connect {
                token: token(),
                data: "{\"a\":1}".into(),
                name: "python".to_owned(),
                version: "0.7".to_owned(),
                headers: HashMap::from([("h".to_owned(), "v".to_owned())]),
                subs: HashMap::from([("s".to_owned(), server_side)]),
            })),
        ),
        (
            b"7\x08\x02*3\x0a\x01c\x12\x01t\x18\x012\x01e8\x07B\x01\x00H\x01P\x01X\x01b\x06fossilj\x11\x0a\x03not\
              2\x0a\x12\x01k\x1a\x02eq\"\x01vp\x03",
            2,
            Method::Subscribe(Box::new(Subscribe {
                channel: channel(),
                token: token(),
                data: vec![0].into(),
                recover: true,
                since: position(7, "e"),
                positioned: true,
                recoverable: true,
                join_leave: true,
                flag: 3,
            })),
        ),
        (
            b"\x07\x08\x032\x03\x0a\x01c",
            3,
            Method::Unsubscribe { channel: channel() },
        ),
        (
            b"\x0a\x08\x04:\x06\x0a\x01c\x12\x01\xff",
            4,
            Method::Publish(Publish {
                channel: channel(),
                data: vec![0xff].into(),
            }),
        ),
        (
            b"\x07\x08\x05B\x03\x0a\x01c",
            5,
            Method::Presence { channel: channel() },
        ),
        (
            b"\x07\x08\x06J\x03\x0a\x01c",
            6,
            Method::PresenceStats { channel: channel() },
        ),
        (
            b"\x1b\x08\x07R\x17\x0a\x01c8\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01B\x05\x08\x09\x12\x01eH\x01",
            7,
            Method::History(History {
                channel: channel(),
                limit: -1,
                since: Some(position(9, "e")),
                reverse: true,
            }),
        ),
        (
            b"\x07\x08\x08R\x03\x0a\x01c",
            8,
            Method::History(History {
                channel: channel(),
                ..History::default()
            }),
        ),
        (
            b"\x05b\x03\x0a\x01d",
            0,
            Method::Send { data: "d".into() },
        ),
        (
            b"\x0a\x08\x09j\x06\x0a\x01d\x12\x01m",
            9,
            Method::Rpc(Rpc {
                method: "m".to_owned(),
                data: "d".into(),
            }),
        ),
        (
            b"\x07\x08\x0ar\x03\x0a\x01t",
            10,
            Method::Refresh(Refresh { token: token() }),
        ),
        (
            b"\x0a\x08\x0bz\x06\x0a\x01c\x12\x01t",
            11,
            Method::SubRefresh(SubRefresh {
                channel: channel(),
                token: token(),
            }),
        ),
        (
            b"\x05\x08\xac\x02:\x00",
            300,
            Method::Publish(Publish::default()),
        ),
        (b"\x04\x08\x0cZ\x00", 12, Method::Unknown), // `ping`
        (b"\x02\x08\x0d", 13, Method::Unknown),
        (b"\x00", 0, Method::Pong),
    ];
    for (frame, id, method) in &cases {
        let command = Command {
            id: *id,
            method: method.clone(),
        };
        assert_eq!(all(frame), Ok(vec![command]), "{frame:?}");
    }
    let frame: Vec<u8> = cases
        .iter()
        .flat_map(|(frame, ..)| *frame)
        .copied()
        .collect();
    let methods: Vec<Method> = all(&frame).unwrap().into_iter().map(|c| c.method).collect();
    let expected: Vec<Method> = cases.into_iter().map(|(.., method)| method).collect();
    assert_eq!(methods, expected, "all of them in one frame");
}

#[test]
fn what_is_no_command_is_malformed() {
    let giant = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    let cases: [&[u8]; 12] = [
        b"\x01",                                     // cut off
        b"\x80",                                     // a length that is cut off
        b"\xff\xff\xff\xff\x0f",                     // 4 GiB to come
        giant,                                       // 2^64 - 1 bytes to come
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", // no number
        b"\x01\x08",                                 // a field without its value
        b"\x02\x00\x00",                             // field 0
        b"\x02\x0f\x00",                             // wire type 7
        b"\x03\x0a\x01\x00",                         // an id that is no varint
        b"\x06:\x04\x0a\x02\xff\xfe",                // a channel that is not UTF-8
        b"\x08:\x06\x12\xff\xff\xff\xff\x07",        // data of 2 GiB
        b"\x05:\x0a\x12\x01a", // a message that is longer than the one around it
    ];
    for frame in cases {
        assert_eq!(all(frame), Err(Malformed::Command), "{frame:?}");
    }
    for (at, tag) in [
        (4, "connect"),
        (5, "subscribe"),
        (7, "publish"),
        (13, "rpc"),
        (16, "?"),
    ] {
        let mut frame = Vec::new();
        prost::encoding::encode_key(at, prost::encoding::WireType::LengthDelimited, &mut frame);
        frame.extend_from_slice(giant);
        frame.insert(0, u8::try_from(frame.len()).unwrap());
        assert_eq!(all(&frame), Err(Malformed::Command), "{tag}");
    }
}

#[test]
fn bombs_of_nesting_do_no_harm() {
    const DEPTH: usize = 100_000;
    let framed = |message: Vec<u8>| {
        let mut frame = Vec::new();
        prost::encoding::encode_varint(message.len() as u64, &mut frame);
        frame.extend(message);
        frame
    };
    let groups = [vec![0x83_u8, 0x01]; 1].concat().repeat(DEPTH); // field 16, again and again
    assert_eq!(all(&framed(groups)), Err(Malformed::Command));
    // A filter in a filter in a filter: nobody looks into it.
    let mut filter = vec![0x32, 0x00];
    while filter.len() < DEPTH {
        let mut around = vec![0x32];
        prost::encoding::encode_varint(filter.len() as u64, &mut around);
        around.append(&mut filter);
        filter = around;
    }
    let mut subscribe = vec![0x6a];
    prost::encoding::encode_varint(filter.len() as u64, &mut subscribe);
    subscribe.extend(filter);
    let mut command = vec![0x2a];
    prost::encoding::encode_varint(subscribe.len() as u64, &mut command);
    command.extend(subscribe);
    let commands = all(&framed(command)).unwrap();
    assert_eq!(commands[0].method, Method::Subscribe(Box::default()));
}

#[test]
fn replies_are_written_as_sdks_read_them() {
    let expected: [&[u8]; 11] = [
        b"\x1f\x08\x01\x12\x1b\x08d\x12\x15internal server error\x18\x01",
        b"E\x08\x02*A\x0a\x01i\x12\x01v\x18\x01 <*\x0152!\x0a\x01c\x12\x1c\x08\x01\x10<\x18\x012\x022a:\x05\"\x01\
          10\x04@\x01H\x03P\x01Z\x015`\x018\x19@\x01J\x01sR\x01nX\x80\xd0\x95\xff\xbc1",
        b" \x08\x032\x1c\x08\x01\x10<\x18\x012\x022a:\x05\"\x0110\x04@\x01H\x03P\x01Z\x015`\x01",
        b"\x04\x08\x04:\x00",
        b"\x04\x08\x05B\x00",
        b"\x18\x08\x06J\x14\x0a\x12\x0a\x01i\x12\x0d\x0a\x01u\x12\x01i\x1a\x02{}\"\x01\x00",
        b"\x08\x08\x07R\x04\x08\x02\x10\x01",
        b"I\x08\x08ZE\x0a\x05\"\x0110\x04\x0a6\"\x07{\"a\":1}*\x0d\x0a\x01u\x12\x01i\x1a\x02{}\"\x01\x000\
          \x80\x80\x80\x80\x80 :\x06\x0a\x01a\x12\x011:\x06\x0a\x01b\x12\x012H\x80\xd0\x95\xff\xbc1\x12\x022a\x18\x04",
        b"\x0e\x08\x09r\x0a\x0a\x01i\x12\x01v\x18\x01 <",
        b"\x08\x08\x0az\x04\x08\x01\x10<",
        b"\x07\x08\x0bj\x03\x0a\x015",
    ];
    let world = World::fixed();
    for (reply, expected) in world.replies().iter().zip(expected) {
        assert_eq!(encoded(reply), expected, "{reply:?}");
    }
    assert_eq!(world.replies().len(), expected.len());
}

#[test]
fn pushes_are_written_as_sdks_read_them() {
    let expected: [&[u8]; 8] = [
        b"\x0c\"\x0a\x12\x01c\"\x05\"\x0110\x04",
        b"=\";\x12\x01c\"6\"\x07{\"a\":1}*\x0d\x0a\x01u\x12\x01i\x1a\x02{}\"\x01\x000\x80\x80\x80\x80\x80 \
          :\x06\x0a\x01a\x12\x011:\x06\x0a\x01b\x12\x012H\x80\xd0\x95\xff\xbc1",
        b"\x16\"\x14\x12\x01c*\x0f\x0a\x0d\x0a\x01u\x12\x01i\x1a\x02{}\"\x01\x00",
        b"\x16\"\x14\x12\x01c2\x0f\x0a\x0d\x0a\x01u\x12\x01i\x1a\x02{}\"\x01\x00",
        b"\x1e\"\x1c\x12\x01c:\x17\x10\xc4\x13\x1a\x12insufficient state",
        b"\x14\"\x12\x12\x01cJ\x0d\x08\x01\"\x022a(\x030\x01:\x015",
        b"\x07\"\x05B\x03\x0a\x015",
        b"\x08\"\x06b\x04\x08\x01\x10<",
    ];
    let world = World::fixed();
    for (push, expected) in world.pushes().iter().zip(expected) {
        assert_eq!(pushed(push), expected, "{push:?}");
    }
    assert_eq!(world.pushes().len(), expected.len());
    let mut ping = Vec::new();
    append_ping(&mut ping, Encoding::Protobuf);
    assert_eq!(ping, b"\0");
}

#[test]
fn every_message_comes_back() {
    for seed in 0..300 {
        let world = World::random(seed);
        let mut frame = Vec::new();
        for reply in world.replies() {
            reply.append_to(&mut frame, Encoding::Protobuf);
        }
        for push in world.pushes() {
            push.append_to(&mut frame, Encoding::Protobuf);
        }
        let mut rest = frame.as_slice();
        let mut next = || {
            schema::Reply::decode_length_delimited(&mut rest)
                .unwrap_or_else(|e| panic!("{seed}: {e}"))
        };
        for reply in world.replies() {
            check_reply(&next(), &reply);
        }
        for push in world.pushes() {
            let wire = next();
            assert_eq!(wire.id, 0);
            check_push(&wire.push.unwrap(), &push);
        }
        assert!(rest.is_empty());
    }
}

// Field by field, against the values that were written.

fn check_expiry((expires, ttl): (bool, u32), Expiry(seconds): Expiry) {
    assert_eq!(expires, seconds.is_some());
    assert_eq!(ttl, seconds.map_or(0, |seconds| seconds.max(1)));
}

fn check_position((epoch, offset): (&str, u64), position: Option<Position>) {
    let text = position.map(|position| position.epoch.to_string());
    assert_eq!(epoch, text.unwrap_or_default());
    assert_eq!(offset, position.map_or(0, |position| position.offset));
}

fn check_info(wire: &schema::ClientInfo, info: &ClientInfo) {
    assert_eq!(wire.user, info.user.as_str());
    assert_eq!(wire.client, info.client.as_str());
    let data = |data: &Option<Bytes>| data.clone().unwrap_or_default();
    assert_eq!(wire.conn_info, data(&info.connection_info));
    assert_eq!(wire.chan_info, data(&info.channel_info));
}

fn check_publication(wire: &schema::Publication, publication: &Publication) {
    assert_eq!(wire.data, publication.payload.bytes());
    let offset = publication.position.map_or(0, |position| position.offset);
    assert_eq!(wire.offset, offset);
    assert_eq!(wire.info.is_some(), publication.info.is_some());
    if let (Some(wire), Some(info)) = (&wire.info, &publication.info) {
        check_info(wire, info);
    }
    let tags = wire
        .tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    assert!(tags.eq(publication.tags.iter()));
    assert_eq!(wire.time.cast_unsigned(), publication.time.as_millis());
}

fn check_publications(wire: &[schema::Publication], publications: &[Arc<Publication>]) {
    assert_eq!(wire.len(), publications.len());
    for (wire, publication) in wire.iter().zip(publications) {
        check_publication(wire, publication);
    }
}

fn check_subscription(wire: &schema::SubscribeResult, subscription: &Subscription) {
    check_expiry((wire.expires, wire.ttl), subscription.expiry);
    check_position((&wire.epoch, wire.offset), subscription.position);
    check_publications(&wire.publications, &subscription.publications);
    assert_eq!(wire.recoverable, subscription.terms.is_recoverable);
    assert_eq!(wire.positioned, subscription.terms.is_positioned);
    assert_eq!(wire.recovered, subscription.recovered);
    assert_eq!(wire.was_recovering, subscription.was_recovering);
    assert_eq!(wire.data, subscription.data);
}

fn check_reply(wire: &schema::Reply, reply: &Reply<'_>) {
    assert_eq!(wire.id, reply.id);
    assert!(wire.push.is_none());
    match &reply.outcome {
        Err(error) => {
            let wire = wire.error.as_ref().unwrap();
            assert_eq!(wire.code, error.code);
            assert_eq!(wire.message, error.message);
            assert_eq!(wire.temporary, error.is_temporary);
        }
        Ok(Outcome::Connect(connect)) => {
            let wire = wire.connect.as_ref().unwrap();
            assert_eq!(wire.client, connect.client);
            assert_eq!(wire.version, connect.version);
            check_expiry((wire.expires, wire.ttl), connect.expiry);
            assert_eq!(wire.data, connect.data);
            assert_eq!(wire.subs.len(), connect.subs.len());
            for sub in connect.subs {
                let is_it = |entry: &&schema::SubscribeEntry| entry.key == sub.channel.as_str();
                let entry = wire.subs.iter().find(is_it).unwrap();
                // The value is there, whatever is in it.
                check_subscription(entry.value.as_ref().unwrap(), sub);
            }
            assert_eq!((wire.ping, wire.pong), (connect.ping, connect.pong));
            assert_eq!(wire.session, connect.session);
            assert_eq!(wire.node, connect.node);
            assert_eq!(wire.time.cast_unsigned(), connect.time);
        }
        Ok(Outcome::Subscribe(result)) => {
            check_subscription(wire.subscribe.as_ref().unwrap(), result.0);
        }
        Ok(Outcome::Unsubscribe) => assert!(wire.unsubscribe.is_some()),
        Ok(Outcome::Publish) => assert!(wire.publish.is_some()),
        Ok(Outcome::Presence(infos)) => {
            let wire = &wire.presence.as_ref().unwrap().presence;
            assert_eq!(wire.len(), infos.len());
            for info in *infos {
                check_info(&wire[info.client.as_str()], info);
            }
        }
        Ok(Outcome::PresenceStats(stats)) => {
            let wire = wire.presence_stats.as_ref().unwrap();
            assert_eq!(u64::from(wire.num_clients), stats.clients);
            assert_eq!(u64::from(wire.num_users), stats.users);
        }
        Ok(Outcome::History {
            publications,
            position,
        }) => {
            let wire = wire.history.as_ref().unwrap();
            check_publications(&wire.publications, publications);
            check_position((&wire.epoch, wire.offset), *position);
        }
        Ok(Outcome::Refresh {
            client,
            version,
            expiry,
        }) => {
            let wire = wire.refresh.as_ref().unwrap();
            assert_eq!(
                (wire.client.as_str(), wire.version.as_str()),
                (*client, *version)
            );
            check_expiry((wire.expires, wire.ttl), *expiry);
        }
        Ok(Outcome::SubRefresh(expiry)) => {
            let wire = wire.sub_refresh.as_ref().unwrap();
            check_expiry((wire.expires, wire.ttl), *expiry);
        }
        Ok(Outcome::Rpc { data }) => assert_eq!(wire.rpc.as_ref().unwrap().data, **data),
    }
}

fn check_push(wire: &schema::Push, push: &Push<'_>) {
    match push {
        Push::Publication {
            channel,
            publication,
        } => {
            assert_eq!(wire.channel, *channel);
            check_publication(wire.publication.as_ref().unwrap(), publication);
        }
        Push::Join { channel, info } => {
            assert_eq!(wire.channel, *channel);
            let join = wire.join.as_ref().unwrap();
            check_info(join.info.as_ref().unwrap(), info);
        }
        Push::Leave { channel, info } => {
            assert_eq!(wire.channel, *channel);
            let leave = wire.leave.as_ref().unwrap();
            check_info(leave.info.as_ref().unwrap(), info);
        }
        Push::Unsubscribe { channel, why } => {
            assert_eq!(wire.channel, *channel);
            let unsubscribe = wire.unsubscribe.as_ref().unwrap();
            assert_eq!(unsubscribe.code, why.code);
            assert_eq!(unsubscribe.reason, why.reason);
        }
        Push::Subscribe(result) => {
            let subscription = result.0;
            assert_eq!(wire.channel, subscription.channel.as_str());
            let subscribe = wire.subscribe.as_ref().unwrap();
            assert_eq!(subscribe.recoverable, subscription.terms.is_recoverable);
            assert_eq!(subscribe.positioned, subscription.terms.is_positioned);
            assert_eq!(subscribe.data, subscription.data);
            check_position((&subscribe.epoch, subscribe.offset), subscription.position);
        }
        Push::Message { data } => assert_eq!(wire.message.as_ref().unwrap().data, **data),
        Push::Refresh(expiry) => {
            let refresh = wire.refresh.as_ref().unwrap();
            check_expiry((refresh.expires, refresh.ttl), *expiry);
        }
    }
}
