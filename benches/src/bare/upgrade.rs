//! One connection up to its 101 (RFC 6455 §4.1). In: a target. Out: a non-blocking socket.
//!
//! The key is always the same one, so that a server may answer without computing.
//!
//! Never: looks at more of the answer than its status line and, if it is asked for, that it agrees to compress.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::{Failure, Target};

const TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 << 10;

/// One address has some 28,000 ephemeral ports towards a server; 127.0.0.0/8 has more addresses.
const PORTS_A_SOURCE: usize = 25_000;

/// Opens connection number `index` (from 0) and waits for its 101.
pub(super) fn open(target: &Target, index: usize) -> Result<TcpStream, Failure> {
    let mut stream = connect(target.addr, index).map_err(|e| Failure::Connect(index, e))?;
    request(&mut stream, target).map_err(|e| Failure::Io("sending the request", e))?;
    read_response(&mut stream, target.deflate)?;
    stream
        .set_nonblocking(true)
        .map_err(|e| Failure::Io("ioctl", e))?;
    Ok(stream)
}

fn connect(addr: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let family = match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = net::socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        Some(ipproto::TCP),
    )?;
    if let Some(source) = source(addr.ip(), index) {
        net::bind(&socket, &SocketAddr::from((source, 0)))?;
    }
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(TIMEOUT))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(TIMEOUT))?;
    net::connect(&socket, &addr)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(TcpStream::from(socket))
}

/// An address of our own for connections that the first one has no ports left for.
fn source(server: IpAddr, index: usize) -> Option<Ipv4Addr> {
    let nth = u8::try_from(index / PORTS_A_SOURCE).ok()?;
    let more_sources = nth > 0 && server.is_ipv4() && server.is_loopback();
    more_sources.then(|| Ipv4Addr::new(127, 0, 1, nth))
}

/// What `deflate` of a target asks for.
const EXTENSIONS: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                          client_no_context_takeover\r\n";

fn request(stream: &mut TcpStream, target: &Target) -> io::Result<()> {
    let Target { addr, path, .. } = target;
    let extensions = match target.deflate {
        true => EXTENSIONS,
        false => "",
    };
    let head = format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {addr}\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\
         {extensions}Sec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(head.as_bytes())
}

fn read_response(stream: &mut impl Read, deflate: bool) -> Result<(), Failure> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let received = match stream.read(&mut chunk) {
            Ok(0) => return Err(Failure::Closed(1)),
            Ok(received) => received,
            // Whoever measures may stop and continue us.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(Failure::Silent(1));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Failure::Closed(1));
            }
            Err(error) => return Err(Failure::Io("awaiting the 101", error)),
        };
        head.extend_from_slice(&chunk[..received]);
        let end = head.windows(4).position(|window| window == b"\r\n\r\n");
        if end.is_none() && head.len() < HEAD_BYTES_MAX {
            continue;
        }
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        if !line.starts_with(b"HTTP/1.1 101") {
            let line = String::from_utf8_lossy(line).chars().take(80).collect();
            return Err(Failure::NotSwitching(line));
        }
        if deflate && !String::from_utf8_lossy(&head).contains(EXTENSIONS.trim_end()) {
            return Err(Failure::NoDeflate);
        }
        return match end {
            Some(end) if end + 4 == head.len() => Ok(()),
            _ => Err(Failure::Unasked),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a read, as the slowest server does.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let Some((&byte, rest)) = self.0.split_first() else {
                return Ok(0);
            };
            buf[0] = byte;
            self.0 = rest;
            Ok(1)
        }
    }

    fn both_ways(response: &[u8]) -> [Result<(), Failure>; 2] {
        [
            read_response(&mut &*response, false),
            read_response(&mut Trickle(response), false),
        ]
    }

    #[test]
    fn a_101_is_accepted_whole_and_byte_by_byte() {
        for result in both_ways(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n") {
            assert!(result.is_ok(), "{result:?}");
        }
    }

    #[test]
    fn a_101_that_agrees_to_nothing_is_named_where_that_is_wanted() {
        let without = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        let refused = read_response(&mut &without[..], true);
        assert!(matches!(refused, Err(Failure::NoDeflate)), "{refused:?}");
        let with = format!("HTTP/1.1 101 Switching Protocols\r\n{EXTENSIONS}\r\n");
        assert!(read_response(&mut with.as_bytes(), true).is_ok());
    }

    #[test]
    fn any_other_status_is_named() {
        for result in both_ways(b"HTTP/1.1 404 Not Found\r\n\r\nnothing here") {
            let text = result.unwrap_err().to_string();
            assert!(text.contains("HTTP/1.1 404 Not Found"), "{text}");
        }
    }

    #[test]
    fn a_close_before_the_blank_line_is_a_close() {
        for result in both_ways(b"HTTP/1.1 101 Switching Protocols\r\n") {
            assert!(matches!(result, Err(Failure::Closed(1))), "{result:?}");
        }
    }

    #[test]
    fn bytes_after_the_head_are_unasked() {
        let result = read_response(&mut &b"HTTP/1.1 101 x\r\n\r\n\x89\x00"[..], false);
        assert!(matches!(result, Err(Failure::Unasked)), "{result:?}");
    }

    #[test]
    fn only_loopback_gets_more_sources_and_only_past_the_ports_of_one() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(source(loopback, 24_999), None);
        assert_eq!(source(loopback, 25_000), Some(Ipv4Addr::new(127, 0, 1, 1)));
        assert_eq!(source(IpAddr::from([192, 0, 2, 1]), 25_000), None);
    }
}
