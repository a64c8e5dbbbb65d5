//! The script. In: a peer, and our role. Out: nothing, or a panic that says what was not as it was sent.
//!
//! Never: compares lengths alone.

use fanfare_tokio::{
    CloseCode, CloseFrame, Config, Error, Limits, Message, MessageKind, PreparedFrame, Role,
    WebSocketStream,
};
use tokio::net::TcpStream;

use crate::peer::{Peer, ends};

type Ours = WebSocketStream<TcpStream>;

/// Every length form of a frame, and more than a read of any size.
const LENGTHS: [usize; 7] = [0, 1, 125, 126, 65_535, 65_536, (1 << 20) + 7];
const TEXT: &str = "héllo, wörld: 漢字 😀";

/// Text of exactly so many bytes, of characters of one to four.
fn text(bytes: usize) -> String {
    let mut text = String::new();
    for next in ('a'..='z').chain("éß漢字😀".chars()).cycle() {
        if text.len() + next.len_utf8() > bytes {
            break;
        }
        text.push(next);
    }
    text.extend(std::iter::repeat_n('~', bytes - text.len()));
    text
}

fn messages() -> Vec<Message> {
    let of_length = |bytes: usize| {
        let binary: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        [Message::text(text(bytes)), Message::binary(binary)]
    };
    LENGTHS.into_iter().flat_map(of_length).collect()
}

async fn heard(ours: &mut Ours) -> Message {
    ours.recv().await.expect("open").expect("by the rules")
}

#[track_caller]
fn expect(found: &Message, wanted: &Message) {
    let len = wanted.payload().len();
    assert!(
        found == wanted,
        "{} instead of {len} bytes",
        found.payload().len()
    );
}

/// All kinds of messages between both, without extensions.
pub(crate) async fn everything_arrives<P: Peer>(role: Role) {
    let (ours, theirs) = ends::<P>(role, &Config::DEFAULT, None).await;
    talk(ours, theirs).await;
}

/// All kinds of messages between both, and an end.
pub(crate) async fn talk<P: Peer>(mut ours: Ours, mut theirs: P) {
    for message in &messages() {
        let (_, found) = tokio::join!(theirs.send(message), heard(&mut ours));
        expect(&found, message);
        let (sent, found) = tokio::join!(ours.send(message.clone()), theirs.next());
        sent.expect("open");
        expect(&found.expect("open"), message);
    }
    fragments(&mut ours, &mut theirs).await;
    pings(&mut ours, &mut theirs).await;
    many_in_one_write(&mut ours, &mut theirs).await;
    if ours.role() == Role::Server {
        prepared(&mut ours, &mut theirs).await;
    }
    let mut ours = both_at_once(ours, &mut theirs).await;
    let (closed, heard) = tokio::join!(ours.close(CloseCode::NORMAL, "done"), until_end(theirs));
    closed.expect("a clean end");
    assert_eq!(
        heard,
        [Message::Close(Some(CloseFrame::new(
            CloseCode::NORMAL,
            "done"
        )))]
    );
}

async fn fragments<P: Peer>(ours: &mut Ours, theirs: &mut P) {
    let bytes = text(70_000).into_bytes();
    for is_text in [true, false] {
        // Within characters, and one that is empty.
        for pieces in [
            vec![&TEXT.as_bytes()[..2], &TEXT.as_bytes()[2..]],
            vec![b"", TEXT.as_bytes(), b""],
            TEXT.as_bytes().chunks(1).collect(),
            bytes.chunks(999).collect(),
        ] {
            let whole = pieces.concat();
            let (kind, message) = if is_text {
                let text = String::from_utf8(whole).expect("UTF-8");
                (MessageKind::Text, Message::text(text))
            } else {
                (MessageKind::Binary, Message::binary(whole))
            };
            let (_, found) = tokio::join!(theirs.send_fragments(is_text, &pieces), heard(ours));
            expect(&found, &message);
            let (last, others) = pieces.split_last().expect("pieces");
            ours.begin(kind, others[0]).expect("room");
            ours.write_ping(b"between").expect("room");
            for piece in &others[1..] {
                ours.proceed(piece).expect("room");
            }
            ours.end(last).expect("room");
            let (left, found) = tokio::join!(ours.flush(), theirs.next());
            left.expect("open");
            expect(&found.expect("open"), &message);
            // Whatever the peer sends makes its pong leave before.
            let done = Message::text("done");
            theirs.send(&done).await;
            expect(&heard(ours).await, &Message::Pong(b"between"[..].into()));
            expect(&heard(ours).await, &done);
        }
    }
}

async fn pings<P: Peer>(ours: &mut Ours, theirs: &mut P) {
    let mark = Message::text("behind");
    for payload in [&b""[..], b"alive?", &[0xFF; 125]] {
        let (ping, pong) = (Message::Ping(payload.into()), Message::Pong(payload.into()));
        ours.send(ping.clone()).await.expect("open");
        ours.send(mark.clone()).await.expect("open");
        expect(&theirs.next().await.expect("open"), &mark);
        theirs.send(&mark).await;
        expect(&heard(ours).await, &pong);
        expect(&heard(ours).await, &mark);

        theirs.send(&ping).await;
        expect(&heard(ours).await, &ping);
        let (_, found) = tokio::join!(theirs.send(&mark), heard(ours));
        expect(&found, &mark);
        ours.flush().await.expect("open");
        expect(&theirs.next().await.expect("open"), &pong);

        // A pong that nobody asked for.
        theirs.send(&pong).await;
        expect(&heard(ours).await, &pong);
        ours.send(pong.clone()).await.expect("open");
        expect(&theirs.next().await.expect("open"), &pong);
    }
}

async fn many_in_one_write<P: Peer>(ours: &mut Ours, theirs: &mut P) {
    let messages: Vec<Message> = (0..300)
        .map(|n| match n % 3 {
            0 => Message::text(format!("{n} {}", text(n))),
            1 => Message::binary(vec![7; n]),
            _ => Message::text(""),
        })
        .collect();
    for message in &messages {
        match message {
            Message::Text(text) => ours.write_text(text).expect("room"),
            other => ours.write_binary(other.payload()).expect("room"),
        }
    }
    ours.flush().await.expect("open");
    for message in &messages {
        expect(&theirs.next().await.expect("open"), message);
    }
}

async fn prepared<P: Peer>(ours: &mut Ours, theirs: &mut P) {
    for bytes in [0, 10, 1_000, 100_000] {
        let said = text(bytes);
        for frame in [PreparedFrame::text(&*said), compressible(&said)] {
            ours.write_prepared(&frame).expect("room");
            ours.write_text("mine, mine, mine, mine, mine")
                .expect("room");
            let (left, found) = tokio::join!(ours.flush(), theirs.next());
            left.expect("open");
            expect(&found.expect("open"), &Message::text(&*said));
            let mine = Message::text("mine, mine, mine, mine, mine");
            expect(&theirs.next().await.expect("open"), &mine);
        }
    }
}

/// Both directions at once: what we send comes back while we send.
async fn both_at_once<P: Peer>(ours: Ours, theirs: &mut P) -> Ours {
    let messages: Vec<Message> = (0..150)
        .map(|n| Message::text(format!("{n} {}", text(n * n * n % 9_000))))
        .collect();
    let (mut write, mut read) = ours.split();
    let writing = async {
        for message in &messages {
            write.send(message.clone()).await.expect("open");
        }
    };
    let reading = async {
        for message in &messages {
            let back = read.recv().await.expect("open").expect("good");
            expect(&back, message);
        }
    };
    let echoing = async {
        for message in &messages {
            let found = theirs.next().await.expect("open");
            expect(&found, message);
            assert!(theirs.send(&found).await);
        }
    };
    tokio::join!(writing, reading, echoing);
    read.reunite(write).expect("of one stream")
}

/// What a peer hears till its end, and then it is gone.
async fn until_end<P: Peer>(mut theirs: P) -> Vec<Message> {
    let mut heard = Vec::new();
    while let Some(message) = theirs.next().await {
        heard.push(message);
    }
    heard
}

/// What we hear till our end, and how that is.
async fn until_our_end(mut ours: Ours) -> (Vec<Message>, Option<Error>) {
    let mut heard = Vec::new();
    while let Some(message) = ours.recv().await {
        match message {
            Ok(message) => heard.push(message),
            Err(error) => return (heard, Some(error)),
        }
    }
    (heard, None)
}

pub(crate) async fn closes<P: Peer>(role: Role) {
    let frame = |code, reason: &str| Some(CloseFrame::new(CloseCode(code), reason));
    for close in [
        None,
        frame(1000, ""),
        frame(1001, "going"),
        frame(3000, "ours"),
        frame(4999, "last"),
        frame(4000, &text(123)),
    ] {
        let message = Message::Close(close.clone());
        let (mut ours, theirs) = ends::<P>(role, &Config::DEFAULT, None).await;
        ours.send(message.clone()).await.expect("open");
        let ((answers, error), told) = tokio::join!(until_our_end(ours), until_end(theirs));
        assert!(error.is_none(), "{message:?}: {error:?}");
        assert!(
            told == [message.clone()],
            "we said {message:?}, not {told:?}"
        );
        let code = |message: &Message| match message {
            Message::Close(close) => close.as_ref().map(|close| close.code),
            other => panic!("{other:?}"),
        };
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(code(&answers[0]), code(&message), "its answer");

        let (ours, mut theirs) = ends::<P>(role, &Config::DEFAULT, None).await;
        assert!(theirs.send(&message).await);
        let ((told, error), answers) = tokio::join!(until_our_end(ours), until_end(theirs));
        assert!(error.is_none(), "{message:?}: {error:?}");
        assert!(
            told == [message.clone()],
            "it said {message:?}, not {told:?}"
        );
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(code(&answers[0]), code(&message), "our answer");
    }
}

pub(crate) async fn faults<P: Peer>(role: Role) {
    let limits = Limits::default().with_max_message_bytes(1_000);
    let config = Config::DEFAULT.with_limits(limits);
    for code in [1007, 1009] {
        let (ours, mut theirs) = ends::<P>(role, &config, None).await;
        theirs.send(&Message::text("good")).await;
        match code {
            1007 => theirs.send_bad_text(b"bad: \xC3\x28").await,
            _ => _ = theirs.send(&Message::binary(vec![1; 1_001])).await,
        }
        let ((heard, error), told) = tokio::join!(until_our_end(ours), until_end(theirs));
        assert_eq!(heard, [Message::text("good")]);
        match error {
            Some(Error::Protocol(error)) => assert_eq!(error.close_code(), CloseCode(code)),
            other => panic!("{other:?} instead of {code}"),
        }
        match &told[..] {
            [Message::Close(Some(close))] => assert_eq!(close.code, CloseCode(code)),
            other => panic!("{other:?} instead of {code}"),
        }
    }
}

pub(crate) async fn abrupt_ends<P: Peer>(role: Role) {
    let last = Message::text("last");
    let (ours, mut theirs) = ends::<P>(role, &Config::DEFAULT, None).await;
    theirs.send(&last).await;
    drop(theirs);
    let (heard, error) = until_our_end(ours).await;
    assert!(heard == [last.clone()], "{heard:?}");
    assert!(
        matches!(error, Some(Error::Disconnected | Error::Io(_))),
        "{error:?}"
    );

    let (mut ours, theirs) = ends::<P>(role, &Config::DEFAULT, None).await;
    ours.send(last.clone()).await.expect("open");
    drop(ours);
    assert_eq!(until_end(theirs).await, [last], "and no close");
}

/// A frame that is compressed for who understands that.
fn compressible(text: &str) -> PreparedFrame {
    #[cfg(feature = "deflate")]
    return PreparedFrame::text(text).with_deflate();
    #[cfg(not(feature = "deflate"))]
    PreparedFrame::text(text)
}
