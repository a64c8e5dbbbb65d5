//! The whole router with an engine in memory, in process. In: requests. Out: answers, and what the worker
//! gets.
//!
//! Never: opens a socket.

mod doors;
mod malformed;
mod meaningless;
mod publish;
mod questions;

use fanfare_hub::{Delivery, Order};
use serde_json::{Value, json};

use super::super::fixture::World;

fn error(code: u32, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

/// What the worker was told.
fn orders(world: &World) -> Vec<Order> {
    let order = |delivery| match delivery {
        Delivery::Order(order) => Order::clone(&order),
        other => panic!("{other:?}"),
    };
    world.deliveries().into_iter().map(order).collect()
}
