//! Addresses that connections come from. In: `--source`, the target and how many connections there
//! will be. Out: addresses to take in turn, or why the ports of one address are too few.
//!
//! A port is taken for the four numbers of a connection, not for the socket: so each source has a
//! range of ports of its own for each target.
//!
//! Never: connects.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::{DialError, DialOptions};

const FLAG: &str = "--source";

/// More than a run can use: each has tens of thousands of ports.
const SOURCES_MAX: u128 = 4096;

/// Where Linux tells which ports it gives to sockets that ask for none.
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// What that file says unless it was changed.
const PORTS_DEFAULT: usize = 60_999 - 32_768 + 1;

/// Addresses to bind before connecting; none leaves it to the kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sources(Vec<IpAddr>);

impl Sources {
    /// The sources for `connections` connections to `target` at the same time.
    ///
    /// # Errors
    ///
    /// When one of those given is malformed or not of this machine, or when they are too few.
    pub(super) fn choose(
        options: &DialOptions,
        target: SocketAddr,
        connections: usize,
    ) -> Result<Self, DialError> {
        let given = parse(&options.sources).map_err(|why| DialError::new(FLAG, why))?;
        for source in &given {
            check(*source, target).map_err(|why| DialError::new(FLAG, why))?;
        }
        Self::plan(given, target, connections, ports()).map_err(|why| DialError::new(FLAG, why))
    }

    fn plan(
        given: Vec<IpAddr>,
        target: SocketAddr,
        connections: usize,
        ports: usize,
    ) -> Result<Self, String> {
        let is_own = given.is_empty() && matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback());
        // The kernel looks longer for a port the fewer are free: half of a range is found at once.
        if is_own && connections > ports / 2 {
            let count = connections.div_ceil((ports / 2).max(1));
            let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
            let sources = u32::try_from(count)
                .into_iter()
                .flat_map(|n| first..first + n);
            return Ok(Self(sources.map(|ip| Ipv4Addr::from(ip).into()).collect()));
        }
        let room = ports.saturating_mul(given.len().max(1));
        if connections > room {
            return Err(format!(
                "{connections} connections to one address need more than the {room} ports of {}; \
                 give more source addresses",
                match given.len() {
                    0 => "this machine's own address".to_owned(),
                    1 => "one source".to_owned(),
                    n => format!("{n} sources"),
                }
            ));
        }
        Ok(Self(given))
    }

    /// The source of the `attempt`-th connection.
    pub(super) fn turn(&self, attempt: usize) -> Option<IpAddr> {
        (!self.0.is_empty()).then(|| self.0[attempt % self.0.len()])
    }
}

/// How many ports the kernel gives to sockets that ask for none.
fn ports() -> usize {
    let range = fs::read_to_string(PORT_RANGE).unwrap_or_default();
    let mut ends = range.split_ascii_whitespace().flat_map(str::parse::<usize>);
    match (ends.next(), ends.next()) {
        (Some(first), Some(last)) if first <= last => last - first + 1,
        _ => PORTS_DEFAULT,
    }
}

/// Whether sockets can be bound to `source` and reach `target` from it.
fn check(source: IpAddr, target: SocketAddr) -> Result<(), String> {
    if source.is_ipv4() != target.is_ipv4() {
        return Err(format!("{source} cannot reach {}", target.ip()));
    }
    TcpListener::bind((source, 0))
        .map(drop)
        .map_err(|error| format!("{source}: {error}"))
}

/// Every address of a list of addresses, ranges and networks.
fn parse(texts: &[String]) -> Result<Vec<IpAddr>, String> {
    let mut sources = Vec::new();
    for item in texts.iter().flat_map(|text| text.split(',')) {
        let (first, last) = ends(item.trim()).ok_or_else(|| {
            format!("'{item}' is no address, range FIRST-LAST or network ADDRESS/BITS")
        })?;
        let count = last.bits.saturating_sub(first.bits).saturating_add(1);
        if count.saturating_add(sources.len() as u128) > SOURCES_MAX {
            return Err(format!(
                "'{item}' makes them more than {SOURCES_MAX} addresses"
            ));
        }
        sources.extend((first.bits..=last.bits).map(|bits| Number { bits, ..first }.address()));
    }
    Ok(sources)
}

/// An address that can be counted from.
#[derive(Clone, Copy)]
struct Number {
    bits: u128,
    is_v4: bool,
}

impl Number {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(ip) => Self {
                bits: u128::from(u32::from(ip)),
                is_v4: true,
            },
            IpAddr::V6(ip) => Self {
                bits: u128::from(ip),
                is_v4: false,
            },
        }
    }

    fn address(self) -> IpAddr {
        match u32::try_from(self.bits) {
            Ok(bits) if self.is_v4 => Ipv4Addr::from(bits).into(),
            _ => Ipv6Addr::from(self.bits).into(),
        }
    }
}

/// The first and the last address that `item` names, in order.
fn ends(item: &str) -> Option<(Number, Number)> {
    let number = |text: &str| text.trim().parse().ok().map(Number::of);
    if let Some((first, last)) = item.split_once('-') {
        let (first, last) = (number(first)?, number(last)?);
        let is_range = first.is_v4 == last.is_v4 && first.bits <= last.bits;
        return is_range.then_some((first, last));
    }
    let Some((address, bits)) = item.split_once('/') else {
        return number(item).map(|one| (one, one));
    };
    let (address, bits): (Number, u32) = (number(address)?, bits.parse().ok()?);
    let width = if address.is_v4 { 32 } else { 128 };
    let host_bits = width - Some(bits).filter(|bits| (1..=width).contains(bits))?;
    let hosts = (1u128 << host_bits) - 1;
    let (mut first, mut last) = (address, address);
    first.bits = address.bits & !hosts;
    last.bits = address.bits | hosts;
    // The network's own address and its broadcast address are no hosts (RFC 3021 leaves /31 both).
    if address.is_v4 && host_bits > 1 {
        first.bits += 1;
        last.bits -= 1;
    }
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<String>, String> {
        let sources = parse(&[text.to_owned()])?;
        Ok(sources.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lists_ranges_and_networks_are_spelled_out() {
        for (text, sources) in [
            ("127.0.0.9", "127.0.0.9"),
            ("127.0.0.9, 127.0.0.2", "127.0.0.9 127.0.0.2"),
            (
                "127.0.0.254-127.0.1.1",
                "127.0.0.254 127.0.0.255 127.0.1.0 127.0.1.1",
            ),
            ("127.1.0.6/30", "127.1.0.5 127.1.0.6"),
            ("127.1.0.6/31", "127.1.0.6 127.1.0.7"),
            ("127.1.0.6/32,::1", "127.1.0.6 ::1"),
            ("fd00::6/127", "fd00::6 fd00::7"),
            ("::ffff-::1:1", "::ffff ::1:0 ::1:1"),
        ] {
            assert_eq!(parsed(text).expect(text).join(" "), sources, "{text}");
        }
        assert_eq!(parsed("127.0.0.0/24").expect("256 without 2").len(), 254);
    }

    #[test]
    fn other_lists_are_refused() {
        for text in [
            "",
            "localhost",
            "127.0.0.1,",
            "127.0.0.3-127.0.0.2",
            "127.0.0.3-::1",
            "127.0.0.0/0",
            "127.0.0.0/33",
            "fd00::/129",
            "127.0.0.0/8",
            "::/1",
            "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_of_another_machine_or_family_is_refused() {
        let target = "127.0.0.1:80".parse().expect("an address");
        for (source, is_usable) in [("127.0.0.77", true), ("192.0.2.1", false), ("::1", false)] {
            let source = source.parse().expect("an address");
            assert_eq!(check(source, target).is_ok(), is_usable, "{source}");
        }
    }

    #[test]
    fn loopback_takes_as_many_sources_as_it_needs() {
        let target = "127.0.0.1:80".parse().expect("an address");
        let sources = |connections| Sources::plan(Vec::new(), target, connections, 1000);
        assert_eq!(sources(500), Ok(Sources::default()));
        for (connections, count) in [(501, 2), (1000, 2), (1001, 3), (200_000, 400)] {
            let sources = sources(connections).expect("loopback has enough");
            assert_eq!(sources.0.len(), count, "{connections}");
            assert_eq!(sources.turn(0), Some([127, 0, 0, 2].into()));
            assert_eq!(sources.turn(1), Some([127, 0, 0, 3].into()));
            assert_eq!(sources.turn(count), sources.turn(0));
        }
    }

    #[test]
    fn too_few_ports_are_told_before_the_run() {
        let one = vec!["127.0.0.2".parse().expect("an address")];
        for (given, target, connections, is_enough) in [
            (Vec::new(), "192.0.2.1:80", 1000, true),
            (Vec::new(), "192.0.2.1:80", 1001, false),
            (Vec::new(), "[::1]:80", 1001, false),
            (one.clone(), "127.0.0.1:80", 1000, true),
            (one, "127.0.0.1:80", 1001, false),
        ] {
            let target = target.parse().expect("an address");
            let sources = Sources::plan(given.clone(), target, connections, 1000);
            assert_eq!(
                sources.is_ok(),
                is_enough,
                "{given:?} {target} {connections}"
            );
        }
    }
}
