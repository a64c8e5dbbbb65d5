//! From a name to a socket (RFC 8305). In: a host and a port. Out: the first of its addresses that answers.
//!
//! Never: waits for one address alone while there are others; spawns a task.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use std::{io, vec};

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Sleep, sleep};

use super::ConnectOptions;
use crate::Error;

/// A socket to `host`, which does not wait to fill its segments: messages are small, and answered.
pub(super) async fn dial(
    host: &str,
    port: u16,
    options: &ConnectOptions,
) -> Result<TcpStream, Error> {
    let addresses = match options.addresses.as_slice() {
        [] => lookup_host((host, port))
            .await
            .map_err(Error::Resolve)?
            .collect(),
        given => given.to_vec(),
    };
    if addresses.is_empty() {
        let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(Error::Resolve(none));
    }
    let addresses = in_turns(addresses);
    let socket = race(addresses, options.attempt_delay, TcpStream::connect).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// The families by turns, that of the first address first (RFC 8305 §4): one that leads nowhere costs one delay.
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first = addresses.first().map(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| Some(address.is_ipv6()) == is_first);
    let mut turns = Vec::with_capacity(first.len() + second.len());
    let mut second = second.into_iter();
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns
}

type Attempt<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// What the first attempt that succeeds gives; if none does, why the last one failed.
async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    delay: Option<Duration>,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut waiting: vec::IntoIter<SocketAddr> = addresses.into_iter();
    let mut running: Vec<Attempt<T>> = Vec::new();
    let mut next_at: Option<Pin<Box<Sleep>>> = None;
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    poll_fn(|cx| {
        loop {
            let (mut at, mut is_next_due) = (0, running.is_empty());
            while let Some(attempt) = running.get_mut(at) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(socket)) => return Poll::Ready(Ok(socket)),
                    Poll::Ready(Err(error)) => {
                        failure = error;
                        drop(running.remove(at));
                        is_next_due = true;
                    }
                    Poll::Pending => at += 1,
                }
            }
            if let Some(time) = &mut next_at {
                is_next_due |= time.as_mut().poll(cx).is_ready();
            }
            if !is_next_due {
                return Poll::Pending;
            }
            let Some(address) = waiting.next() else {
                next_at = None;
                if running.is_empty() {
                    let none = io::Error::from(io::ErrorKind::NotFound);
                    return Poll::Ready(Err(std::mem::replace(&mut failure, none)));
                }
                return Poll::Pending;
            };
            running.push(Box::pin(connect(address)));
            // No clock is asked for where nothing comes next.
            next_at = match delay {
                Some(delay) if waiting.len() > 0 => Some(Box::pin(sleep(delay))),
                _ => None,
            };
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    fn addresses(all: &[&str]) -> Vec<SocketAddr> {
        let parsed = all.iter().map(|address| address.parse());
        parsed.collect::<Result<_, _>>().expect("addresses")
    }

    const DELAY: Duration = Duration::from_millis(250);

    /// An attempt by the port of its address: 1 fails at once, 2 after 100 ms, 3 answers after 600 ms, 4 at once, others
    /// never. Gives what came of it, after how long, and which were tried.
    async fn run(
        ports: &[u16],
        delay: Option<Duration>,
    ) -> (Result<u16, io::ErrorKind>, Duration, Vec<u16>) {
        let begun = Instant::now();
        let tried = Mutex::new(Vec::new());
        let all = ports
            .iter()
            .map(|port| SocketAddr::from(([127, 0, 0, 1], *port)));
        let raced = race(all.collect(), delay, |address| {
            let port = address.port();
            tried.lock().expect("no panic").push(port);
            async move {
                match port {
                    1 => Err(io::ErrorKind::ConnectionRefused.into()),
                    2 => {
                        sleep(Duration::from_millis(100)).await;
                        Err(io::ErrorKind::HostUnreachable.into())
                    }
                    3 => {
                        sleep(Duration::from_millis(600)).await;
                        Ok(port)
                    }
                    4 => Ok(port),
                    _ => std::future::pending().await,
                }
            }
        });
        let raced = tokio::time::timeout(Duration::from_secs(60), raced).await;
        let raced = raced.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let tried = tried.into_inner().expect("no panic");
        (raced.map_err(|error| error.kind()), begun.elapsed(), tried)
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_a_delay_and_one_that_refuses_nothing() {
        let ms = Duration::from_millis;
        // Sleeps end up to a millisecond later.
        let close = |is: Duration, to: u64| is >= ms(to) && is <= ms(to + 3);
        for (ports, result, after, tried) in [
            (&[4][..], Ok(4), 0, &[4][..]),
            (&[1, 1, 4, 9], Ok(4), 0, &[1, 1, 4]),
            (&[9, 4], Ok(4), 250, &[9, 4]),
            (&[9, 2, 4], Ok(4), 350, &[9, 2, 4]),
            (&[3, 9, 9], Ok(3), 600, &[3, 9, 9]),
            (&[2, 1], Err(io::ErrorKind::ConnectionRefused), 100, &[2, 1]),
            (&[1, 2], Err(io::ErrorKind::HostUnreachable), 100, &[1, 2]),
            (&[9], Err(io::ErrorKind::TimedOut), 60_000, &[9]),
        ] {
            let (is, took, were) = run(ports, Some(DELAY)).await;
            assert_eq!((is, were.as_slice()), (result, tried), "{ports:?}");
            assert!(close(took, after), "{ports:?}: {took:?}");
        }
        let (is, _, tried) = run(&[9, 4], None).await;
        assert_eq!((is, tried), (Err(io::ErrorKind::TimedOut), vec![9]));
    }

    #[test]
    fn families_take_turns() {
        let turns = |all: &[&str]| in_turns(addresses(all));
        let ordered = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]);
        assert_eq!(
            turns(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]),
            ordered
        );
        let all = ["1.1.1.1:1", "[::1]:1", "1.1.1.2:1", "1.1.1.3:1"];
        assert_eq!(turns(&all), addresses(&all));
        assert_eq!(turns(&[]), []);
    }
}
