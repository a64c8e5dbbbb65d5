//! Live peers of other people at the other end of a socket, in both roles: one script of conversations for all.
//!
//! tokio-tungstenite and fastwebsockets have no permessage-deflate; yawc has.

mod conversation;
#[cfg(feature = "deflate")]
mod deflated;
mod fastwebsockets;
mod handshake;
mod peer;
mod tungstenite;
mod yawc;

use fanfare_tokio::Role;

/// Every conversation with one peer, in a role of ours.
macro_rules! conversations {
    ($($name:ident: $peer:ty, $role:expr;)+) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn all_that_is_said_arrives_as_it_was() {
                conversation::everything_arrives::<$peer>($role).await;
            }

            #[tokio::test]
            async fn either_side_closes_with_any_code_and_reason() {
                conversation::closes::<$peer>($role).await;
            }

            #[tokio::test]
            async fn broken_rules_and_limits_are_told() {
                conversation::faults::<$peer>($role).await;
            }

            #[tokio::test]
            async fn an_abrupt_end_is_no_clean_one() {
                conversation::abrupt_ends::<$peer>($role).await;
            }
        }
    )+};
}

conversations! {
    tungstenite_asks: tungstenite::Tungstenite, Role::Server;
    tungstenite_serves: tungstenite::Tungstenite, Role::Client;
    fastwebsockets_asks: fastwebsockets::Fastwebsockets, Role::Server;
    fastwebsockets_serves: fastwebsockets::Fastwebsockets, Role::Client;
    yawc_asks: yawc::Yawc, Role::Server;
    yawc_serves: yawc::Yawc, Role::Client;
}
